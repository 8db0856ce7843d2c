//! Handles and pools are invariant in the type of the value, because the value may stay in the pool: were they not, a
//! function that takes a handle to a value with a longer lifetime for one with a shorter lifetime could leave something
//! there that is gone when the pool looks at it.

cases! {
    /// A value is left in the pool by forgetting its handle.
    handle, E0597, FixedPool;
    given: "fn leave<'a>(mut handle: OwnedHandle<'_, &'a str>, text: &'a str) { *handle = text; mem::forget(handle); }
            let outer = String::from(\"outer\");
            let pool = Pool::new(1)?;
            let inner = String::from(\"inner\");",
    fails: "leave(pool.allocate(\"static\")?, &inner);",
    passes: "leave(pool.allocate(\"static\")?, &outer);";

    /// By a handle that keeps the pool.
    rc_handle, E0597, FixedPool;
    given: "fn leave<'a>(mut handle: RcHandle<&'a str>, text: &'a str) { *handle = text; mem::forget(handle); }
            let outer = String::from(\"outer\");
            let pool = Rc::new(Pool::new(1)?);
            let inner = String::from(\"inner\");",
    fails: "leave(pool.allocate_rc(\"static\")?, &inner);",
    passes: "leave(pool.allocate_rc(\"static\")?, &outer);";

    /// By one that was the only one of its kind.
    shared_handle, E0597, FixedPool;
    given: "fn leave<'a>(mut handle: SharedHandle<'_, &'a str>, text: &'a str) {
                *handle.get_mut().expect(\"it is the only handle\") = text;
                mem::forget(handle);
            }
            let outer = String::from(\"outer\");
            let pool = Pool::new(1)?;
            let inner = String::from(\"inner\");",
    fails: "leave(pool.allocate_shared(\"static\")?, &inner);",
    passes: "leave(pool.allocate_shared(\"static\")?, &outer);";

    /// By one that a weak handle found.
    weak_handle, E0597, FixedPool;
    given: "fn leave<'a>(weak: WeakHandle<'_, &'a str>, text: &'a str) {
                let found = weak.upgrade();
                drop(text);
            }
            let outer = String::from(\"outer\");
            let pool = Pool::new(1)?;
            let inner = String::from(\"inner\");",
    fails: "leave(pool.allocate_shared(\"static\")?.downgrade(), &inner);",
    passes: "leave(pool.allocate_shared(\"static\")?.downgrade(), &outer);";

    /// By a handle of a shared pool.
    thread_safe_handle, E0597, ThreadSafePool;
    given: "fn leave<'a>(mut handle: ThreadSafeHandle<&'a str>, text: &'a str) { *handle = text; mem::forget(handle); }
            let outer = String::from(\"outer\");
            let pool = Pool::new(1)?;
            let inner = String::from(\"inner\");",
    fails: "leave(pool.allocate(\"static\")?, &inner);",
    passes: "leave(pool.allocate(\"static\")?, &outer);";

    /// By one that was the only one of its kind.
    thread_safe_shared_handle, E0597, ThreadSafePool;
    given: "fn leave<'a>(mut handle: ThreadSafeSharedHandle<&'a str>, text: &'a str) {
                *handle.get_mut().expect(\"it is the only handle\") = text;
                mem::forget(handle);
            }
            let outer = String::from(\"outer\");
            let pool = Pool::new(1)?;
            let inner = String::from(\"inner\");",
    fails: "leave(pool.allocate_shared(\"static\")?, &inner);",
    passes: "leave(pool.allocate_shared(\"static\")?, &outer);";

    /// By one that a weak handle found.
    thread_safe_weak_handle, E0597, ThreadSafePool;
    given: "fn leave<'a>(weak: ThreadSafeWeakHandle<&'a str>, text: &'a str) {
                let found = weak.upgrade();
                drop(text);
            }
            let outer = String::from(\"outer\");
            let pool = Pool::new(1)?;
            let inner = String::from(\"inner\");",
    fails: "leave(pool.allocate_shared(\"static\")?.downgrade(), &inner);",
    passes: "leave(pool.allocate_shared(\"static\")?.downgrade(), &outer);";

    /// By the pool itself.
    pool, E0597, FixedPool GrowingPool ThreadLocalPool ThreadSafePool LockFreePool;
    given: "fn leave<'a>(pool: &Pool<&'a str>, text: &'a str) { mem::forget(pool.allocate(text)); }
            let outer = String::from(\"outer\");
            let pool = Pool::<&str>::new(1)?;
            let inner = String::from(\"inner\");",
    fails: "leave(&pool, &inner);",
    passes: "leave(&pool, &outer);";

    /// By a future that puts it there.
    future, E0597, ThreadSafePool LockFreePool;
    given: "fn keep<'a, K: Sharing>(_: Allocation<'_, &'a str, K>, _: &'a str) {}
            let outer = String::from(\"outer\");
            let pool = Pool::new(1)?;
            let inner = String::from(\"inner\");",
    fails: "keep(pool.allocate_async(\"static\"), &inner);",
    passes: "keep(pool.allocate_async(\"static\"), &outer);";
}
