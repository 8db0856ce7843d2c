//! Which object is whose: the slots of a pool, without a word of Python.
//!
//! Objects and handles are plain pointers here, compared and never followed. So nothing in this file can run code of
//! the program, and its invariants hold whenever a method has returned.

#![forbid(unsafe_code)]

use core::ffi::c_void;
use std::collections::HashMap;

use fastalloc::{Allocator, Result, StackAllocator};

use crate::table::Table;

/// An object of Python.
pub type Object = *mut c_void;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No object.
    Vacant,
    /// An object, and nobody uses it.
    Free,
    /// As `Free`; other slots have the same object.
    FreeTwin,
    /// In use, got by `get`.
    Taken,
    /// In use, got through the handle in `Slot::handle`.
    Lent,
    /// Between two of the others: with or without an object, but nobody else's until that is decided.
    Held,
}

#[derive(Debug)]
struct Slot {
    /// Null if the slot has none. The pool owns a reference to it.
    object: Object,
    /// The handle made for this slot, or null. The pool owns a reference to it unless the slot is `Lent`.
    handle: Object,
    state: State,
    /// Other slots have the same object.
    twin: bool,
    /// Where the slot is in `Twins::in_use`, if it is.
    position: u32,
}

/// What `take` found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// This slot has an object that may be handed out; it is held.
    Object(usize),
    /// This slot has room for an object; it is held.
    Room(usize),
    /// All slots are in use.
    Nothing,
}

/// An object that is in several slots, as a factory may return the same one again and again.
#[derive(Debug, Default)]
struct Twins {
    /// How many slots have it.
    slots: usize,
    /// Those that are in use.
    in_use: Vec<u32>,
}

impl Twins {
    /// Notes that a slot is in use, and says where.
    fn enter(&mut self, index: u32) -> u32 {
        self.in_use.push(index);
        self.in_use.len() as u32 - 1
    }
}

#[derive(Debug, Default)]
pub struct Slots {
    /// Those that were ever used. The others, up to the capacity, are vacant.
    slots: Vec<Slot>,
    /// Slots that are free, and those never used.
    free: StackAllocator,
    /// Slots that were used, and are vacant now.
    vacant: Vec<u32>,
    /// Finds a slot by its object, unless the object has twins.
    table: Table,
    twins: HashMap<usize, Twins>,
    /// The slot taken last: the likeliest to be released next.
    last: usize,
}

impl Slots {
    pub fn grow(&mut self, additional: usize) -> Result<()> {
        self.free.grow(additional)
    }

    pub fn capacity(&self) -> usize {
        self.free.capacity()
    }

    /// How many slots are in use, or held.
    pub fn in_use(&self) -> usize {
        self.free.capacity() - self.free.available() - self.vacant.len()
    }

    /// How many objects there are that nobody uses.
    pub fn available(&self) -> usize {
        self.slots.len() - self.in_use() - self.vacant.len()
    }

    /// Takes a free object, and its slot for `get`. Neither makes objects nor looks at twins.
    #[inline(always)]
    pub fn take_fast(&mut self) -> Option<Object> {
        let (index, object) = self.take_as(State::Taken)?;
        self.last = index;
        Some(object)
    }

    /// The same through a handle: lends the slot to the handle that it has, if that is `reusable`: the pool's reference to
    /// it is the caller's then. Otherwise the handle is null, and the slot held.
    #[inline(always)]
    pub fn lend_fast(&mut self, reusable: impl Fn(Object) -> bool) -> Option<(usize, Object)> {
        let (index, _) = self.take_as(State::Held)?;
        let slot = &mut self.slots[index];
        if slot.handle.is_null() || !reusable(slot.handle) {
            return Some((index, core::ptr::null_mut()));
        }
        slot.state = State::Lent;
        Some((index, slot.handle))
    }

