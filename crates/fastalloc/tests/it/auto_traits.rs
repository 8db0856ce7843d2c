//! Sizes, and the traits that the compiler derives: changes of these break users' programs.

use std::cell::{Cell, RefCell};
use std::fmt::Debug;
use std::marker::PhantomPinned;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;

use fastalloc::{
    BitmapAllocator, Error, FixedPool, FreeListAllocator, GrowingPool, GrowthStrategy, InitializationStrategy,
    OwnedHandle, PoolConfig, PoolConfigBuilder, RcHandle, Rejected, SharedHandle, StackAllocator, ThreadLocalPool,
    WeakHandle,
};

use crate::support::traits;

traits! {
    FixedPool<String>: [Send Unpin UnwindSafe RefUnwindSafe Debug], not [Sync Clone];
    FixedPool<Cell<u8>, BitmapAllocator>: [Send], not [Sync];
    FixedPool<Rc<u8>>: [Unpin UnwindSafe], not [Send Sync];
    FixedPool<PhantomPinned>: [Unpin], not [Sync];
    GrowingPool<String, FreeListAllocator>: [Send Unpin UnwindSafe RefUnwindSafe Debug], not [Sync Clone];
    GrowingPool<Rc<u8>>: [], not [Send Sync];
    ThreadLocalPool<String>: [Unpin UnwindSafe RefUnwindSafe Debug], not [Send Sync];

    OwnedHandle<'static, String>: [Unpin UnwindSafe RefUnwindSafe], not [Send Sync Clone Copy];
    OwnedHandle<'static, PhantomPinned>: [Unpin], not [Send Sync];
    OwnedHandle<'static, RefCell<u8>>: [UnwindSafe], not [RefUnwindSafe Send];
    RcHandle<String>: [Unpin UnwindSafe RefUnwindSafe], not [Send Sync Clone];
    RcHandle<PhantomPinned>: [Unpin], not [Send Sync];
    SharedHandle<'static, String>: [Unpin UnwindSafe RefUnwindSafe Clone], not [Send Sync Copy];
    WeakHandle<'static, String>: [Clone Debug], not [Send Sync Copy];

    StackAllocator: [Send Sync Unpin UnwindSafe RefUnwindSafe Debug Default], not [Clone];
    FreeListAllocator: [Send Sync Unpin UnwindSafe RefUnwindSafe Debug Default], not [Clone];
    BitmapAllocator: [Send Sync Unpin UnwindSafe RefUnwindSafe Debug Default], not [Clone];

    PoolConfig<Rc<u8>>: [Send Sync Unpin Debug], not [Clone];
    PoolConfigBuilder<Rc<u8>>: [Send Sync Unpin Debug Default], not [Clone];
    GrowthStrategy: [Send Sync Unpin Debug], not [Clone];
    InitializationStrategy<Rc<u8>>: [Send Sync Unpin Debug Default], not [Clone];
    Error: [Send Sync Unpin UnwindSafe RefUnwindSafe Debug Clone PartialEq Eq], not [Copy];
    Rejected<u8>: [Send Sync Unpin Debug Clone PartialEq Eq], not [Copy];
    Rejected<Rc<u8>>: [Unpin], not [Send Sync];
}

#[test]
fn handle_is_as_wide_as_a_box() {
    assert_eq!(size_of::<OwnedHandle<'_, String>>(), size_of::<Box<String>>());
    assert_eq!(size_of::<OwnedHandle<'_, ()>>(), size_of::<usize>());
    assert_eq!(size_of::<SharedHandle<'_, String>>(), size_of::<Rc<String>>());
    assert_eq!(size_of::<RcHandle<String>>(), size_of::<usize>());
}

#[test]
fn optional_handle_is_as_wide_as_a_handle() {
    assert_eq!(size_of::<Option<OwnedHandle<'_, String>>>(), size_of::<usize>());
    assert_eq!(size_of::<Option<SharedHandle<'_, String>>>(), size_of::<usize>());
    assert_eq!(size_of::<Option<RcHandle<String>>>(), size_of::<usize>());
    assert_eq!(size_of::<Option<WeakHandle<'_, String>>>(), size_of::<WeakHandle<'_, String>>());
}

#[test]
fn handle_of_an_unsized_value_is_two_words_wide() {
    assert_eq!(size_of::<OwnedHandle<'_, dyn Debug>>(), size_of::<Box<dyn Debug>>());
    assert_eq!(size_of::<Option<OwnedHandle<'_, [u8]>>>(), size_of::<Box<[u8]>>());
    assert_eq!(size_of::<SharedHandle<'_, dyn Debug>>(), size_of::<Rc<dyn Debug>>());
    assert_eq!(size_of::<RcHandle<dyn Debug>>(), size_of::<Box<dyn Debug>>());
}

#[test]
fn handle_may_be_used_for_less_than_the_life_of_its_pool() {
    fn shorter<'a>(handle: OwnedHandle<'static, u8>) -> OwnedHandle<'a, u8> {
        handle
    }
    fn shorter_shared<'a>(handle: SharedHandle<'static, u8>) -> SharedHandle<'a, u8> {
        handle
    }
    let _ = (shorter, shorter_shared);
}
