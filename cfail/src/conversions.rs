//! Handles of trait objects and slices: what the original type promised must hold for them.

cases! {
    /// A handle cannot forget for how long its value may be used.
    borrowed_value_as_one_that_is_not, E0597, FixedPool;
    given: "let text = String::from(\"text\");
            let pool = Pool::new(1)?;
            let handle = pool.allocate(&text)?;",
    fails: "let handle: OwnedHandle<'_, dyn std::fmt::Debug + 'static> = handle.unsize(|value| value);",
    passes: "let handle: OwnedHandle<'_, dyn std::fmt::Debug + '_> = handle.unsize(|value| value);";

    /// An `RcHandle` keeps the pool with all its objects, so their type must not borrow.
    borrowed_value_in_an_rc_handle, E0597, FixedPool;
    given: "let text = String::from(\"text\");",
    fails: "let pool = Rc::new(Pool::new(1)?);
            let handle: RcHandle<dyn std::fmt::Debug + '_> = pool.allocate_rc(&text)?.unsize(|value| value);",
    passes: "let pool = Rc::new(Pool::new(1)?);
            let handle: RcHandle<dyn std::fmt::Debug + '_> = pool.allocate_rc(text.clone())?.unsize(|value| value);";

    /// Handles of shared pools keep it too.
    borrowed_value_in_a_thread_safe_handle, E0597, ThreadSafePool;
    given: "let text = String::from(\"text\");",
    fails: "let pool = Pool::new(1)?;
            let handle: ThreadSafeHandle<dyn std::fmt::Debug + '_> = pool.allocate(&text)?.unsize(|value| value);",
    passes: "let pool = Pool::new(1)?;
            let handle: ThreadSafeHandle<dyn std::fmt::Debug + '_> = pool.allocate(text.clone())?.unsize(|value| value);";

    /// Whoever drops the handle may destroy other objects of the original type.
    value_that_stays_on_its_thread, E0277, ThreadSafePool LockFreePool;
    given: "let pool = Pool::new(1)?;",
    fails: "let handle: ThreadSafeHandle<dyn std::fmt::Debug> = pool.allocate(Rc::new(1))?.unsize(|value| value);",
    passes: "let handle: ThreadSafeHandle<dyn std::fmt::Debug> = pool.allocate(Arc::new(1))?.unsize(|value| value);";

    /// A trait object that does not promise to be `Send` is not sent, even if its value could be.
    trait_object_sent, E0277, ThreadSafePool;
    given: "trait Job { fn run(&self) {} }
            impl Job for u8 {}
            impl Tenant for dyn Job {}
            impl Tenant for dyn Job + Send {}
            let pool = Pool::new(1)?;",
    fails: "let handle: ThreadSafeHandle<dyn Job> = pool.allocate(1)?.unsize(|value| value); thread::spawn(move || handle.run());",
    passes: "let handle: ThreadSafeHandle<dyn Job + Send> = pool.allocate(1)?.unsize(|value| value); thread::spawn(move || handle.run());";

    /// A sized type has another layout, by which the chunk would not be found.
    sized_type, E0080, FixedPool;
    given: "let pool = Pool::new(1)?;",
    fails: "let handle: OwnedHandle<'_, [u8; 3]> = pool.allocate([1; 3])?.unsize(|array| array);",
    passes: "let handle: OwnedHandle<'_, [u8]> = pool.allocate([1; 3])?.unsize(|array| array);";

    /// The same for `RcHandle`.
    sized_type_of_an_rc_handle, E0080, FixedPool;
    given: "let pool = Rc::new(Pool::new(1)?);",
    fails: "let handle: RcHandle<[u8; 3]> = pool.allocate_rc([1; 3])?.unsize(|array| array);",
    passes: "let handle: RcHandle<[u8]> = pool.allocate_rc([1; 3])?.unsize(|array| array);";

    /// And for handles of shared pools.
    sized_type_of_a_thread_safe_handle, E0080, ThreadSafePool;
    given: "let pool = Pool::new(1)?;",
    fails: "let handle: ThreadSafeHandle<[u8; 3]> = pool.allocate([1; 3])?.unsize(|array| array);",
    passes: "let handle: ThreadSafeHandle<[u8]> = pool.allocate([1; 3])?.unsize(|array| array);";

    /// A conversion has nothing to return but what it was given: a closure that captures another value is refused.
    conversion_that_captures, E0308, FixedPool ThreadSafePool;
    given: "let pool = Pool::new(1)?;
            let mut other = [2];",
    fails: "let handle = pool.allocate([1])?.unsize::<[u8]>(|_| &mut other);",
    passes: "let handle = pool.allocate([1])?.unsize::<[u8]>(|array| array);";

    /// A handle owns only what is told of its release: a trait says so by a supertrait or an `impl Tenant`.
    trait_without_permission, E0277, FixedPool ThreadSafePool;
    given: "trait Shape {}
            impl Shape for u8 {}
            trait Known: Poolable {}
            impl Known for u8 {}
            let pool = Pool::new(1)?;",
    fails: "let handle = pool.allocate(1_u8)?.unsize::<dyn Shape>(|value| value);",
    passes: "let handle = pool.allocate(1_u8)?.unsize::<dyn Known>(|value| value);";

    /// A trait object is not a value that could be taken out.
    trait_object_taken_out, E0599, FixedPool ThreadSafePool;
    given: "let pool = Pool::new(1)?;
            let handle = pool.allocate(1)?;",
    fails: "let inner = handle.unsize::<dyn std::fmt::Debug>(|value| value).into_inner();",
    passes: "let inner = handle.into_inner();";

    /// Handles of pools for one thread and of pools that threads share are not the same.
    handle_of_another_kind_of_pool, E0308, FixedPool;
    given: "let pool = Pool::new(1)?;",
    fails: "let handle: ThreadSafeHandle<u8> = pool.allocate(1)?;",
    passes: "let handle: OwnedHandle<'_, u8> = pool.allocate(1)?;";

    /// Handles that keep the pool need a pool that is in an `Rc`.
    rc_handle_of_a_pool_without_an_rc, E0599, FixedPool;
    given: "let pool = Pool::new(1)?;",
    fails: "let handle = pool.allocate_rc(1)?;",
    passes: "let pool = Rc::new(pool); let handle = pool.allocate_rc(1)?;";
}