    #[inline(always)]
    fn take_as(&mut self, state: State) -> Option<(usize, Object)> {
        let index = self.free.allocate()?;
        match self.slots.get_mut(index) {
            Some(slot) if slot.state == State::Free => {
                slot.state = state;
                Some((index, slot.object))
            }
            _ => {
                self.put_back(index);
                None
            }
        }
    }

    /// Puts back an index from `free` that the short path does not know what to do with.
    #[cold]
    fn put_back(&mut self, index: usize) {
        if index < self.slots.len() {
            self.free.free(index);
        } else {
            self.use_first_time(index);
            self.set_free(index);
        }
    }

    /// Releases what `take_fast` returned, if it is the object taken last.
    #[inline(always)]
    pub fn release_fast(&mut self, object: Object) -> bool {
        match self.slots.get_mut(self.last) {
            Some(slot) if slot.object == object && slot.state == State::Taken && !slot.twin => {
                slot.state = State::Free;
                self.free.free(self.last);
                true
            }
            _ => self.release_found(object),
        }
    }

    #[inline(never)]
    fn release_found(&mut self, object: Object) -> bool {
        let Some(index) = self.table.find(object.addr(), |index| self.address(index)) else { return false };
        let slot = &mut self.slots[index as usize];
        if slot.state != State::Taken {
            return false;
        }
        slot.state = State::Free;
        self.free.free(index as usize);
        true
    }

    /// Takes a free object, or else room for one, and holds the slot.
    pub fn take(&mut self) -> Found {
        if let Some(index) = self.free.allocate() {
            if index < self.slots.len() {
                let address = self.address(index as u32);
                let slot = &mut self.slots[index];
                slot.state = State::Held;
                if slot.twin {
                    slot.position = self.twins.entry(address).or_default().enter(index as u32);
                }
                return Found::Object(index);
            }
            self.use_first_time(index);
            return Found::Room(index);
        }
        match self.vacant.pop() {
            Some(index) => {
                self.slots[index as usize].state = State::Held;
                Found::Room(index as usize)
            }
            None => Found::Nothing,
        }
    }

    /// Holds a slot that has no object.
    pub fn take_room(&mut self) -> Option<usize> {
        if let Some(index) = self.vacant.pop() {
            self.slots[index as usize].state = State::Held;
            return Some(index as usize);
        }
        // Slots never used come after all others.
        let mut others = Vec::new();
        let room = loop {
            match self.free.allocate() {
                Some(index) if index < self.slots.len() => others.push(index),
                room => break room,
            }
        };
        if let Some(index) = room {
            self.use_first_time(index);
        }
        others.into_iter().rev().for_each(|index| self.free.free(index));
        room
    }

    fn use_first_time(&mut self, index: usize) {
        debug_assert_eq!(index, self.slots.len());
        self.slots.push(Slot {
            object: core::ptr::null_mut(),
            handle: core::ptr::null_mut(),
            state: State::Held,
            twin: false,
            position: 0,
        });
    }

    /// Whether the slot is held. The methods below do nothing with slots that are not.
    pub fn is_held(&self, index: usize) -> bool {
        self.slots.get(index).is_some_and(|slot| slot.state == State::Held)
    }

    /// The object in a slot, or null.
    #[inline]
    pub fn object(&self, index: usize) -> Object {
        self.slots.get(index).map_or(core::ptr::null_mut(), |slot| slot.object)
    }

    /// Puts an object into a slot that is held and has none. The pool owns the reference from now on, if this is true.
    pub fn fill(&mut self, index: usize, object: Object) -> Result<bool> {
        if !self.is_held(index) || !self.slots[index].object.is_null() {
            return Ok(false);
        }
        let address = object.addr();
        if let Some(twins) = self.twins.get_mut(&address) {
            twins.slots += 1;
            self.slots[index].position = twins.enter(index as u32);
            self.slots[index].twin = true;
        } else if let Some(other) = self.table.remove(address, |index| address_in(&self.slots, index)) {
            let mut twins = Twins { slots: 2, in_use: Vec::new() };
            self.slots[index].position = twins.enter(index as u32);
            self.slots[index].twin = true;
            let slot = &mut self.slots[other as usize];
            slot.twin = true;
            if slot.state == State::Free {
                slot.state = State::FreeTwin;
            } else {
                slot.position = twins.enter(other);
            }
            self.twins.insert(address, twins);
        } else {
            self.table.reserve(|index| address_in(&self.slots, index))?;
            self.table.insert(index as u32, address);
        }
        self.slots[index].object = object;
        Ok(true)
    }

