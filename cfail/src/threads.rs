//! What goes to another thread, and what does not.

cases! {
    /// A pool of objects that stay on their thread stays there too.
    pool_of_what_stays_on_its_thread_sent, E0277, FixedPool GrowingPool;
    given: "",
    fails: "let pool = Pool::<Rc<u8>>::new(1)?; thread::spawn(move || drop(pool));",
    passes: "let pool = Pool::<Arc<u8>>::new(1)?; thread::spawn(move || drop(pool));";

    /// So do the pools that threads share.
    shared_pool_of_what_stays_on_its_thread_sent, E0277, ThreadSafePool LockFreePool;
    given: "",
    fails: "let pool = Pool::<Rc<u8>>::new(1)?; thread::spawn(move || drop(pool));",
    passes: "let pool = Pool::<Arc<u8>>::new(1)?; thread::spawn(move || drop(pool));";

    /// They are not lent to another thread either.
    shared_pool_of_what_stays_on_its_thread_lent, E0277, ThreadSafePool LockFreePool;
    given: "",
    fails: "let pool = Pool::<Rc<u8>>::new(1)?; thread::scope(|scope| { scope.spawn(|| pool.capacity()); });",
    passes: "let pool = Pool::<Arc<u8>>::new(1)?; thread::scope(|scope| { scope.spawn(|| pool.capacity()); });";

    /// A `ThreadLocalPool` is not sent, whatever is in it.
    thread_local_pool_sent, E0277, ThreadLocalPool;
    given: "",
    fails: "let pool = Pool::<u8>::new(1)?; thread::spawn(move || drop(pool));",
    passes: "thread::spawn(move || { let pool = Pool::<u8>::new(1)?; Ok::<_, Error>(drop(pool)) });";

    /// Pools for one thread are not lent to another one.
    pool_lent_to_a_thread, E0277, FixedPool GrowingPool ThreadLocalPool;
    given: "",
    fails: "let pool = Pool::<u8>::new(1)?; thread::scope(|scope| { scope.spawn(|| pool.capacity()); });",
    passes: "let pool = ThreadSafePool::<u8>::new(1)?; thread::scope(|scope| { scope.spawn(|| pool.capacity()); });";

    /// Nor are they in a `static`.
    pool_in_a_static, E0277, FixedPool GrowingPool ThreadLocalPool;
    given: "use std::sync::LazyLock;",
    fails: "static POOL: LazyLock<Pool<u8>> = LazyLock::new(|| Pool::new(1).expect(\"memory\"));",
    passes: "static POOL: LazyLock<ThreadSafePool<u8>> = LazyLock::new(|| ThreadSafePool::new(1).expect(\"memory\"));";

    /// An `Rc` keeps its pool on the thread, as `RcHandle`s rely on.
    pool_in_an_rc_sent, E0277, FixedPool GrowingPool;
    given: "",
    fails: "let pool = Rc::new(Pool::<u8>::new(1)?); thread::spawn(move || drop(pool));",
    passes: "let pool = Box::new(Pool::<u8>::new(1)?); thread::spawn(move || drop(pool));";

    /// Handles of such pools stay on the thread: dropping them changes the pool.
    handle_sent, E0277, FixedPool GrowingPool ThreadLocalPool;
    given: "",
    fails: "let pool = Pool::new(1)?; let handle = pool.allocate(1)?;
            thread::scope(|scope| { scope.spawn(move || drop(handle)); });",
    passes: "let pool = ThreadSafePool::new(1)?; let handle = pool.allocate(1)?;
            thread::scope(|scope| { scope.spawn(move || drop(handle)); });";

    /// They are not lent either: `index` and debug assertions read the pool.
    handle_lent, E0277, FixedPool;
    given: "",
    fails: "let pool = Pool::new(1)?; let handle = pool.allocate(1)?;
            thread::scope(|scope| { scope.spawn(|| handle.index()); });",
    passes: "let pool = ThreadSafePool::new(1)?; let handle = pool.allocate(1)?;
            thread::scope(|scope| { scope.spawn(|| handle.index()); });";

    /// A reference to the object is lent: the thread sees nothing of the pool.
    handle_lent_with_its_pool, E0277, FixedPool;
    given: "let pool = Pool::new(1)?;
            let mut handle = pool.allocate(1)?;
            let value = &mut *handle;",
    fails: "thread::scope(|scope| { scope.spawn(|| { *value = pool.capacity(); }); });",
    passes: "thread::scope(|scope| { scope.spawn(|| { *value = 2; }); });";

    /// An `RcHandle` counts without atomics.
    rc_handle_sent, E0277, FixedPool GrowingPool ThreadLocalPool;
    given: "",
    fails: "let pool = Rc::new(Pool::new(1)?); let handle = pool.allocate_rc(1)?;
            thread::scope(|scope| { scope.spawn(move || drop(handle)); });",
    passes: "let pool = ThreadSafePool::new(1)?; let handle = pool.allocate(1)?;
            thread::scope(|scope| { scope.spawn(move || drop(handle)); });";

    /// So does a `SharedHandle`.
    shared_handle_sent, E0277, FixedPool;
    given: "",
    fails: "let pool = Pool::new(1)?; let handle = pool.allocate_shared(1)?;
            thread::scope(|scope| { scope.spawn(move || drop(handle)); });",
    passes: "let pool = ThreadSafePool::new(1)?; let handle = pool.allocate_shared(1)?;
            thread::scope(|scope| { scope.spawn(move || drop(handle)); });";

    /// And a `WeakHandle`.
    weak_handle_sent, E0277, FixedPool;
    given: "",
    fails: "let pool = Pool::new(1)?; let handle = pool.allocate_shared(1)?.downgrade();
            thread::scope(|scope| { scope.spawn(move || drop(handle)); });",
    passes: "let pool = ThreadSafePool::new(1)?; let handle = pool.allocate_shared(1)?.downgrade();
            thread::scope(|scope| { scope.spawn(move || drop(handle)); });";

    /// A handle of a shared pool is sent only if its value may be.
    thread_safe_handle_of_what_stays_on_its_thread_sent, E0277, ThreadSafePool LockFreePool;
    given: "",
    fails: "let pool = Pool::new(1)?; let handle = pool.allocate(Rc::new(1))?; thread::spawn(move || drop(handle));",
    passes: "let pool = Pool::new(1)?; let handle = pool.allocate(Arc::new(1))?; thread::spawn(move || drop(handle));";

    /// And lent only if its value may be.
    thread_safe_handle_of_what_is_not_shared_lent, E0277, ThreadSafePool;
    given: "let pool = Pool::new(1)?;
            let handle = pool.allocate(Cell::new(1))?;",
    fails: "thread::scope(|scope| { scope.spawn(|| handle.set(2)); });",
    passes: "thread::scope(|scope| { scope.spawn(move || handle.set(2)); });";

    /// Shared handles of what threads must not share stay on one.
    thread_safe_shared_handle_of_what_is_not_shared_sent, E0277, ThreadSafePool;
    given: "let pool = Pool::new(1)?;
            let handle = pool.allocate(Cell::new(1))?;",
    fails: "let handle = handle.into_shared(); thread::spawn(move || handle.set(2));",
    passes: "thread::spawn(move || handle.set(2));";

    /// They are not lent either.
    thread_safe_shared_handle_of_what_is_not_shared_lent, E0277, ThreadSafePool;
    given: "let pool = Pool::new(1)?;
            let handle = pool.allocate_shared(Cell::new(1))?;",
    fails: "thread::scope(|scope| { scope.spawn(|| handle.set(2)); });",
    passes: "handle.set(2);";

    /// Nor do weak handles take them to another thread.
    thread_safe_weak_handle_of_what_is_not_shared_sent, E0277, ThreadSafePool;
    given: "let pool = Pool::new(1)?;",
    fails: "let weak = pool.allocate_shared(Cell::new(1))?.downgrade(); thread::spawn(move || weak.upgrade().is_some());",
    passes: "let weak = pool.allocate_shared(1)?.downgrade(); thread::spawn(move || weak.upgrade().is_some());";

    /// A weak handle that is lent could be upgraded.
    thread_safe_weak_handle_of_what_is_not_shared_lent, E0277, ThreadSafePool;
    given: "let pool = Pool::new(1)?;",
    fails: "let weak = pool.allocate_shared(Cell::new(1))?.downgrade();
            thread::scope(|scope| { scope.spawn(|| weak.upgrade().is_some()); });",
    passes: "let weak = pool.allocate_shared(1)?.downgrade();
            thread::scope(|scope| { scope.spawn(|| weak.upgrade().is_some()); });";

    /// A future has the value that waits for a slot.
    future_of_what_stays_on_its_thread_sent, E0277, ThreadSafePool LockFreePool;
    given: "fn send(_: impl Future + Send) {}",
    fails: "let pool = Pool::new(1)?; send(pool.allocate_async(Rc::new(1)));",
    passes: "let pool = Pool::new(1)?; send(pool.allocate_async(Arc::new(1)));";

    /// A task in a handle goes to another thread only if the handle does.
    task_in_a_handle_sent, E0277, FixedPool;
    given: "struct Task;
            impl Poolable for Task {}
            impl Future for Task {
                type Output = ();
                fn poll(self: Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<()> {
                    std::task::Poll::Ready(())
                }
            }
            fn send(_: impl Future + Send) {}",
    fails: "let pool = Pool::new(1)?; send(pool.allocate(Task)?.into_pin());",
    passes: "let pool = ThreadSafePool::new(1)?; send(pool.allocate(Task)?.into_pin());";

    /// A thread that is not scoped borrows nothing.
    thread_that_borrows_its_pool, E0597, ThreadSafePool;
    given: "let pool = Pool::<u8>::new(1)?;",
    fails: "let borrowed = &pool; thread::spawn(move || borrowed.capacity());",
    passes: "let clone = pool.clone(); thread::spawn(move || clone.capacity());";

    /// A handle that a scoped thread makes of what it borrows does not leave the scope of that.
    handle_from_a_scoped_thread, E0597, ThreadSafePool;
    given: "let (outer, handle);
            outer = String::from(\"outer\");
            let pool = Pool::new(1)?;
            let inner = String::from(\"inner\");",
    fails: "handle = thread::scope(|scope| scope.spawn(|| pool.allocate(&inner)).join().expect(\"no panic\"))?;",
    passes: "handle = thread::scope(|scope| scope.spawn(|| pool.allocate(&outer)).join().expect(\"no panic\"))?;";

    /// Any thread may call the initializer.
    initializer_that_stays_on_its_thread, E0277, FixedPool GrowingPool ThreadLocalPool ThreadSafePool LockFreePool;
    given: "let config = PoolConfig::<String>::builder().capacity(1);",
    fails: "let text = Rc::<str>::from(\"text\"); let config = config.initializer(move || text.to_string());",
    passes: "let text = Arc::<str>::from(\"text\"); let config = config.initializer(move || text.to_string());";

    /// And the reset.
    reset_that_stays_on_its_thread, E0277, FixedPool ThreadSafePool;
    given: "let config = PoolConfig::<String>::builder().capacity(1);",
    fails: "let text = Rc::<str>::from(\"text\"); let config = config.reset_fn(String::new, move |it| it.push_str(&text));",
    passes: "let text = Arc::<str>::from(\"text\"); let config = config.reset_fn(String::new, move |it| it.push_str(&text));";

    /// And the listener, which a thread calls that drops the last handle.
    listener_that_stays_on_its_thread, E0277, ThreadSafePool;
    given: "",
    fails: "let text = Rc::<str>::from(\"text\"); let policy = LeakPolicy::tell(move |_| println!(\"{text}\"));",
    passes: "let text = Arc::<str>::from(\"text\"); let policy = LeakPolicy::tell(move |_| println!(\"{text}\"));";

    /// A clone of an object comes from the pool, which must be one of objects that are sent.
    clone_of_what_stays_on_its_thread, E0277, ThreadSafePool;
    given: "let pool = Pool::new(2)?;",
    fails: "let clone = pool.allocate(Rc::new(1))?.try_clone()?;",
    passes: "let clone = pool.allocate(Arc::new(1))?.try_clone()?;";
}
