//! Who may ask for a slot, and when: one core for each kind of sharing.

mod counters;
mod local;
mod scrub;
#[cfg(all(feature = "std", target_has_atomic = "64", target_has_atomic = "ptr"))]
pub(crate) mod threads;

use alloc::rc::Rc;
use core::alloc::Layout;
use core::cell::{Cell, UnsafeCell};
use core::mem;
use core::ptr::{self, NonNull};

use self::counters::Counters;
#[cfg(all(feature = "std", target_has_atomic = "64", target_has_atomic = "ptr"))]
use self::counters::SharedCounters;
pub(crate) use self::local::{Limits, Local, Owner, Vacancy, trim};
pub(crate) use self::scrub::Scrub;
use crate::allocator::StackAllocator;
#[cfg(debug_assertions)]
use crate::bits::Bits;
use crate::chunk::{Chunks, Header, PASSTHROUGH, Share};
use crate::error::Result;
use crate::poolable::{Internal, Poolable, Tenant};

/// The part of a core that does not depend on its types: what a handle finds from its address.
#[derive(Debug)]
pub(crate) struct Head {
    /// A released slot, the next to be handed out; or null. In front of the allocator, which takes it
    /// for occupied. Always [`NOT_PLAIN`] unless the core is plain: released values are destroyed, the
    /// allocator lets the pool keep a hot slot, and no value was ever pinned.
    hot: Cell<*mut u8>,
    /// The core is plain, its geometry natural, and it starts with a `Front<StackAllocator>`: the usual
    /// case, which needs no indirect call.
    usual: Cell<bool>,
    operations: &'static Operations,
    pub(crate) chunks: UnsafeCell<Chunks>,
    /// `RcHandle`s, and the `Rc` of the pool that they own together.
    rc_handles: Cell<usize>,
    keeper: Cell<Option<Keeper>>,
    counters: Counters,
    /// Slots that a handle owns.
    #[cfg(debug_assertions)]
    occupied: UnsafeCell<Bits>,
}

/// Where in the program somebody asks for a slot.
pub(crate) type Place = &'static core::panic::Location<'static>;

/// In place of a hot slot where there must be none.
const NOT_PLAIN: *mut u8 = ptr::dangling_mut();

/// How a core starts that has an allocator of type `A`.
#[derive(Debug)]
#[repr(C)]
struct Front<A> {
    head: Head,
    allocator: UnsafeCell<A>,
}

/// What a core does for handles that do not know its types. Each takes a core whose types are the ones
/// that the functions were made for.
#[derive(Debug)]
struct Operations {
    /// Takes a vacant slot without an object.
    take: unsafe fn(NonNull<Head>, Place) -> Result<NonNull<u8>>,
    /// Ends the use of an occupied slot: hook, then reset or destructor, then the slot is vacant.
    release: unsafe fn(NonNull<Head>, NonNull<u8>),
    /// Makes an occupied slot vacant whose object is gone.
    vacate: unsafe fn(NonNull<Head>, NonNull<u8>),
    /// Gives a slot that no handle owns back to the allocator.
    free: unsafe fn(NonNull<Head>, NonNull<u8>),
    /// Sees to it that the object in an occupied slot is destroyed, untouched, when it is released.
    pin: unsafe fn(NonNull<Head>, NonNull<u8>),
}

/// An `Rc` of a pool whose type was forgotten, and the function that drops it.
#[derive(Debug, Clone, Copy)]
struct Keeper {
    pool: NonNull<()>,
    drop: unsafe fn(NonNull<()>),
}

impl Head {
    #[inline]
    fn is_plain(&self) -> bool {
        self.hot.get() != NOT_PLAIN
    }

    /// Notes that a handle owns the slot from now on.
    #[inline]
    fn occupy(&self, slot: NonNull<u8>, layout: Layout) {
        self.counters.allocated();
        #[cfg(debug_assertions)]
        {
            let index = self.index(slot, layout);
            // SAFETY: no other reference to the set is alive.
            let occupied = unsafe { &mut *self.occupied.get() };
            assert!(!occupied.contains(index), "slot {index} was handed out twice");
            occupied.insert(index);
        }
        let _ = (slot, layout);
    }

    /// Notes that no handle owns the slot any more.
    #[inline]
    fn unoccupy(&self, slot: NonNull<u8>, layout: Layout) {
        self.counters.deallocated();
        #[cfg(debug_assertions)]
        {
            let index = self.index(slot, layout);
            // SAFETY: no other reference to the set is alive.
            let was_occupied = unsafe { &mut *self.occupied.get() }.remove(index);
            assert!(was_occupied, "double release of slot {index}");
        }
        let _ = (slot, layout);
    }