    /// Hands out the object in a slot that is held; null if there is none.
    pub fn hand_out(&mut self, index: usize) -> Object {
        if !self.is_held(index) || self.slots[index].object.is_null() {
            return core::ptr::null_mut();
        }
        self.slots[index].state = State::Taken;
        self.last = index;
        self.slots[index].object
    }

    /// Hands out the object in a slot that is held through a handle. Returns the handle that the slot had, or null: what
    /// was the pool's reference to it is the caller's now.
    pub fn lend(&mut self, index: usize, handle: Object) -> Option<Object> {
        if !self.is_held(index) || self.slots[index].object.is_null() {
            return None;
        }
        let slot = &mut self.slots[index];
        slot.state = State::Lent;
        Some(core::mem::replace(&mut slot.handle, handle))
    }

    /// Whether this handle has the slot.
    #[inline]
    pub fn is_lent_to(&self, index: usize, handle: Object) -> bool {
        self.slots.get(index).is_some_and(|slot| slot.state == State::Lent && slot.handle == handle)
    }

    /// Takes a slot back from its handle, which the pool keeps: it owns one more reference to it now. For pools where
    /// nothing happens at a release. False if that does not suffice.
    #[inline(always)]
    pub fn reclaim_fast(&mut self, index: usize, handle: Object) -> bool {
        match self.slots.get_mut(index) {
            Some(slot) if slot.handle == handle && slot.state == State::Lent && !slot.twin => {
                slot.state = State::Free;
                self.free.free(index);
                true
            }
            _ => false,
        }
    }

    /// Takes a slot back from its handle, and holds it. The slot has no handle then. False if the handle does not have it.
    pub fn reclaim(&mut self, index: usize, handle: Object) -> bool {
        if !self.is_lent_to(index, handle) {
            return false;
        }
        let slot = &mut self.slots[index];
        slot.state = State::Held;
        slot.handle = core::ptr::null_mut();
        true
    }

    /// Keeps a handle for the next time; it is the pool's if this is true.
    pub fn keep_handle(&mut self, index: usize, handle: Object) -> bool {
        match self.slots.get_mut(index) {
            Some(slot) if slot.handle.is_null() && slot.state != State::Lent => {
                slot.handle = handle;
                true
            }
            _ => false,
        }
    }

    /// Takes back an object that is in use, and holds its slot. `None` if none such is in use.
    pub fn take_back(&mut self, object: Object) -> Option<usize> {
        let index = match self.table.find(object.addr(), |index| self.address(index)) {
            Some(index) => index as usize,
            // A held one is on its way to somebody else.
            None => {
                *self.twins.get(&object.addr())?.in_use.iter().rfind(|&&index| self.is_out(index as usize))? as usize
            }
        };
        if !self.is_out(index) {
            return None;
        }
        let slot = &mut self.slots[index];
        if slot.state == State::Lent {
            slot.handle = core::ptr::null_mut();
        }
        slot.state = State::Held;
        Some(index)
    }

    /// Whether an object is in use.
    pub fn has_out(&self, object: Object) -> bool {
        match self.table.find(object.addr(), |index| self.address(index)) {
            Some(index) => self.is_out(index as usize),
            None => self
                .twins
                .get(&object.addr())
                .is_some_and(|twins| twins.in_use.iter().any(|&index| self.is_out(index as usize))),
        }
    }

    fn is_out(&self, index: usize) -> bool {
        matches!(self.slots[index].state, State::Taken | State::Lent)
    }

