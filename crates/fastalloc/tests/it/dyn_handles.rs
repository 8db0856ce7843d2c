//! Handles of trait objects and slices, and the traits that handles share with `Box`.

use std::any::Any;
use std::borrow::{Borrow, BorrowMut};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::error::Error as StdError;
use std::fmt::{self, Debug, Display, Write};
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use fastalloc::{Allocator, FixedPool, Foreign, Kind, OwnedHandle, Poolable, RcHandle, Result, SharedHandle, Tenant};

use crate::support::{Reporter, build, config, event, events, on_every_pool, panic_at, panic_message, pool, survive};

on_every_pool! {
    trait_object_runs_hooks_and_destructor_of_its_type
    slice_destroys_all_its_elements
    trait_object_can_be_shared
    recycled_object_stays_one_as_a_trait_object
    conversion_that_panics_releases_the_value_once
    conversion_to_a_part_is_refused
    rc_handle_converts
}

trait Shape {
    fn area(&self) -> u32;
    fn scale(&mut self, factor: u32);
}

impl Tenant for dyn Shape {}

/// A trait whose objects need no `impl` of `Tenant`.
trait Hooked: Poolable {
    fn number(&self) -> u32;
}

struct Square(Reporter);

impl Poolable for Square {
    fn on_acquire(&mut self) {
        event("square acquire");
    }

    fn on_release(&mut self) {
        event("square release");
    }
}

impl Drop for Square {
    fn drop(&mut self) {
        event("square drop");
    }
}

impl Shape for Square {
    fn area(&self) -> u32 {
        self.0.0 * self.0.0
    }

    fn scale(&mut self, factor: u32) {
        self.0.0 *= factor;
    }
}

impl Hooked for Square {
    fn number(&self) -> u32 {
        self.0.0
    }
}

const RELEASED: [&str; 3] = ["square release", "square drop", "drop"];

fn trait_object_runs_hooks_and_destructor_of_its_type<A: Allocator + Default, K: Kind>() {
    let pool = pool::<Square, A, K>(2);
    let square = pool.allocate(Square(Reporter(3))).unwrap();
    let index = square.index();
    let mut shape: OwnedHandle<'_, dyn Shape> = square.unsize(|square| square);
    shape.scale(2);
    assert_eq!((shape.area(), shape.index(), events()), (36, index, vec!["square acquire"]));
    drop(shape);
    assert_eq!(events(), RELEASED);

    let hooked: OwnedHandle<'_, dyn Hooked> = pool.allocate(Square(Reporter(4))).unwrap().unsize(|square| square);
    assert_eq!(hooked.number(), 4);
    events();
    // The hook could move what is pinned.
    drop(hooked.into_pin());
    assert_eq!(events(), RELEASED[1..]);

    let shape: OwnedHandle<'_, dyn Shape> = pool.allocate(Square(Reporter(5))).unwrap().unsize(|square| square);
    let leaked = shape.leak();
    assert_eq!((leaked.area(), pool.allocated()), (25, 1));
    events();
    drop(pool);
    assert_eq!(events(), ["square drop", "drop"]);
}

fn slice_destroys_all_its_elements<A: Allocator + Default, K: Kind>() {
    let pool = pool::<[Reporter; 3], A, K>(1);
    let array = pool.allocate([1, 2, 3].map(Reporter)).unwrap();
    let mut slice: OwnedHandle<'_, [Reporter]> = array.unsize(|array| array);
    slice[1].0 = 20;
    assert_eq!(slice.iter().map(|reporter| reporter.0).collect::<Vec<_>>(), [1, 20, 3]);
    drop(slice);
    assert_eq!((events(), pool.is_empty()), (vec!["drop"; 3], true));
}

fn trait_object_can_be_shared<A: Allocator + Default, K: Kind>() {
    let pool = pool::<Square, A, K>(1);
    let shape: OwnedHandle<'_, dyn Shape> = pool.allocate(Square(Reporter(3))).unwrap().unsize(|square| square);
    let shared = shape.into_shared();
    let (other, weak) = (shared.clone(), shared.downgrade());
    assert_eq!((other.area(), weak.upgrade().map(|shape| shape.area()), weak.strong_count()), (9, Some(9), 2));
    drop((shared, other));
    assert_eq!((weak.upgrade().is_none(), pool.is_empty()), (true, true));
    assert_eq!(events()[1..], RELEASED);
    // The slot is used by another value when the last weak handle looks at it.
    let _next = pool.allocate(Square(Reporter(4))).unwrap();
    assert!(weak.clone().upgrade().is_none() && weak.weak_count() == 0);
}

