//! What must not outlive what.

cases! {
    /// A handle borrows its pool.
    handle_after_its_pool, E0505, FixedPool GrowingPool ThreadLocalPool;
    given: "let pool = Pool::new(1)?;
            let handle = pool.allocate(1)?;",
    fails: "drop(pool); drop(handle);",
    passes: "drop(handle); drop(pool);";

    /// A pool stays where it is as long as there are handles.
    pool_moved_under_its_handle, E0505, FixedPool GrowingPool ThreadLocalPool;
    given: "let pool = Pool::new(1)?;
            let handle = pool.allocate(1)?;",
    fails: "let moved = Box::new(pool); drop(handle);",
    passes: "drop(handle); let moved = Box::new(pool);";

    /// A function cannot return a handle of a pool that ends with it.
    handle_returned_without_its_pool, E0515, FixedPool;
    given: "",
    fails: "fn make<'a>() -> Result<OwnedHandle<'a, u8>> { let pool = Pool::new(1)?; pool.allocate(1) }",
    passes: "fn make(pool: &Pool<u8>) -> Result<OwnedHandle<'_, u8>> { pool.allocate(1) }";

    /// So do those that one call makes.
    handles_of_a_batch_after_their_pool, E0505, FixedPool;
    given: "let pool = Pool::new(2)?;
            let handles = pool.allocate_batch([1, 2])?;",
    fails: "drop(pool); drop(handles);",
    passes: "drop(handles); drop(pool);";

    /// An object that is used again has the pool's lifetime too.
    acquired_object_after_its_pool, E0505, FixedPool;
    given: "let pool = Pool::with_config(PoolConfig::builder().capacity(1).initializer(|| 1).build()?)?;
            let handle = pool.acquire()?;",
    fails: "drop(pool); drop(handle);",
    passes: "drop(handle); drop(pool);";

    /// A handle that was converted borrows the pool as before.
    converted_handle_after_its_pool, E0505, FixedPool;
    given: "let pool = Pool::new(1)?;
            let handle: OwnedHandle<'_, [u8]> = pool.allocate([1; 3])?.unsize(|array| array);",
    fails: "drop(pool); drop(handle);",
    passes: "drop(handle); drop(pool);";

    /// A clone of an object borrows the same pool.
    clone_after_its_pool, E0505, FixedPool;
    given: "let pool = Pool::new(2)?;
            let clone = pool.allocate(1)?.try_clone()?;",
    fails: "drop(pool); drop(clone);",
    passes: "drop(clone); drop(pool);";

    /// Shared handles borrow the pool, and so does what is made of them.
    shared_handle_after_its_pool, E0505, FixedPool GrowingPool ThreadLocalPool;
    given: "let pool = Pool::new(1)?;
            let clone = pool.allocate_shared(1)?.clone();",
    fails: "drop(pool); drop(clone);",
    passes: "drop(clone); drop(pool);";

    /// A handle that became the only one.
    unshared_handle_after_its_pool, E0505, FixedPool;
    given: "let pool = Pool::new(1)?;
            let handle = pool.allocate_shared(1)?.try_into_owned();",
    fails: "drop(pool); drop(handle);",
    passes: "drop(handle); drop(pool);";

    /// A weak handle reads the counts that the pool has.
    weak_handle_after_its_pool, E0505, FixedPool GrowingPool ThreadLocalPool;
    given: "let pool = Pool::new(1)?;
            let weak = pool.allocate_shared(1)?.downgrade();",
    fails: "drop(pool); drop(weak);",
    passes: "drop(weak); drop(pool);";

    /// What a weak handle finds.
    upgraded_handle_after_its_pool, E0505, FixedPool;
    given: "let pool = Pool::new(1)?;
            let shared = pool.allocate_shared(1)?;
            let found = { let weak = shared.downgrade(); drop(shared); weak.upgrade() };",
    fails: "drop(pool); drop(found);",
    passes: "drop(found); drop(pool);";

    /// A leaked object is destroyed with the pool.
    leaked_object_after_its_pool, E0505, FixedPool;
    given: "let pool = Pool::new(1)?;
            let leaked = pool.allocate(1)?.leak();",
    fails: "drop(pool); *leaked = 2;",
    passes: "*leaked = 2; drop(pool);";

    /// A pinned handle.
    pinned_handle_after_its_pool, E0505, FixedPool;
    given: "let pool = Pool::new(1)?;
            let pinned = pool.allocate(1)?.into_pin();",
    fails: "drop(pool); drop(pinned);",
    passes: "drop(pinned); drop(pool);";

    /// A pool's name goes with it.
    name_after_its_pool, E0505, FixedPool ThreadSafePool;
    given: "let pool = Pool::<u8>::with_config(PoolConfig::builder().capacity(1).name(\"bytes\").build()?)?;
            let name = pool.name();",
    fails: "drop(pool); assert_eq!(name, Some(\"bytes\"));",
    passes: "assert_eq!(name, Some(\"bytes\")); drop(pool);";

    /// What objects borrow lives longer than the pool, which may be the one to destroy them.
    object_that_borrows_what_ends_before_the_pool, E0597, FixedPool GrowingPool ThreadLocalPool ThreadSafePool LockFreePool;
    given: "let (outer, pool);
            outer = String::from(\"outer\");
            pool = Pool::new(1)?;
            let inner = String::from(\"inner\");",
    fails: "mem::forget(pool.allocate(&inner)?);",
    passes: "mem::forget(pool.allocate(&outer)?);";

    /// The same in an `Rc`, which handles keep alive.
    object_that_borrows_what_ends_before_its_rc_handle, E0597, FixedPool;
    given: "let (outer, handle);
            outer = String::from(\"outer\");
            let inner = String::from(\"inner\");
            let pool = Rc::new(Pool::new(1)?);",
    fails: "handle = pool.allocate_rc(&inner)?;",
    passes: "handle = pool.allocate_rc(&outer)?;";

    /// A handle of a shared pool has no lifetime, but its type has that of the value.
    thread_safe_handle_that_outlives_what_it_borrows, E0597, ThreadSafePool LockFreePool;
    given: "let (outer, handle);
            outer = String::from(\"outer\");
            let inner = String::from(\"inner\");
            let pool = Pool::new(1)?;",
    fails: "handle = pool.allocate(&inner)?;",
    passes: "handle = pool.allocate(&outer)?;";

    /// A reference that lives for ever is one to a value that does.
    leaked_for_longer_than_its_value_borrows, E0597, FixedPool;
    given: "let text = String::from(\"text\");
            let pool = Rc::new(Pool::new(1)?);
            let handle = pool.allocate_rc(text.as_str())?;",
    fails: "let leaked: &'static mut &str = handle.leak();",
    passes: "let leaked: &mut &str = handle.leak();";

    /// The same for shared pools.
    leaked_by_threads_for_longer_than_its_value_borrows, E0597, ThreadSafePool;
    given: "let text = String::from(\"text\");
            let pool = Pool::new(1)?;
            let handle = pool.allocate(text.as_str())?;",
    fails: "let leaked: &'static mut &str = handle.leak();",
    passes: "let leaked: &mut &str = handle.leak();";

    /// A future borrows the pool that it waits for.
    future_after_its_pool, E0505, ThreadSafePool LockFreePool;
    given: "let pool = Pool::new(1)?;
            let future = pool.allocate_async(1);",
    fails: "drop(pool); drop(future);",
    passes: "drop(future); drop(pool);";

    /// A task that a runtime may keep for ever must own the pool, which is cheap to clone.
    spawned_future_that_borrows_its_pool, E0597, ThreadSafePool;
    given: "fn spawn(_: impl Future + Send + 'static) {}
            let pool = Pool::new(1)?;",
    fails: "spawn(pool.allocate_async(1));",
    passes: "let pool = pool.clone(); spawn(async move { pool.allocate_async(1).await.map(drop) });";

    /// The slot that a function builds its value in does not leave the function.
    slot_that_escapes, E0521, FixedPool ThreadSafePool;
    given: "let pool = Pool::new(1)?;
            let mut kept: Option<&mut u8> = None;",
    fails: "let handle = pool.allocate_in_place(|slot| { let value = slot.write(1); kept = Some(value); todo!() })?;",
    passes: "let handle = pool.allocate_in_place(|slot| { let value = slot.write(1); kept = None; value })?;";

    /// A pool calls its initializer as long as it lives.
    initializer_that_borrows, E0597, FixedPool ThreadSafePool;
    given: "let text = String::from(\"text\");
            let config = PoolConfig::<String>::builder().capacity(1);",
    fails: "let text = &text; let config = config.initializer(|| text.clone());",
    passes: "let config = config.initializer(move || text.clone());";

    /// And its listener when it ends.
    listener_that_borrows, E0597, FixedPool;
    given: "let text = String::from(\"text\");",
    fails: "let text = &text; let policy = LeakPolicy::tell(|_| println!(\"{text}\"));",
    passes: "let policy = LeakPolicy::tell(move |_| println!(\"{text}\"));";
}