    /// Makes a slot that is held free if it has an object, and vacant if it has none.
    pub fn set_free(&mut self, index: usize) {
        if !self.is_held(index) {
            return;
        }
        let slot = &mut self.slots[index];
        if slot.object.is_null() {
            slot.state = State::Vacant;
            self.vacant.push(index as u32);
            return;
        }
        slot.state = if slot.twin { State::FreeTwin } else { State::Free };
        if slot.twin {
            let address = slot.object.addr();
            self.leave_twins(address, index);
        }
        self.free.free(index);
    }

    fn leave_twins(&mut self, address: usize, index: usize) {
        let Some(twins) = self.twins.get_mut(&address) else { return };
        let position = self.slots[index].position;
        if twins.in_use.get(position as usize) == Some(&(index as u32)) {
            twins.in_use.swap_remove(position as usize);
            if let Some(&moved) = twins.in_use.get(position as usize) {
                self.slots[moved as usize].position = position;
            }
        }
    }

    /// Takes the object out of a slot that is held, which stays held. The reference is the caller's.
    pub fn empty(&mut self, index: usize) -> Object {
        if !self.is_held(index) {
            return core::ptr::null_mut();
        }
        let object = self.slots[index].object;
        if object.is_null() {
            return object;
        }
        let address = object.addr();
        if self.slots[index].twin {
            self.leave_twins(address, index);
            self.slots[index].twin = false;
            let twins = self.twins.entry(address).or_default();
            twins.slots = twins.slots.saturating_sub(1);
            if twins.slots == 0 {
                self.twins.remove(&address);
            }
        } else {
            self.table.remove(address, |index| address_in(&self.slots, index));
        }
        self.slots[index].object = core::ptr::null_mut();
        object
    }

    /// Holds the free slots whose object is `wanted`; the others stay free, in the same order.
    pub fn hold_free(&mut self, wanted: impl Fn(Object) -> bool) -> Vec<usize> {
        let (mut held, mut others) = (Vec::new(), Vec::new());
        for _ in 0..self.available() {
            if let Found::Object(index) = self.take() {
                if wanted(self.object(index)) { held.push(index) } else { others.push(index) }
            }
        }
        others.into_iter().rev().for_each(|index| self.set_free(index));
        held
    }

    /// Takes all free objects, and the idle handles of all slots, out of the pool. The references are the caller's.
    pub fn drain_free(&mut self) -> (Vec<Object>, Vec<Object>) {
        let (mut objects, mut handles) = (Vec::new(), Vec::new());
        for index in self.hold_free(|_| true) {
            objects.push(self.empty(index));
            self.set_free(index);
        }
        for slot in self.slots.iter_mut().filter(|slot| slot.state != State::Lent && !slot.handle.is_null()) {
            handles.push(core::mem::replace(&mut slot.handle, core::ptr::null_mut()));
        }
        (objects, handles)
    }

    /// Holds the slots in use, got by `get`, whose object `is_abandoned`.
    pub fn take_back_abandoned(&mut self, is_abandoned: impl Fn(Object) -> bool) -> Vec<usize> {
        let mut taken = Vec::new();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if slot.state == State::Taken && !slot.twin && is_abandoned(slot.object) {
                slot.state = State::Held;
                taken.push(index);
            }
        }
        taken
    }

    /// All references that the pool owns.
    pub fn owned(&self) -> impl Iterator<Item = Object> + '_ {
        self.slots.iter().flat_map(|slot| {
            let handle = if slot.state == State::Lent { core::ptr::null_mut() } else { slot.handle };
            [slot.object, handle].into_iter().filter(|pointer| !pointer.is_null())
        })
    }

    /// Bytes that the pool has for its bookkeeping.
    pub fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
            + self.table.bytes()
            + (self.free.capacity() + self.vacant.capacity()) * size_of::<u32>()
    }

    #[inline]
    fn address(&self, index: u32) -> usize {
        address_in(&self.slots, index)
    }
}

fn address_in(slots: &[Slot], index: u32) -> usize {
    slots[index as usize].object.addr()
}
