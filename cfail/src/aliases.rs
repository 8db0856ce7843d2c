//! Either one mutable reference to an object, or several others.

cases! {
    /// A handle gives one mutable reference at a time.
    two_mutable_references, E0499, FixedPool GrowingPool ThreadLocalPool ThreadSafePool LockFreePool;
    given: "let pool = Pool::new(1)?;
            let mut handle = pool.allocate(1)?;
            let first = &mut *handle;",
    fails: "let second = &mut *handle; *first = 2; *second = 3;",
    passes: "*first = 2; let second = &mut *handle; *second = 3;";

    /// And none as long as there is another reference.
    mutable_reference_beside_another, E0502, FixedPool ThreadSafePool;
    given: "let pool = Pool::new(1)?;
            let mut handle = pool.allocate(1)?;
            let first = &*handle;",
    fails: "*handle = 2; assert_eq!(*first, 1);",
    passes: "assert_eq!(*first, 1); *handle = 2;";

    /// `RcHandle` as well.
    two_mutable_references_of_an_rc_handle, E0499, FixedPool;
    given: "let pool = Rc::new(Pool::new(1)?);
            let mut handle = pool.allocate_rc(1)?;
            let first = &mut *handle;",
    fails: "let second = &mut *handle; *first = 2; *second = 3;",
    passes: "*first = 2; let second = &mut *handle; *second = 3;";

    /// A reference ends before the handle does.
    reference_after_its_handle, E0505, FixedPool ThreadSafePool;
    given: "let pool = Pool::new(1)?;
            let handle = pool.allocate(String::new())?;
            let text = handle.as_str();",
    fails: "drop(handle); assert_eq!(text, \"\");",
    passes: "assert_eq!(text, \"\"); drop(handle);";

    /// Also if another handle has the value.
    reference_after_its_shared_handle, E0505, FixedPool ThreadSafePool;
    given: "let pool = Pool::new(1)?;
            let first = pool.allocate_shared(String::new())?;
            let second = first.clone();
            let text = first.as_str();",
    fails: "drop(first); assert_eq!(text, \"\");",
    passes: "assert_eq!(text, \"\"); drop(first);";

    /// And of an `RcHandle`, although the pool is still there.
    reference_after_its_rc_handle, E0505, FixedPool;
    given: "let pool = Rc::new(Pool::new(1)?);
            let handle = pool.allocate_rc(String::new())?;
            let text = handle.as_str();",
    fails: "drop(handle); assert_eq!(text, \"\");",
    passes: "assert_eq!(text, \"\"); drop(handle);";

    /// A value that is borrowed is not taken out.
    value_taken_out_under_a_reference, E0505, FixedPool ThreadSafePool;
    given: "let pool = Pool::new(1)?;
            let handle = pool.allocate(String::new())?;
            let text = handle.as_str();",
    fails: "let inner = handle.into_inner(); assert_eq!(text, \"\");",
    passes: "assert_eq!(text, \"\"); let inner = handle.into_inner();";

    /// A handle that gave its value away is gone.
    handle_after_into_inner, E0382, FixedPool ThreadSafePool;
    given: "let pool = Pool::new(1)?;
            let handle = pool.allocate(1)?;",
    fails: "let inner = handle.into_inner(); assert_eq!(*handle, 1);",
    passes: "assert_eq!(*handle, 1); let inner = handle.into_inner();";

    /// Or leaked it.
    handle_after_leak, E0382, FixedPool ThreadSafePool;
    given: "let pool = Pool::new(1)?;
            let handle = pool.allocate(1)?;",
    fails: "let leaked = handle.leak(); assert_eq!(*handle, 1);",
    passes: "assert_eq!(*handle, 1); let leaked = handle.leak();";

    /// Or became a shared one.
    handle_after_into_shared, E0382, FixedPool ThreadSafePool;
    given: "let pool = Pool::new(1)?;
            let mut handle = pool.allocate(1)?;",
    fails: "let shared = handle.into_shared(); *handle = 2;",
    passes: "*handle = 2; let shared = handle.into_shared();";

    /// Or was pinned.
    handle_after_into_pin, E0382, FixedPool ThreadSafePool;
    given: "let pool = Pool::new(1)?;
            let mut handle = pool.allocate(1)?;",
    fails: "let pinned = handle.into_pin(); *handle = 2;",
    passes: "*handle = 2; let pinned = handle.into_pin();";

    /// The only owner has no clone.
    clone_of_the_only_owner, E0277, FixedPool ThreadSafePool;
    given: "fn twice<T: Clone>(value: T) -> [T; 2] { [value.clone(), value] }
            let pool = Pool::new(1)?;
            let handle = pool.allocate(1)?;",
    fails: "let both = twice(handle);",
    passes: "let both = twice(handle.into_shared());";

    /// Who shares a value does not change it.
    change_through_a_shared_handle, E0594, FixedPool ThreadSafePool;
    given: "let pool = Pool::new(1)?;
            let mut handle = pool.allocate_shared(1)?;",
    fails: "*handle = 2;",
    passes: "*handle.get_mut().expect(\"it is the only handle\") = 2;";

    /// A handle is not cloned as long as there is a mutable reference that it gave.
    clone_beside_a_mutable_reference, E0502, FixedPool ThreadSafePool;
    given: "let pool = Pool::new(1)?;
            let mut handle = pool.allocate_shared(1)?;
            let value = handle.get_mut().expect(\"it is the only handle\");",
    fails: "let clone = handle.clone(); *value = 2;",
    passes: "*value = 2; let clone = handle.clone();";

    /// Nor is a weak handle made, which would find the value.
    downgrade_beside_a_mutable_reference, E0502, FixedPool ThreadSafePool;
    given: "let pool = Pool::new(1)?;
            let mut handle = pool.allocate_shared(1)?;
            let value = handle.get_mut().expect(\"it is the only handle\");",
    fails: "let weak = handle.downgrade(); *value = 2;",
    passes: "*value = 2; let weak = handle.downgrade();";

    /// A pinned value that must not move gives no mutable reference.
    change_of_a_pinned_value, E0594, FixedPool ThreadSafePool;
    given: "let pool = Pool::new(1)?;
            let mut handle = pool.allocate((1, Foreign(PhantomPinned)))?;",
    fails: "let mut pinned = handle.into_pin(); pinned.0 = 2;",
    passes: "handle.0 = 2; let mut pinned = handle.into_pin();";

    /// Nor does it leave its slot.
    pinned_value_taken_out, E0599, FixedPool ThreadSafePool;
    given: "let pool = Pool::new(1)?;
            let handle = pool.allocate(Foreign(PhantomPinned))?;",
    fails: "let inner = handle.into_pin().into_inner();",
    passes: "let inner = handle.into_inner();";

    /// And its handle cannot be unpinned.
    pinned_handle_unpinned, E0277, FixedPool ThreadSafePool;
    given: "let pool = Pool::new(2)?;",
    fails: "let handle = Pin::into_inner(pool.allocate((1, Some(PhantomPinned)))?.into_pin());",
    passes: "let handle = Pin::into_inner(pool.allocate((1, Some(())))?.into_pin());";

    /// A future that must not move is polled only if it is pinned.
    future_that_is_not_pinned, E0277, FixedPool ThreadSafePool;
    given: "fn poll(_: impl Future) {}
            struct Work(PhantomPinned);
            impl Poolable for Work {}
            impl Future for Work {
                type Output = ();
                fn poll(self: Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<()> {
                    std::task::Poll::Ready(())
                }
            }
            let pool = Pool::new(1)?;
            let future = pool.allocate(Work(PhantomPinned))?;",
    fails: "poll(future);",
    passes: "poll(future.into_pin());";
}
