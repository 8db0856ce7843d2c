//! Sizes, and the traits that the compiler derives: changes of these break users' programs.

use std::cell::Cell;
use std::fmt::Debug;
use std::marker::PhantomPinned;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;
use std::sync::{Arc, MutexGuard};

use fastalloc::{Allocation, Locking, ThreadSafeHandle, ThreadSafePool, ThreadSafeSharedHandle, ThreadSafeWeakHandle};

use crate::support::traits;

/// Can be shared by threads, but not sent.
type Guard = MutexGuard<'static, u8>;

traits! {
    ThreadSafePool<String>: [Send Sync Clone Unpin UnwindSafe RefUnwindSafe Debug], not [Copy];
    // A pool gives no reference to an object to two threads.
    ThreadSafePool<Cell<u8>>: [Send Sync], not [];
    ThreadSafePool<fastalloc::Foreign<Guard>>: [Clone], not [Send Sync];
    ThreadSafePool<Rc<u8>>: [Clone Unpin], not [Send Sync];
    ThreadSafePool<PhantomPinned>: [Send Sync Unpin], not [];

    ThreadSafeHandle<String>: [Send Sync Unpin UnwindSafe RefUnwindSafe Debug], not [Clone Copy];
    ThreadSafeHandle<Cell<u8>>: [Send], not [Sync Clone];
    ThreadSafeHandle<fastalloc::Foreign<Guard>>: [Sync], not [Send];
    ThreadSafeHandle<Rc<u8>>: [Unpin], not [Send Sync];
    ThreadSafeHandle<PhantomPinned>: [Send Sync Unpin], not [];
    ThreadSafeHandle<dyn Debug>: [Unpin Debug], not [Send Sync];
    ThreadSafeHandle<dyn Debug + Send>: [Send], not [Sync];
    ThreadSafeHandle<[u8]>: [Send Sync], not [Clone];

    ThreadSafeSharedHandle<String>: [Send Sync Clone Unpin UnwindSafe RefUnwindSafe Debug], not [Copy];
    ThreadSafeSharedHandle<Cell<u8>>: [Clone], not [Send Sync];
    ThreadSafeSharedHandle<fastalloc::Foreign<Guard>>: [Clone], not [Send Sync];
    ThreadSafeSharedHandle<dyn Debug + Send>: [Clone], not [Send Sync];
    ThreadSafeSharedHandle<dyn Debug + Send + Sync>: [Send Sync Clone], not [];

    ThreadSafeWeakHandle<String>: [Send Sync Clone Debug], not [Copy];
    ThreadSafeWeakHandle<Cell<u8>>: [Clone Debug], not [Send Sync];
    ThreadSafeWeakHandle<fastalloc::Foreign<Guard>>: [Clone], not [Send Sync];

    Allocation<'static, String, Locking>: [Send Sync Unpin Debug], not [Clone];
    Allocation<'static, Rc<u8>, Locking>: [Unpin], not [Send Sync];
    Allocation<'static, PhantomPinned, Locking>: [Send Unpin], not [];
    // A task that waits may go from thread to thread if its value may.
    Allocation<'static, Cell<u8>, Locking>: [Send], not [Sync];
}

#[cfg(feature = "lock-free")]
traits! {
    fastalloc::LockFreePool<String>: [Send Sync Clone Unpin UnwindSafe RefUnwindSafe Debug], not [Copy];
    fastalloc::LockFreePool<Cell<u8>>: [Send Sync], not [];
    fastalloc::LockFreePool<fastalloc::Foreign<Guard>>: [Clone], not [Send Sync];
    fastalloc::LockFreePool<Rc<u8>>: [Clone], not [Send Sync];
    Allocation<'static, String, fastalloc::LockFree>: [Send Sync Unpin Debug], not [Clone];
    Allocation<'static, Rc<u8>, fastalloc::LockFree>: [Unpin], not [Send Sync];
    Allocation<'static, Cell<u8>, fastalloc::LockFree>: [Send], not [Sync];
}

#[test]
fn handles_are_as_wide_as_pointers() {
    assert_eq!(size_of::<ThreadSafeHandle<String>>(), size_of::<Box<String>>());
    assert_eq!(size_of::<Option<ThreadSafeHandle<()>>>(), size_of::<usize>());
    assert_eq!(size_of::<ThreadSafeSharedHandle<String>>(), size_of::<Arc<String>>());
    assert_eq!(size_of::<Option<ThreadSafeSharedHandle<String>>>(), size_of::<usize>());
    assert_eq!(size_of::<Option<ThreadSafeWeakHandle<String>>>(), size_of::<ThreadSafeWeakHandle<String>>());
    assert_eq!(size_of::<ThreadSafePool<String>>(), size_of::<usize>());
    assert_eq!(size_of::<Option<ThreadSafePool<String>>>(), size_of::<usize>());
}

#[test]
fn handles_of_unsized_values_are_two_words_wide() {
    assert_eq!(size_of::<ThreadSafeHandle<dyn Debug>>(), size_of::<Box<dyn Debug>>());
    assert_eq!(size_of::<Option<ThreadSafeHandle<[u8]>>>(), size_of::<Box<[u8]>>());
    assert_eq!(size_of::<ThreadSafeSharedHandle<dyn Debug>>(), size_of::<Arc<dyn Debug>>());
}
