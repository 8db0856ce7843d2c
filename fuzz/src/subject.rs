//! What all pools have in common, so that one machine can run programs for each of them.

use std::any::Any;
use std::fmt::Debug;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use fastalloc::{
    Allocator, Error, GrowingPool, Kind, Outstanding, OwnedHandle, Pool, PoolConfig, PoolStatistics, RcHandle,
    Rejected, Result, SharedHandle, SharedPool, Sharing, ThreadSafeHandle, ThreadSafePool, ThreadSafeSharedHandle,
    ThreadSafeWeakHandle, WeakHandle,
};

use crate::program::Form;
use crate::world::{Named, Site, Value, user_code};

pub(crate) trait Subject<T: Value>: Debug + Sized + 'static {
    const IS_SHARED: bool;

    type Owned: Owned<T>;
    /// Keeps the pool.
    type Rc: Deref<Target = T>;

    fn make(config: PoolConfig<T>) -> Result<Self>;
    /// Without an error if the form has none.
    fn allocate_by(&'static self, form: Form) -> Result<Self::Owned, Option<Error>>;
    /// With a timeout of zero, if there are timeouts.
    fn in_no_time(&'static self, acquire: bool) -> Result<Self::Owned>;
    fn allocate_shared(&'static self) -> Result<SharedOf<T, Self>>;
    fn allocate_rc(self: &Rc<Self>, acquire: bool) -> Result<Self::Rc>;
    fn allocate_batch<I: ExactSizeIterator<Item = T>>(&'static self, values: I) -> Result<Vec<Self::Owned>>;
    fn capacity(&self) -> usize;
    fn available(&self) -> usize;
    fn allocated(&self) -> usize;
    fn is_full(&self) -> bool;
    fn is_empty(&self) -> bool;
    fn bytes_reserved(&self) -> usize;
    fn outstanding(&self) -> Option<Outstanding>;
    fn statistics(&self) -> PoolStatistics;
    fn reset_statistics(&self);

    /// Whether it can grow now, and the result. `None` if the pool has no such operation; so too below.
    fn reserve(&self, additional: usize) -> Option<(Result<()>, bool)>;
    fn trim(&self, slots: Option<usize>) -> Option<usize>;
    fn wait(&'static self, _acquire: bool) -> Option<Later<Self::Owned>> {
        None
    }
    fn flush_thread(&self) {}
    /// Whether it is closed now.
    fn close(&self) -> bool {
        false
    }
}

pub(crate) type SharedOf<T, P> = <<P as Subject<T>>::Owned as Owned<T>>::Shared;
pub(crate) type WeakOf<T, P> = <SharedOf<T, P> as Shared<T>>::Weak;
pub(crate) type Later<H> = Pin<Box<dyn Future<Output = Result<H>>>>;

pub(crate) trait Owned<T>: DerefMut<Target = T> + Sized + 'static {
    type Unsized: Deref<Target = dyn Named>;
    type Shared: Shared<T, Owned = Self>;

    fn index(&self) -> usize;
    fn try_clone(&self) -> Result<Self>;
    fn into_inner(self) -> T;
    fn leak(self) -> &'static mut T;
    fn into_pin(self) -> Pin<Self>;
    fn unsize(self) -> Self::Unsized;
    fn into_shared(self) -> Self::Shared;
}

pub(crate) trait Shared<T>: Deref<Target = T> + Clone {
    type Owned;
    type Weak: Weak<Self>;

    fn index(&self) -> usize;
    fn counts(&self) -> (usize, usize);
    fn is_same(&self, other: &Self) -> bool;
    fn has_mut(&mut self) -> bool;
    fn downgrade(&self) -> Self::Weak;
    fn try_into_owned(self) -> Result<Self::Owned, Self>;
    fn into_inner(self) -> Option<T>;
}

pub(crate) trait Weak<S>: Clone {
    fn counts(&self) -> (usize, usize);
    fn upgrade(&self) -> Option<S>;
}

macro_rules! handles {
    ($Owned:ident, $Shared:ident, $Weak:ident $(, $pool:lifetime)?) => {
        impl<T: Value> Owned<T> for $Owned<$($pool,)? T> {
            type Unsized = $Owned<$($pool,)? dyn Named>;
            type Shared = $Shared<$($pool,)? T>;

            fn index(&self) -> usize {
                self.index()
            }

            fn try_clone(&self) -> Result<Self> {
                self.try_clone()
            }

            fn into_inner(self) -> T {
                self.into_inner()
            }

            fn leak(self) -> &'static mut T {
                self.leak()
            }

            fn into_pin(self) -> Pin<Self> {
                self.into_pin()
            }

            fn unsize(self) -> Self::Unsized {
                self.unsize(|value| value)
            }

            fn into_shared(self) -> Self::Shared {
                self.into_shared()
            }
        }

        impl<T: Value> Shared<T> for $Shared<$($pool,)? T> {
            type Owned = $Owned<$($pool,)? T>;
            type Weak = $Weak<$($pool,)? T>;

            fn index(&self) -> usize {
                self.index()
            }

            fn counts(&self) -> (usize, usize) {
                (self.strong_count(), self.weak_count())
            }

            fn is_same(&self, other: &Self) -> bool {
                Self::ptr_eq(self, other)
            }

            fn has_mut(&mut self) -> bool {
                self.get_mut().is_some()
            }

            fn downgrade(&self) -> Self::Weak {
                self.downgrade()
            }

            fn try_into_owned(self) -> Result<Self::Owned, Self> {
                self.try_into_owned()
            }

            fn into_inner(self) -> Option<T> {
                self.into_inner()
            }
        }

        impl<T: Value> Weak<$Shared<$($pool,)? T>> for $Weak<$($pool,)? T> {
            fn counts(&self) -> (usize, usize) {
                (self.strong_count(), self.weak_count())
            }

            fn upgrade(&self) -> Option<$Shared<$($pool,)? T>> {
                self.upgrade()
            }
        }
    };
}

handles!(OwnedHandle, SharedHandle, WeakHandle, 'static);
handles!(ThreadSafeHandle, ThreadSafeSharedHandle, ThreadSafeWeakHandle);

/// What pools have under the same names, and which of the family can grow.
macro_rules! same {
    (grows: $Growing:ty) => {
        fn allocate_by(&'static self, form: Form) -> Result<Self::Owned, Option<Error>> {
            let made = || {
                user_code(Site::Closure);
                T::fresh()
            };
            Ok(match form {
                Form::Value => self.allocate(T::fresh())?,
                Form::Try => self.try_allocate(T::fresh()).ok_or(None)?,
                Form::OrReturn => {
                    let value = T::fresh();
                    let id = value.id();
                    self.allocate_or_return(value).map_err(|Rejected { value, error }| {
                        assert_eq!(value.id(), id);
                        error
                    })?
                }
                Form::With => self.allocate_with(made)?,
                Form::TryWith => self.try_allocate_with(made).ok_or(None)?,
                Form::InPlace => self.allocate_in_place(|slot| slot.write(made()))?,
                Form::TryInPlace => self.try_allocate_in_place(|slot| slot.write(made())).ok_or(None)?,
                Form::Acquire => self.acquire()?,
                Form::Timeout => self.in_no_time(false)?,
                Form::AcquireTimeout => self.in_no_time(true)?,
            })
        }

        fn allocate_shared(&'static self) -> Result<SharedOf<T, Self>> {
            self.allocate_shared(T::fresh())
        }

        fn allocate_batch<I: ExactSizeIterator<Item = T>>(&'static self, values: I) -> Result<Vec<Self::Owned>> {
            self.allocate_batch(values)
        }

        fn capacity(&self) -> usize {
            self.capacity()
        }

        fn available(&self) -> usize {
            self.available()
        }

        fn allocated(&self) -> usize {
            self.allocated()
        }

        fn is_full(&self) -> bool {
            self.is_full()
        }

        fn is_empty(&self) -> bool {
            self.is_empty()
        }

        fn bytes_reserved(&self) -> usize {
            self.bytes_reserved()
        }

        fn outstanding(&self) -> Option<Outstanding> {
            self.outstanding()
        }

        fn statistics(&self) -> PoolStatistics {
            self.statistics()
        }

        fn reset_statistics(&self) {
            self.reset_statistics();
        }

        fn reserve(&self, additional: usize) -> Option<(Result<()>, bool)> {
            let pool = (self as &dyn Any).downcast_ref::<$Growing>()?;
            Some((pool.reserve(additional), pool.can_grow()))
        }

        fn trim(&self, slots: Option<usize>) -> Option<usize> {
            let pool = (self as &dyn Any).downcast_ref::<$Growing>()?;
            Some(slots.map_or_else(|| pool.trim(), |slots| pool.trim_to(slots)))
        }
    };
}

impl<T: Value, A: Allocator + Default, K: Kind + 'static> Subject<T> for Pool<T, A, K> {
    const IS_SHARED: bool = false;

    type Owned = OwnedHandle<'static, T>;
    type Rc = RcHandle<T>;

    fn make(config: PoolConfig<T>) -> Result<Self> {
        Self::with_allocator(config, A::default())
    }

    fn in_no_time(&'static self, acquire: bool) -> Result<Self::Owned> {
        if acquire { self.acquire() } else { self.allocate(T::fresh()) }
    }

    fn allocate_rc(self: &Rc<Self>, acquire: bool) -> Result<Self::Rc> {
        if acquire { self.acquire_rc() } else { self.allocate_rc(T::fresh()) }
    }

    same!(grows: GrowingPool<T, A>);
}

impl<T: Value, K: Sharing> Subject<T> for SharedPool<T, K> {
    const IS_SHARED: bool = true;

    type Owned = ThreadSafeHandle<T>;
    type Rc = ThreadSafeHandle<T>;

    fn make(config: PoolConfig<T>) -> Result<Self> {
        Self::with_config(config)
    }

    fn in_no_time(&'static self, acquire: bool) -> Result<Self::Owned> {
        let timeout = Duration::ZERO;
        if acquire { self.acquire_timeout(timeout) } else { self.allocate_timeout(T::fresh(), timeout) }
    }

    fn allocate_rc(self: &Rc<Self>, acquire: bool) -> Result<Self::Rc> {
        if acquire { self.acquire() } else { self.allocate(T::fresh()) }
    }

    fn wait(&'static self, acquire: bool) -> Option<Later<Self::Owned>> {
        Some(Box::pin(if acquire { self.acquire_async() } else { self.allocate_async(T::fresh()) }))
    }

    fn flush_thread(&self) {
        self.flush_thread();
    }

    fn close(&self) -> bool {
        self.close();
        self.is_closed()
    }

    same!(grows: ThreadSafePool<T>);
}