fn recycled_object_stays_one_as_a_trait_object<A: Allocator + Default, K: Kind>() {
    let reset = |square: &mut Square| {
        event("reset");
        square.0.0 = 1;
    };
    let pool = build::<_, A, K>(config(1).reset_fn(|| Square(Reporter(1)), reset));
    let mut shape: OwnedHandle<'_, dyn Shape> = pool.acquire().unwrap().unsize(|square| square);
    shape.scale(5);
    assert_eq!(shape.area(), 25);
    drop(shape);
    assert_eq!(events(), ["square acquire", "square release", "reset"]);
    assert_eq!(pool.acquire().unwrap().area(), 1);
}

fn conversion_that_panics_releases_the_value_once<A: Allocator + Default, K: Kind>() {
    let pool = pool::<Square, A, K>(1);
    let square = pool.allocate(Square(Reporter(1))).unwrap();
    fn convert(square: &mut Square) -> &mut (dyn Shape + 'static) {
        event("convert");
        square
    }
    events();
    panic_at("convert");
    assert!(survive(|| square.unsize(convert).area()).is_none());
    assert_eq!((events()[1..].to_vec(), pool.is_empty()), (RELEASED.to_vec(), true));
}

fn conversion_to_a_part_is_refused<A: Allocator + Default, K: Kind>() {
    let refusal = "the function returned a reference to something else than the whole value";

    let pairs = pool::<(Reporter, Reporter), A, K>(1);
    let pair = pairs.allocate((Reporter(1), Reporter(2))).unwrap();
    assert_eq!(panic_message(|| drop::<OwnedHandle<'_, dyn Debug>>(pair.unsize(|pair| &mut pair.1))), refusal);
    assert_eq!((events(), pairs.is_empty()), (vec!["drop"; 2], true));

    let arrays = pool::<[u8; 4], A, K>(1);
    type Part = fn(&mut [u8; 4]) -> &mut [u8];
    let parts: [Part; 3] = [|array| &mut array[1..], |array| &mut array[..3], |_| &mut []];
    for part in parts {
        let array = arrays.allocate([1; 4]).unwrap();
        assert_eq!(panic_message(|| drop(array.unsize(part))), refusal);
        assert!(arrays.is_empty());
    }
}

fn rc_handle_converts<A: Allocator + Default, K: Kind + 'static>() {
    let pool = Rc::new(pool::<Square, A, K>(2));
    let weak = Rc::downgrade(&pool);
    let shape: RcHandle<dyn Shape> = pool.allocate_rc(Square(Reporter(3))).unwrap().unsize(|square| square);
    let other: RcHandle<dyn Shape> = pool.allocate_rc(Square(Reporter(4))).unwrap().unsize(|square| square);
    drop(pool);
    assert_eq!((shape.area(), other.area(), shape.index() == other.index()), (9, 16, false));
    events();
    drop(shape);
    assert_eq!((events(), weak.upgrade().is_some()), (RELEASED.to_vec(), true));
    drop(other.into_pin());
    assert!(weak.upgrade().is_none());
}

#[test]
fn trait_objects_of_the_standard_library() -> Result<()> {
    let texts = FixedPool::<String>::new(8)?;
    let text = || texts.allocate("text".into());
    let debug: OwnedHandle<'_, dyn Debug> = text()?.unsize(|text| text);
    let display: OwnedHandle<'_, dyn Display + Send + Sync> = text()?.unsize(|text| text);
    let mut write: OwnedHandle<'_, dyn Write> = text()?.unsize(|text| text);
    let any: OwnedHandle<'_, dyn Any> = text()?.unsize(|text| text);
    write.write_str(" and more").unwrap();
    assert_eq!((format!("{debug:?}"), display.to_string()), ("\"text\"".into(), "text".into()));
    assert!(any.downcast_ref::<String>().is_some_and(|text| text == "text"));

    let functions = FixedPool::new(2)?;
    let offset = 10;
    let add: OwnedHandle<'_, dyn Fn(u32) -> u32> =
        functions.allocate(Foreign(move |x| x + offset))?.unsize(|f| &mut f.0);
    assert_eq!((*add)(5), 15);

    let counters = FixedPool::new(1)?;
    let mut count = 0;
    let counter = Foreign(move || {
        count += 1;
        count
    });
    let mut counter: OwnedHandle<'_, dyn FnMut() -> u32> = counters.allocate(counter)?.unsize(|f| &mut f.0);
    assert_eq!(((*counter)(), (*counter)()), (1, 2));

    let errors = FixedPool::new(1)?;
    let error: OwnedHandle<'_, dyn StdError> =
        errors.allocate(Foreign(fastalloc::Error::InvalidCapacity))?.unsize(|error| &mut error.0);
    assert!(error.to_string().starts_with("capacity is 0"));

    let ranges = FixedPool::new(1)?;
    let mut numbers: OwnedHandle<'_, dyn Iterator<Item = u32>> = ranges.allocate(1..4)?.unsize(|range| range);
    assert_eq!((numbers.next(), numbers.by_ref().sum::<u32>()), (Some(1), 5));

    let futures = FixedPool::new(1)?;
    let future = Foreign(async { 5 });
    let future: OwnedHandle<'_, dyn Future<Output = u32>> = futures.allocate(future)?.unsize(|future| &mut future.0);
    assert_eq!(poll(future.into_pin().as_mut()), Poll::Ready(5));
    Ok(())
}

fn poll<T>(future: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn handles_print_as_their_values() -> Result<()> {
    let pool = FixedPool::new(2)?;
    let number = pool.allocate(42)?;
    assert_eq!(format!("{number} {number:?} {number:>5} {number:#x?}"), "42 42    42 0x2a");
    assert_eq!(format!("{number:p}"), format!("{:p}", &raw const *number));
    let shared = number.into_shared();
    assert_eq!(format!("{shared} {shared:?} {:?}", shared.downgrade()), "42 42 (WeakHandle)");
    Ok(())
}

#[test]
fn handles_compare_as_their_values() -> Result<()> {
    let pool = FixedPool::new(9)?;
    let handles = pool.allocate_batch([2, 1, 2])?;
    assert!(handles[0] == handles[2] && handles[1] < handles[0] && handles[0] >= handles[2]);
    assert_eq!(handles.iter().max().map(|handle| **handle), Some(2));
    let sorted: BTreeSet<OwnedHandle<'_, i32>> = handles.into_iter().collect();
    assert!(sorted.iter().map(|handle| **handle).eq([1, 2]));
    let shared: HashSet<SharedHandle<'_, i32>> =
        [pool.allocate_shared(5)?, pool.allocate_shared(5)?].into_iter().collect();
    assert!(shared.len() == 1 && shared.contains(&5));
    Ok(())
}

#[test]
fn handles_are_keys_that_values_find() -> Result<()> {
    let pool = FixedPool::<String>::new(2)?;
    let mut map = HashMap::new();
    map.insert(pool.allocate("one".into())?, 1);
    map.insert(pool.allocate("two".into())?, 2);
    assert_eq!(map.get(&String::from("two")), Some(&2));
    Ok(())
}

#[test]
fn handles_borrow_their_values() -> Result<()> {
    fn lengths<T: AsRef<String> + Borrow<String>>(text: &T) -> (usize, usize) {
        (text.as_ref().len(), text.borrow().len())
    }
    let pool = FixedPool::<String>::new(1)?;
    let mut text = pool.allocate("text".into())?;
    AsMut::<String>::as_mut(&mut text).push('!');
    BorrowMut::<String>::borrow_mut(&mut text).push('?');
    assert_eq!(lengths(&text), (6, 6));
    Ok(())
}

/// An error with a cause.
#[derive(Debug)]
struct Failure(fmt::Error);

impl Poolable for Failure {}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failed")
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

#[test]
fn handle_of_an_error_is_an_error() -> Result<()> {
    let pool = FixedPool::new(1)?;
    let failure = pool.allocate(Failure(fmt::Error))?;
    let error: &dyn StdError = &failure;
    assert_eq!((error.to_string(), error.source().is_some()), ("failed".into(), true));
    Ok(())
}

#[test]
fn handle_of_an_iterator_is_an_iterator() -> Result<()> {
    let pool = FixedPool::new(1)?;
    let mut range = pool.allocate(0..10)?;
    assert_eq!((range.len(), range.nth(2), range.next_back(), range.size_hint()), (10, Some(2), Some(9), (6, Some(6))));
    assert!(range.rev().eq((3..9).rev()));
    Ok(())
}

#[test]
fn handle_of_a_writer_is_a_writer() -> Result<()> {
    let pool = FixedPool::<String>::new(1)?;
    let mut text = pool.allocate(String::new())?;
    write!(text, "{}-{}", 1, 2).unwrap();
    assert_eq!(*text, "1-2");
    Ok(())
}

/// Ready at the second poll, at the same place.
#[derive(Default)]
struct Twice {
    polled_at: Option<usize>,
    _pin: std::marker::PhantomPinned,
}

impl Poolable for Twice {}

impl Future for Twice {
    type Output = bool;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<bool> {
        let address = std::ptr::from_ref(&*self).addr();
        // SAFETY: nothing is moved.
        let this = unsafe { self.get_unchecked_mut() };
        match this.polled_at.replace(address) {
            None => Poll::Pending,
            Some(before) => Poll::Ready(before == address),
        }
    }
}

#[test]
fn pinned_handle_of_a_future_is_a_future() -> Result<()> {
    let pool = FixedPool::<Twice>::new(1)?;
    let mut future = pool.allocate(Twice::default())?.into_pin();
    assert_eq!(poll(future.as_mut()), Poll::Pending);
    let mut moved = Box::new(future);
    assert_eq!(poll(moved.as_mut().as_mut()), Poll::Ready(true));

    let ready = FixedPool::new(1)?;
    let future = ready.allocate(Foreign(std::future::ready(5)))?;
    assert_eq!(poll(pin!(async { future.into_inner().0.await })), Poll::Ready(5));
    Ok(())
}
