//! Random programs for the slots and a model too simple to be wrong, without Python.

#[allow(dead_code, reason = "tests do not use all of it")]
#[path = "../src/slots.rs"]
mod slots;
#[allow(dead_code, reason = "tests do not use all of it")]
#[path = "../src/table.rs"]
mod table;

use core::ffi::c_void;
use core::ptr::without_provenance_mut;

use slots::{Found, Object, Slots};

struct Dice(u64);

impl Dice {
    /// SplitMix64.
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((value ^ (value >> 31)) % sides as u64) as usize
    }
}

fn object(number: usize) -> Object {
    without_provenance_mut::<c_void>(number * 16)
}

#[derive(Default)]
struct Model {
    /// Objects in use, each with its handle or null.
    out: Vec<(Object, Object, usize)>,
    held: Vec<(usize, bool)>,
    free: usize,
}

#[test]
fn random_programs_agree_with_a_model() {
    for seed in 0..if cfg!(miri) { 5 } else { 400 } {
        let mut dice = Dice(seed);
        let mut slots = Slots::default();
        let capacity = 1 + dice.roll(40);
        slots.grow(capacity).unwrap();
        let mut model = Model::default();
        let kinds = [4, 1_000_000][dice.roll(2)];
        let mut next_handle = 1 << 40;
        for _ in 0..600 {
            step(&mut slots, &mut model, &mut dice, kinds, &mut next_handle);
            assert_eq!(slots.in_use(), model.out.len() + model.held.len());
            assert_eq!(slots.available(), model.free);
            for &(object, _, _) in &model.out {
                assert!(slots.has_out(object));
            }
        }
        assert_eq!(slots.owned().filter(|&pointer| pointer.addr() < 1 << 40).count(), {
            model.out.len() + model.free + model.held.iter().filter(|(_, full)| *full).count()
        });
    }
}

fn step(slots: &mut Slots, model: &mut Model, dice: &mut Dice, kinds: usize, next_handle: &mut usize) {
    match dice.roll(11) {
        0 | 1 => match slots.take() {
            Found::Object(index) => {
                assert!(model.free > 0);
                model.free -= 1;
                model.held.push((index, true));
            }
            Found::Room(index) => {
                assert_eq!(model.free, 0, "objects that are free come first");
                model.held.push((index, false));
            }
            Found::Nothing => assert_eq!(slots.in_use(), slots.capacity()),
        },
        2 if !model.held.is_empty() => {
            let (index, full) = model.held.swap_remove(dice.roll(model.held.len()));
            if !full {
                assert!(slots.fill(index, object(1 + dice.roll(kinds))).unwrap());
            }
            assert!(!slots.fill(index, object(1)).unwrap(), "it has one");
            let thing = slots.object(index);
            if dice.roll(2) == 0 {
                assert_eq!(slots.hand_out(index), thing);
                model.out.push((thing, core::ptr::null_mut(), index));
            } else {
                *next_handle += 1;
                let handle = object(*next_handle);
                assert!(slots.lend(index, handle).is_some());
                assert!(slots.is_lent_to(index, handle));
                model.out.push((thing, handle, index));
            }
        }
        3 if !model.held.is_empty() => {
            let (index, full) = model.held.swap_remove(dice.roll(model.held.len()));
            if full && dice.roll(3) == 0 {
                assert!(!slots.empty(index).is_null());
                slots.set_free(index);
            } else {
                slots.set_free(index);
                model.free += usize::from(full);
            }
            assert!(!slots.is_held(index));
            slots.set_free(index);
            assert!(slots.empty(index).is_null() && slots.hand_out(index).is_null(), "it is not held");
        }
        4 | 5 if !model.out.is_empty() => {
            let position = dice.roll(model.out.len());
            let (thing, handle, index) = model.out[position];
            if !handle.is_null() && slots.is_lent_to(index, handle) {
                assert!(slots.reclaim(index, handle));
                assert!(!slots.reclaim(index, handle) && !slots.reclaim_fast(index, handle));
                slots.set_free(index);
                let kept = slots.keep_handle(index, handle);
                assert!(kept);
                if let Some((index, handle)) = slots.lend_fast(|_| false) {
                    assert!(handle.is_null());
                    slots.set_free(index);
                }
                model.out.swap_remove(position);
            } else if dice.roll(2) == 0 && slots.release_fast(thing) {
                remove_one(model, slots, thing);
            } else {
                let index = slots.take_back(thing).expect("it is out");
                slots.set_free(index);
                remove_one(model, slots, thing);
            }
            model.free += 1;
        }
        6 => assert!(slots.take_back(object(2_000_000)).is_none()),
        7 => {
            if let Some(thing) = slots.take_fast() {
                model.free -= 1;
                model.out.push((thing, core::ptr::null_mut(), usize::MAX));
            }
        }
        8 if dice.roll(20) == 0 => {
            let (objects, handles) = slots.drain_free();
            assert_eq!(objects.len(), model.free);
            assert!(objects.iter().all(|pointer| pointer.addr() < 1 << 40));
            assert!(handles.iter().all(|pointer| pointer.addr() >= 1 << 40));
            model.free = 0;
            if slots.capacity() < 60 {
                slots.grow(3).unwrap();
            }
        }
        9 => match slots.take_room() {
            Some(index) => {
                assert!(slots.is_held(index) && slots.object(index).is_null());
                model.held.push((index, false));
            }
            None => assert_eq!(slots.capacity(), model.out.len() + model.held.len() + model.free, "there is room"),
        },
        10 if dice.roll(4) == 0 => {
            let is_wanted = |object: Object| object.addr() % 32 == 0;
            for index in slots.hold_free(is_wanted) {
                assert!(slots.is_held(index) && is_wanted(slots.object(index)));
                model.free -= 1;
                model.held.push((index, true));
            }
            assert!(slots.hold_free(is_wanted).is_empty());
        }
        _ => {}
    }
}

/// An object has been released; of equal ones, one whose handle is no longer valid, or that never had one.
fn remove_one(model: &mut Model, slots: &Slots, thing: Object) {
    let position = model
        .out
        .iter()
        .position(|&(object, handle, index)| object == thing && (handle.is_null() || !slots.is_lent_to(index, handle)))
        .expect("one was released");
    model.out.swap_remove(position);
}