    /// Gets other memory for a slot that was made for values of this layout: see [`PASSTHROUGH`]. Returns its address.
    ///
    /// # Safety
    ///
    /// The slot is one of this core's chunks and holds no object, and nobody will use it by its old address.
    unsafe fn renew(&self, slot: NonNull<u8>, layout: Layout) -> NonNull<u8> {
        let index = self.index(slot, layout);
        // SAFETY: no other reference to the chunks is alive.
        let chunks = unsafe { &mut *self.chunks.get() };
        // SAFETY: the caller says so.
        unsafe { chunks.renew(index) }
    }

    /// Index of one of the core's slots, which are made for values of this layout.
    #[inline]
    fn index(&self, slot: NonNull<u8>, layout: Layout) -> usize {
        // SAFETY: the slot is one of this core.
        let header = unsafe { Header::beside(slot, layout) };
        header.first_index + self.position(header, slot, layout)
    }

    /// Position of a slot in its chunk.
    #[inline]
    fn position(&self, header: &Header, slot: NonNull<u8>, layout: Layout) -> usize {
        // SAFETY: nobody changes the chunks while a reference to the geometry is alive.
        unsafe { &*self.chunks.get() }.geometry().position_for(header, slot.addr().get(), layout)
    }
}

/// What the address of a value in an occupied slot leads to.
struct Location<'core> {
    header: &'core Header,
    head: NonNull<Head>,
    /// The same as `head`.
    core: &'core Head,
    /// The slot with the provenance of its chunk: that of the value may end with the value.
    slot: NonNull<u8>,
    layout: Layout,
}

impl Location<'_> {
    /// # Safety
    ///
    /// `value` is in an occupied slot of a pool that outlives the result.
    #[inline]
    unsafe fn of<T: ?Sized>(value: NonNull<T>) -> Self {
        // SAFETY: the caller says so.
        let chunk = unsafe { Header::of(value) };
        // SAFETY: the header of an occupied slot is initialized, and changed through its cells only.
        let header = unsafe { chunk.as_ref() };
        // SAFETY: the core of an occupied slot is alive, and changed through its cells only.
        let core = unsafe { header.head.as_ref() };
        // SAFETY: the value is initialized, and the reference ends here.
        let layout = Layout::for_value(unsafe { value.as_ref() });
        Self { header, head: header.head, core, slot: chunk.cast::<u8>().with_addr(value.addr()), layout }
    }
}

/// Ends the use of a slot: hook, then reset or destructor, then the slot is vacant.
///
/// # Safety
///
/// `value` is in an occupied slot, and is not used afterwards.
#[inline]
pub(crate) unsafe fn release<T: ?Sized + Tenant>(mut value: NonNull<T>) {
    // SAFETY: the caller says that the slot is occupied.
    let Location { head, core, slot, layout, .. } = unsafe { Location::of(value) };
    if !core.is_plain() || is_fat::<T>() {
        // The core knows what was put into the slot, also if the handle was converted since.
        // SAFETY: the slot is occupied, and the core's operations are for its own types.
        return unsafe { (core.operations.release)(head, slot) };
    }
    // Each step happens even if the one before it unwinds.
    let vacate = Defer(|| vacate(core, head, slot, layout));
    // SAFETY: the value is initialized and not used afterwards.
    let destroy = Defer(move || unsafe { value.drop_in_place() });
    // SAFETY: the value is initialized, and nobody else uses it.
    unsafe { value.as_mut() }.release_hook(Internal(()));
    drop(destroy);
    drop(vacate);
}

/// Ends the use of a slot whose value was moved out.
///
/// # Safety
///
/// `value` is in an occupied slot, and is not used afterwards, nor destroyed.
#[inline]
pub(crate) unsafe fn forget_value<T>(value: NonNull<T>) {
    // SAFETY: the caller says that the slot is occupied; what its value was does not matter here.
    let Location { head, core, slot, layout, .. } = unsafe { Location::of(value) };
    if core.is_plain() {
        vacate(core, head, slot, layout);
    } else {
        // SAFETY: the slot is occupied, and the core's operations are for its own types.
        unsafe { (core.operations.vacate)(head, slot) };
    }
}

