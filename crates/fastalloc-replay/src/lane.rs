//! The loop that is timed: the steps of a thread.

use std::ptr;

use fastalloc_trace::StepKind;

use crate::cells::{Cells, Object};
use crate::plan::{ObjectMemory, Op, Plan};

/// Bytes of an object that are written, at most.
pub(crate) const TOUCHED_MAX: usize = 4096;
const LINE: usize = 64;
const WORD: usize = size_of::<u64>();

/// What objects are on.
///
/// # Safety
///
/// What `allocate` and `reallocate` return is null, or memory of that size and alignment that is nobody else's until it
/// is freed, by any thread.
pub(crate) unsafe trait Owner: Sync {
    /// Allocates an object; says also whether a pool has refused it.
    fn allocate(&self, memory: &ObjectMemory) -> (*mut u8, bool);

    /// Frees an object.
    ///
    /// # Safety
    ///
    /// The address must be of an object that was allocated here, with that memory and answer, and not been freed.
    unsafe fn free(&self, address: *mut u8, memory: &ObjectMemory, was_refused: bool);

    /// Makes an object, none of a pool, larger or smaller; null if that fails, and then it is as it was.
    ///
    /// # Safety
    ///
    /// The address must be of an object that was allocated here on the heap, with that old memory, and not been freed.
    unsafe fn reallocate(&self, address: *mut u8, old: &ObjectMemory, new: &ObjectMemory) -> *mut u8;
}

/// Sees each step that is taken.
pub(crate) trait Watch {
    /// Calls the step.
    fn step(&mut self, kind: StepKind, take: impl FnOnce());
}

/// Sees nothing.
pub(crate) struct Unwatched;

impl Watch for Unwatched {
    #[inline(always)]
    fn step(&mut self, _kind: StepKind, take: impl FnOnce()) {
        take();
    }
}

/// What happened to a thread's objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Objects that a pool had no room for.
    pub(crate) refused: u64,
    /// Objects that there was no memory for.
    pub(crate) failed: u64,
    /// Objects whose first word was not what had been written: never, unless a heap or a pool is broken.
    pub(crate) damaged: u64,
}

/// Takes the steps of a thread. All threads of the plan must do so at the same time, or it may wait for ever.
pub(crate) fn run(plan: &Plan, lane: usize, cells: &Cells, owner: &impl Owner, watch: &mut impl Watch) -> Outcome {
    if plan.threads() > 1 {
        run_steps::<true, _, _>(plan, lane, cells, owner, watch)
    } else {
        run_steps::<false, _, _>(plan, lane, cells, owner, watch)
    }
}

fn run_steps<const TURNS: bool, O: Owner, W: Watch>(
    plan: &Plan,
    lane: usize,
    cells: &Cells,
    owner: &O,
    watch: &mut W,
) -> Outcome {
    let mut outcome = Outcome::default();
    for op in &plan.lanes[lane] {
        let cell = cells.at(op.place);
        if TURNS {
            cells.wait(cell, op.turn);
        }
        watch.step(op.kind(), || {
            // SAFETY: it is this thread's turn: it has waited for it, or there is no other thread.
            let before = unsafe { cell.get() };
            // SAFETY: what is in a cell is the owner's, and has been there since the last turn.
            let after = unsafe { step(plan, *op, owner, before, &mut outcome) };
            // SAFETY: as above.
            unsafe { cell.set(after) };
        });
        if TURNS {
            cell.done(op.turn);
        }
    }
    outcome
}

/// # Safety
///
/// The object must be the owner's, and nobody else uses it.
#[inline(always)]
unsafe fn step(plan: &Plan, op: Op, owner: &impl Owner, object: Object, outcome: &mut Outcome) -> Object {
    let memory = &plan.layouts[op.layout() as usize];
    match op.kind() {
        StepKind::Allocate => {
            let (address, was_refused) = owner.allocate(memory);
            outcome.refused += u64::from(was_refused);
            if address.is_null() {
                outcome.failed += 1;
                return Object::NONE;
            }
            // SAFETY: the object is fresh, and has that size.
            unsafe { write(address, memory.size(), tag(op)) };
            Object { address, layout: op.layout(), was_refused }
        }
        // There was no memory for it.
        _ if object.address.is_null() => Object::NONE,
        StepKind::Free => {
            let memory = &plan.layouts[object.layout as usize];
            // SAFETY: it was written when it was allocated, and has that size.
            outcome.damaged += u64::from(!unsafe { is_tagged(object.address, memory.size(), previous_tag(op)) });
            // SAFETY: the owner allocated it with that memory, and it is in no cell any more.
            unsafe { owner.free(object.address, memory, object.was_refused) };
            Object::NONE
        }
        StepKind::Reallocate => {
            let old = &plan.layouts[object.layout as usize];
            // SAFETY: the script has reallocations of objects on the heap only.
            let address = unsafe { owner.reallocate(object.address, old, memory) };
            let (kept, now) = if address.is_null() {
                (object, old)
            } else {
                (Object { address, layout: op.layout(), ..object }, memory)
            };
            outcome.failed += u64::from(address.is_null());
            let size = now.size().min(old.size());
            // SAFETY: what it had in common with the old size has been copied.
            outcome.damaged += u64::from(!unsafe { is_tagged(kept.address, size, previous_tag(op)) });
            // SAFETY: it has that size, and nobody else uses it.
            unsafe { write(kept.address, now.size(), tag(op)) };
            kept
        }
    }
}

/// Tells the tenants of all places apart.
#[inline(always)]
fn tag(op: Op) -> u64 {
    u64::from(op.place) << 32 | u64::from(op.turn)
}

/// What the last step at this place has written.
#[inline(always)]
fn previous_tag(op: Op) -> u64 {
    u64::from(op.place) << 32 | u64::from(op.turn.wrapping_sub(1))
}

/// Writes a word in each line, or a byte if there is no room for a word.
///
/// # Safety
///
/// There must be so many bytes at the address that nobody else uses.
#[inline(always)]
unsafe fn write(address: *mut u8, size: usize, tag: u64) {
    if size < WORD {
        // SAFETY: an object has at least 1 byte.
        unsafe { address.write(tag as u8) };
        return;
    }
    let end = size.min(TOUCHED_MAX) - WORD;
    let mut at = 0;
    while at <= end {
        // SAFETY: a word from here on is within the object.
        let word = unsafe { address.add(at) };
        // SAFETY: as above. The alignment may be any.
        unsafe { word.cast::<u64>().write_unaligned(tag.to_le()) };
        at += LINE;
    }
}

/// Whether [`write`] has written this tag.
///
/// # Safety
///
/// There must be so many bytes at the address, written by `write`.
#[inline(always)]
unsafe fn is_tagged(address: *mut u8, size: usize, tag: u64) -> bool {
    if size < WORD {
        // SAFETY: an object has at least 1 byte, which was written.
        return unsafe { ptr::read(address) } == tag as u8;
    }
    // SAFETY: the first word was written.
    unsafe { ptr::read_unaligned(address.cast::<u64>()) == tag.to_le() }
}
