//! What other crates can add, and what they cannot.

cases! {
    /// What goes in says so.
    object_that_is_not_poolable, E0277, FixedPool GrowingPool ThreadLocalPool ThreadSafePool LockFreePool;
    given: "struct Object;
            struct Pooled;
            impl Poolable for Pooled {}",
    fails: "let pool = Pool::<Object>::new(1)?;",
    passes: "let pool = Pool::<Pooled>::new(1)?;";

    /// A derived hook is one of the type itself, not of a field.
    hook_of_another_type, E0308, FixedPool;
    given: "",
    fails: "#[derive(Poolable)] #[poolable(on_release = Vec::<u8>::clear)] struct Buffer(Vec<u8>);",
    passes: "#[derive(Poolable)] #[poolable(on_release = Self::clear)] struct Buffer(Vec<u8>);
            impl Buffer { fn clear(&mut self) { self.0.clear() } }";

    /// Pools build references from what an allocator answers, so it takes `unsafe` to write one.
    allocator_without_unsafe, E0200, FixedPool;
    given: "#[derive(Default)]
            struct Mine(StackAllocator);",
    fails: "impl Allocator for Mine {
                fn allocate(&mut self) -> Option<usize> { self.0.allocate() }
                fn free(&mut self, index: usize) { self.0.free(index) }
                fn grow(&mut self, additional: usize) -> Result<()> { self.0.grow(additional) }
                fn available(&self) -> usize { self.0.available() }
                fn capacity(&self) -> usize { self.0.capacity() }
            }",
    passes: "unsafe impl Allocator for Mine {
                fn allocate(&mut self) -> Option<usize> { self.0.allocate() }
                fn free(&mut self, index: usize) { self.0.free(index) }
                fn grow(&mut self, additional: usize) -> Result<()> { self.0.grow(additional) }
                fn available(&self) -> usize { self.0.available() }
                fn capacity(&self) -> usize { self.0.capacity() }
            }";

    /// The kinds of pools are those of this crate.
    kind_of_another_crate, E0277, FixedPool;
    given: "enum Mine {}",
    fails: "impl Kind for Mine {}",
    passes: "impl Poolable for Mine {}";

    /// The kinds of pools that threads share as well.
    sharing_of_another_crate, E0277, ThreadSafePool LockFreePool;
    given: "enum Mine {}",
    fails: "impl Sharing for Mine {}",
    passes: "impl Poolable for Mine {}";

    /// A trait object's hook is that of the value in the slot: no other crate replaces it.
    hook_of_a_trait_object, E0603, FixedPool;
    given: "trait Shape {}",
    fails: "impl Tenant for dyn Shape { fn release_hook(&mut self, _: fastalloc::poolable::Internal) {} }",
    passes: "impl Tenant for dyn Shape {}";

    /// Nor does it by a type that it leaves open.
    generic_hook_of_a_trait_object, E0049, FixedPool;
    given: "trait Shape {}",
    fails: "impl Tenant for dyn Shape { fn release_hook<I>(&mut self, _: I) {} }",
    passes: "impl Tenant for dyn Shape {}";

    /// Nor does it call the hook.
    hook_called_from_outside, E0061, FixedPool;
    given: "let mut value = 1_u8;",
    fails: "Tenant::release_hook(&mut value);",
    passes: "Poolable::on_release(&mut value);";
}