/// Makes a slot vacant that was made for values of this layout, in a core that was plain when the value
/// was released: a hook or a destructor may have pinned another value since.
#[inline]
fn vacate(core: &Head, head: NonNull<Head>, slot: NonNull<u8>, layout: Layout) {
    core.unoccupy(slot, layout);
    // SAFETY: the object is gone, and no handle owns the slot any more.
    let slot = if PASSTHROUGH { unsafe { core.renew(slot, layout) } } else { slot };
    let Some(hot) = NonNull::new(core.hot.get()) else { return core.hot.set(slot.as_ptr()) };
    if core.usual.get() {
        core.hot.set(slot.as_ptr());
        // SAFETY: `usual` says that the core starts so; it is changed through cells only.
        let front = unsafe { head.cast::<Front<StackAllocator>>().as_ref() };
        // SAFETY: a usual core is plain, and so the hot slot is one of this core.
        let header = unsafe { Header::beside(hot, layout) };
        let index = header.first_index + header.natural_position(hot.addr().get(), layout);
        // SAFETY: no other reference to the allocator is alive.
        let allocator = unsafe { &mut *front.allocator.get() };
        // SAFETY: the index is that of the hot slot, which the allocator takes for occupied.
        unsafe { allocator.free_unchecked(index) };
    } else {
        let colder = if core.is_plain() {
            core.hot.set(slot.as_ptr());
            hot
        } else {
            slot
        };
        // SAFETY: the slot is occupied for the allocator: it was the hot one, or a handle's.
        unsafe { (core.operations.free)(head, colder) };
    }
}

/// Index of an occupied slot.
///
/// # Safety
///
/// `value` is in an occupied slot.
#[inline]
pub(crate) unsafe fn index<T: ?Sized>(value: NonNull<T>) -> usize {
    // SAFETY: the caller says so.
    let Location { core, slot, layout, .. } = unsafe { Location::of(value) };
    core.index(slot, layout)
}

/// Whether a value is in an occupied slot; always `true` in release builds.
///
/// # Safety
///
/// `value` points into a slot, occupied or vacant, of a pool that is alive.
#[inline]
pub(crate) unsafe fn is_occupied<T: ?Sized>(value: NonNull<T>) -> bool {
    #[cfg(debug_assertions)]
    {
        // SAFETY: the caller says so; a slot that is found vacant is reported, not used.
        let Location { core, slot, layout, .. } = unsafe { Location::of(value) };
        let index = core.index(slot, layout);
        // SAFETY: no mutable reference to the set is alive.
        unsafe { &*core.occupied.get() }.contains(index)
    }
    #[cfg(not(debug_assertions))]
    {
        let _ = value;
        true
    }
}

/// Puts what `f` returns into another slot of the pool that a value is in, for somebody at a place in the program.
///
/// # Safety
///
/// `value` is in an occupied slot, made for a `T`.
pub(crate) unsafe fn allocate_beside<T: Poolable>(
    value: NonNull<T>,
    place: Place,
    f: impl FnOnce() -> T,
) -> Result<NonNull<T>> {
    // SAFETY: the caller says so.
    let Location { head, core, .. } = unsafe { Location::of(value) };
    let operations = core.operations;
    // SAFETY: the core's operations are for its own types.
    let slot = unsafe { (operations.take)(head, place) }?;
    // SAFETY: the slot is occupied and, if this runs, holds no object.
    let vacate = Defer(|| unsafe { (operations.vacate)(head, slot) });
    let mut value = slot.cast::<T>();
    let object = f();
    // SAFETY: the slot is new and holds no object.
    unsafe { value.write(object) };
    // SAFETY: the object is nobody else's.
    let destroy = Defer(move || unsafe { value.drop_in_place() });
    // SAFETY: the object was just written, and is nobody else's.
    unsafe { value.as_mut() }.on_acquire();
    mem::forget(destroy);
    mem::forget(vacate);
    Ok(value)
}

/// Converts a pointer to a value by a coercion of references.
///
/// # Panics
///
/// If `f` returns a reference with another address, size or alignment than those of the value.
///
/// # Safety
///
/// `value` is in an occupied slot, and nobody else uses it.
pub(crate) unsafe fn unsize<T, U: ?Sized>(mut value: NonNull<T>, f: fn(&mut T) -> &mut U) -> NonNull<U> {
    const { assert!(is_fat::<U>(), "a handle can be converted to one of a trait object or a slice only") };
    let address = value.addr();
    // SAFETY: the caller says so.
    let converted = f(unsafe { value.as_mut() });
    // The layout leads from a value to its chunk.
    let same_layout = Layout::for_value(converted) == Layout::new::<T>();
    let converted = NonNull::from(converted);
    assert!(
        converted.addr() == address && same_layout,
        "the function returned a reference to something else than the whole value"
    );
    converted
}

