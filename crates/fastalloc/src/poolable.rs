//! What a pool's objects are told: hooks, for pooled types and for what handles to them can become.

use alloc::borrow::{Cow, ToOwned};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, BinaryHeap, LinkedList, VecDeque};
use alloc::rc::{Rc, Weak};
use alloc::string::String;
use alloc::vec::Vec;
use core::any::{Any, TypeId};
use core::cell::{Cell, OnceCell, RefCell, UnsafeCell};
use core::cmp::{Ordering, Reverse};
use core::error::Error;
use core::fmt::{self, Debug, Display};
use core::future::Future;
use core::marker::{PhantomData, PhantomPinned};
use core::mem::{ManuallyDrop, MaybeUninit};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use core::num::{Saturating, Wrapping};
use core::ops::{
    Bound, ControlFlow, Deref, DerefMut, Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive,
};
use core::pin::Pin;
use core::ptr::NonNull;
use core::task::{Poll, Waker};
use core::time::Duration;

/// A type whose values can be kept in a pool.
///
/// Both hooks do nothing unless overridden, and are called statically: a type that overrides none
/// pays nothing. All types of the standard library implement the trait; for types of other crates
/// there is [`Foreign`]. With the feature `derive`, `#[derive(Poolable)]` implements it, with hooks
/// named by attributes.
///
/// A hook may panic, and may use the pool: the object is destroyed then, and its slot is vacant.
///
/// # Examples
///
/// ```
/// use fastalloc::{FixedPool, Poolable};
///
/// struct Connection {
///     requests: u32,
/// }
///
/// impl Poolable for Connection {
///     fn on_acquire(&mut self) {
///         self.requests = 0;
///     }
/// }
///
/// let pool = FixedPool::new(10)?;
/// let connection = pool.allocate(Connection { requests: 7 })?;
/// assert_eq!(connection.requests, 0);
/// # Ok::<(), fastalloc::Error>(())
/// ```
pub trait Poolable {
    /// Called when the object is in its slot and before its handle is returned.
    #[inline]
    fn on_acquire(&mut self) {}

    /// Called when the handle is dropped, before the object is reset or destroyed.
    #[inline]
    fn on_release(&mut self) {}
}

/// What a handle can own: every [`Poolable`] type, and trait objects.
///
/// A handle to a pooled value can be converted to one of a trait object, see
/// [`OwnedHandle::unsize`](crate::OwnedHandle::unsize). That needs this trait:
///
/// - for a trait of your own, write `impl Tenant for dyn Shape {}`, or make [`Poolable`] a supertrait;
/// - `dyn Any`, `Debug`, `Display`, `Error`, `Future`, `Iterator`, `fmt::Write` and the `Fn` family have it;
/// - slices and `str` have it.
///
/// # Examples
///
/// ```
/// use fastalloc::{FixedPool, OwnedHandle, Poolable, Tenant};
///
/// trait Shape {
///     fn area(&self) -> f64;
/// }
/// impl Tenant for dyn Shape {}
///
/// #[derive(Clone, Copy)]
/// struct Square(f64);
/// impl Poolable for Square {}
/// impl Shape for Square {
///     fn area(&self) -> f64 {
///         self.0 * self.0
///     }
/// }
///
/// let squares = FixedPool::new(10)?;
/// let shape: OwnedHandle<'_, dyn Shape> = squares.allocate(Square(3.0))?.unsize(|square| square);
/// assert_eq!(shape.area(), 9.0);
/// # Ok::<(), fastalloc::Error>(())
/// ```
pub trait Tenant {
    /// Calls the hook of a sized value. Handles of unsized ones leave it, and the destructor, to the pool,
    /// which knows what was put into the slot. Only this crate can call or override the function.
    #[doc(hidden)]
    #[inline]
    fn release_hook(&mut self, _: Internal) {}
}

impl<T: Poolable + ?Sized> Tenant for T {
    #[inline]
    fn release_hook(&mut self, _: Internal) {
        self.on_release();
    }
}

/// Makes a function uncallable for other crates.
#[derive(Debug)]
pub struct Internal(pub(crate) ());

/// Makes a type of another crate [`Poolable`], without hooks.
///
/// # Examples
///
/// ```
/// use fastalloc::{FixedPool, Foreign};
/// # mod other { #[derive(Default)] pub struct Parser { pub line: u32 } }
///
/// let pool = FixedPool::new(4)?;
/// let mut parser = pool.allocate(Foreign(other::Parser::default()))?;
/// parser.line += 1;
/// # Ok::<(), fastalloc::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Foreign<T: ?Sized>(pub T);

impl<T: ?Sized> Poolable for Foreign<T> {}

impl<T: ?Sized> Deref for Foreign<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: ?Sized> DerefMut for Foreign<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

/// `impl Poolable` without hooks.
macro_rules! poolable {
    ($($type:ty),* $(,)?) => {
        $(impl Poolable for $type {})*
    };
}

/// `impl Poolable` without hooks, for types with parameters.
macro_rules! poolable_generic {
    ($([$($parameters:tt)*] $type:ty),* $(,)?) => {
        $(impl<$($parameters)*> Poolable for $type {})*
    };
}

poolable! {
    (), bool, char, str, String, u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, f32, f64,
    core::num::NonZeroU8, core::num::NonZeroU16, core::num::NonZeroU32, core::num::NonZeroU64, core::num::NonZeroU128,
    core::num::NonZeroUsize, core::num::NonZeroI8, core::num::NonZeroI16, core::num::NonZeroI32,
    core::num::NonZeroI64, core::num::NonZeroI128, core::num::NonZeroIsize,
    Duration, Ordering, RangeFull, TypeId, PhantomPinned, Waker, IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4,
    SocketAddrV6, core::alloc::Layout, core::ffi::CStr, alloc::ffi::CString, fmt::Error,
}