/// Whether pointers to `T` are wider than addresses, which those to sized types never are.
const fn is_fat<T: ?Sized>() -> bool {
    size_of::<NonNull<T>>() > size_of::<usize>()
}

/// Sees to it that a value is destroyed when it is released: neither the hook nor a reset get a reference
/// by which they could move it, and it is never handed out again.
///
/// # Panics
///
/// If there is no memory to note it.
///
/// # Safety
///
/// `value` is in an occupied slot.
pub(crate) unsafe fn pin<T: ?Sized>(value: NonNull<T>) {
    // SAFETY: the caller says so.
    let Location { head, core, slot, .. } = unsafe { Location::of(value) };
    // SAFETY: the slot is occupied, and the core's operations are for its own types.
    unsafe { (core.operations.pin)(head, slot) };
}

/// The counts of an object, in a table that is made for its chunk if there is none.
///
/// # Safety
///
/// `value` is in an occupied slot, whose pool outlives the reference.
pub(crate) unsafe fn share<'pool, T: ?Sized>(value: NonNull<T>) -> Result<&'pool Share> {
    // SAFETY: the caller says so.
    let Location { header, core, .. } = unsafe { Location::of(value) };
    // SAFETY: no other reference to the chunks is alive.
    unsafe { &mut *core.chunks.get() }.share(header)?;
    // SAFETY: the chunk has a table now.
    Ok(unsafe { shared(value) })
}

/// The counts of an object.
///
/// # Safety
///
/// `value` is in an occupied slot of a chunk that has a table and outlives the reference.
#[inline]
pub(crate) unsafe fn shared<'pool, T: ?Sized>(value: NonNull<T>) -> &'pool Share {
    // SAFETY: the caller says so.
    let Location { header, core, slot, layout, .. } = unsafe { Location::of(value) };
    // SAFETY: the table has an entry for each slot of the chunk.
    let share = unsafe { header.shares().add(core.position(header, slot, layout)) };
    // SAFETY: the table was zeroed, which is valid for counts; they are changed through cells only.
    unsafe { &*share }
}

/// Counts a handle that owns a share of the `Rc` that its pool is in.
///
/// # Safety
///
/// `value` is in an occupied slot of `pool`.
#[inline]
pub(crate) unsafe fn retain<T, P>(value: NonNull<T>, pool: &Rc<P>) {
    unsafe fn drop_pool<P>(pool: NonNull<()>) {
        // SAFETY: `retain` made the pointer from an `Rc` of the same type.
        drop(unsafe { Rc::from_raw(pool.as_ptr().cast::<P>().cast_const()) });
    }
    // SAFETY: the caller says so.
    let Location { core, .. } = unsafe { Location::of(value) };
    if core.rc_handles.get() == 0 {
        let pool = Rc::into_raw(Rc::clone(pool)).cast_mut();
        // SAFETY: an `Rc` is never null.
        let pool = unsafe { NonNull::new_unchecked(pool) }.cast();
        core.keeper.set(Some(Keeper { pool, drop: drop_pool::<P> }));
    }
    core.rc_handles.set(core.rc_handles.get() + 1);
}

/// Counts a handle less; with the last one goes its share of the pool, and perhaps the pool.
///
/// # Safety
///
/// `head` is the core of an `Rc`'s pool, and [`retain`] counted the handle.
#[inline]
pub(crate) unsafe fn let_go(head: NonNull<Head>) {
    // SAFETY: the core is alive as long as handles are counted; it is changed through cells only.
    let core = unsafe { head.as_ref() };
    core.rc_handles.set(core.rc_handles.get() - 1);
    if core.rc_handles.get() > 0 {
        return;
    }
    if let Some(keeper) = core.keeper.take() {
        // SAFETY: `retain` made the keeper, and `take` sees to it that it is used once.
        unsafe { (keeper.drop)(keeper.pool) };
    }
}

/// The core of an occupied slot.
///
/// # Safety
///
/// `value` is in an occupied slot.
#[inline]
pub(crate) unsafe fn core_of<T: ?Sized>(value: NonNull<T>) -> NonNull<Head> {
    // SAFETY: the caller says so.
    unsafe { Location::of(value) }.head
}

/// Runs a function when dropped: also while the stack unwinds.
pub(crate) struct Defer<F: FnMut()>(pub(crate) F);

impl<F: FnMut()> Drop for Defer<F> {
    #[inline]
    fn drop(&mut self) {
        (self.0)();
    }
}