poolable_generic! {
    [T] [T], [T, const N: usize] [T; N], [T: ?Sized] &T, [T: ?Sized] &mut T, [T: ?Sized] *const T, [T: ?Sized] *mut T,
    [T: ?Sized] NonNull<T>, [T: ?Sized] PhantomData<T>, [T] Option<T>, [T, E] Result<T, E>, [T] Poll<T>, [T] Bound<T>,
    [B, C] ControlFlow<B, C>, [T] Reverse<T>, [T] Wrapping<T>, [T] Saturating<T>, [P] Pin<P>,
    [T: ?Sized] ManuallyDrop<T>, [T] MaybeUninit<T>,
    [T: ?Sized] Cell<T>, [T: ?Sized] RefCell<T>, [T: ?Sized] UnsafeCell<T>, [T] OnceCell<T>,
    [T] Range<T>, [T] RangeFrom<T>, [T] RangeInclusive<T>, [T] RangeTo<T>, [T] RangeToInclusive<T>,
    [T: ?Sized] Box<T>, [T: ?Sized] Rc<T>, [T: ?Sized] Weak<T>, ['a, T: ?Sized + ToOwned] Cow<'a, T>,
    [T] Vec<T>, [T] VecDeque<T>, [T] LinkedList<T>, [T] BinaryHeap<T>, [T] BTreeSet<T>, [K, V] BTreeMap<K, V>,
}

#[cfg(target_has_atomic = "8")]
poolable! { core::sync::atomic::AtomicBool, core::sync::atomic::AtomicU8, core::sync::atomic::AtomicI8 }
#[cfg(target_has_atomic = "16")]
poolable! { core::sync::atomic::AtomicU16, core::sync::atomic::AtomicI16 }
#[cfg(target_has_atomic = "32")]
poolable! { core::sync::atomic::AtomicU32, core::sync::atomic::AtomicI32 }
#[cfg(target_has_atomic = "64")]
poolable! { core::sync::atomic::AtomicU64, core::sync::atomic::AtomicI64 }
#[cfg(target_has_atomic = "ptr")]
poolable! { core::sync::atomic::AtomicUsize, core::sync::atomic::AtomicIsize }
#[cfg(target_has_atomic = "ptr")]
poolable_generic! {
    [T] core::sync::atomic::AtomicPtr<T>, [T: ?Sized] alloc::sync::Arc<T>, [T: ?Sized] alloc::sync::Weak<T>,
}

#[cfg(feature = "std")]
poolable! {
    std::sync::Condvar, std::sync::Barrier, std::sync::Once,
    std::ffi::OsStr, std::ffi::OsString, std::path::Path, std::path::PathBuf, std::io::Error,
    std::fs::File, std::fs::OpenOptions, std::fs::Metadata, std::net::TcpStream, std::net::TcpListener, std::net::UdpSocket,
    std::process::Command, std::process::Child, std::process::Output, std::process::ExitStatus,
    std::thread::Thread, std::thread::ThreadId, std::time::Instant, std::time::SystemTime,
}

#[cfg(feature = "std")]
poolable_generic! {
    [K, V, S] std::collections::HashMap<K, V, S>, [T, S] std::collections::HashSet<T, S>,
    [T: ?Sized] std::sync::Mutex<T>, [T: ?Sized] std::sync::RwLock<T>, [T] std::sync::OnceLock<T>,
    [T] std::sync::mpsc::Sender<T>, [T] std::sync::mpsc::SyncSender<T>, [T] std::sync::mpsc::Receiver<T>,
    [T] std::thread::JoinHandle<T>, [T] std::io::Cursor<T>, [R: ?Sized] std::io::BufReader<R>,
    [W: ?Sized + std::io::Write] std::io::BufWriter<W>, [W: std::io::Write] std::io::LineWriter<W>,
}

/// Calls a macro with the first letters, then with one letter less, and so on.
macro_rules! tuples {
    ($macro:ident) => {};
    ($macro:ident $first:ident $($rest:ident)*) => {
        $macro!($first $($rest)*);
        tuples!($macro $($rest)*);
    };
}

macro_rules! tuple_and_fn_pointers {
    ($($letter:ident)*) => {
        impl<$($letter),*> Poolable for ($($letter,)*) {}
        impl<R, $($letter),*> Poolable for fn($($letter),*) -> R {}
        tenant!([R, $($letter),*] Fn($($letter),*) -> R);
        tenant!([R, $($letter),*] FnMut($($letter),*) -> R);
    };
}

/// `impl Tenant` for a trait object, also for those that can be sent and shared.
macro_rules! tenant {
    ([$($parameters:tt)*] $($object:tt)*) => {
        impl<'a, $($parameters)*> Tenant for dyn $($object)* + 'a {}
        impl<'a, $($parameters)*> Tenant for dyn $($object)* + Send + 'a {}
        impl<'a, $($parameters)*> Tenant for dyn $($object)* + Send + Sync + 'a {}
    };
}

tuples!(tuple_and_fn_pointers A B C D E F G H I J K L);
impl<R> Poolable for fn() -> R {}
tenant!([R] Fn() -> R);
tenant!([R] FnMut() -> R);
tenant!([] Debug);
tenant!([] Display);
tenant!([] Error);
tenant!([] fmt::Write);
tenant!([T] Future<Output = T>);
tenant!([T] Iterator<Item = T>);
impl Tenant for dyn Any {}
impl Tenant for dyn Any + Send {}
impl Tenant for dyn Any + Send + Sync {}
