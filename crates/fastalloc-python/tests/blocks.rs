//! Random programs for the memory of buffers and a model too simple to be wrong, without Python.

#[allow(dead_code, reason = "tests do not use all of it")]
#[path = "../src/blocks.rs"]
mod blocks;

use blocks::{Block, Blocks, Refusal, Settings};

const UNLIMITED: Settings = Settings { alignment: 64, max_bytes: usize::MAX, max_idle_bytes: usize::MAX, zero: false };

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

fn bytes(block: &mut Block) -> &mut [u8] {
    // SAFETY: the block has so many bytes, and nobody else uses them; new memory is zero.
    unsafe { core::slice::from_raw_parts_mut(block.address(), block.len()) }
}

fn size_of_class(len: usize, alignment: usize) -> usize {
    let mut blocks = Blocks::new(Settings { alignment, ..UNLIMITED });
    let block = blocks.take(len).unwrap();
    let size = blocks.counters().bytes_in_use;
    blocks.give_back(block);
    size
}

#[test]
fn random_programs_agree_with_a_model() {
    for seed in 0..if cfg!(miri) { 10 } else { 500 } {
        let mut dice = Dice(seed);
        let settings = Settings {
            alignment: 1 << dice.roll(13),
            max_bytes: [usize::MAX, 1 << 16][dice.roll(2)],
            max_idle_bytes: [usize::MAX, 1 << 14, 0][dice.roll(3)],
            zero: dice.roll(2) == 0,
        };
        let mut blocks = Blocks::new(settings);
        // Each has its number in all its bytes.
        let mut out: Vec<(Block, u8)> = Vec::new();
        for step in 0..200 {
            let number = (step % 255) as u8 + 1;
            match dice.roll(8) {
                0..4 => {
                    let most = [10, 1_000, 40_000][dice.roll(3)];
                    let len = dice.roll(most);
                    match blocks.take(len) {
                        Ok(mut block) => {
                            assert_eq!(block.address().addr() % settings.alignment, 0);
                            assert_eq!(block.len(), len);
                            assert!(!settings.zero || bytes(&mut block).iter().all(|&byte| byte == 0));
                            bytes(&mut block).fill(number);
                            out.push((block, number));
                        }
                        Err(Refusal::Exhausted(size)) => {
                            assert_eq!(size, size_of_class(len, settings.alignment));
                            assert!(blocks.counters().bytes_in_use + size > settings.max_bytes);
                        }
                        Err(refusal) => panic!("{refusal:?}"),
                    }
                }
                4..7 if !out.is_empty() => {
                    let (mut block, number) = out.swap_remove(dice.roll(out.len()));
                    assert!(bytes(&mut block).iter().all(|&byte| byte == number), "nobody else has written there");
                    blocks.give_back(block);
                }
                _ if dice.roll(10) == 0 => {
                    let idle = blocks.counters().bytes_idle;
                    assert_eq!(blocks.trim(), idle);
                    assert_eq!(blocks.counters().idle, 0);
                }
                _ => {}
            }
            let counters = *blocks.counters();
            assert_eq!(counters.in_use, out.len());
            assert!(counters.bytes_in_use >= out.iter().map(|(block, _)| block.len()).sum());
            assert!(counters.bytes_in_use + counters.bytes_idle <= settings.max_bytes);
            assert!(counters.bytes_idle <= settings.max_idle_bytes);
            assert_eq!(counters.allocations - counters.releases, out.len() as u64);
        }
        if dice.roll(2) == 0 {
            blocks.close();
            assert_eq!(blocks.take(1).unwrap_err(), Refusal::Closed);
        }
        for (block, _) in out {
            blocks.give_back(block);
        }
        let counters = *blocks.counters();
        assert_eq!((counters.in_use, counters.bytes_in_use), (0, 0));
        assert!(!blocks.is_closed() || counters.idle == 0);
    }
}

#[test]
fn classes_waste_at_most_a_fifth() {
    for alignment in [1, 64, 4096] {
        let smallest = alignment.max(64);
        let mut before = 0;
        for len in (0..5_000).chain((5_000..600_000).step_by(if cfg!(miri) { 50_021 } else { 501 })) {
            let size = size_of_class(len, alignment);
            assert!(size >= len && size >= before && size % smallest == 0, "{len} {size}");
            assert!(len <= 4 * smallest || (size - len) * 5 <= size, "{len} {size}");
            assert_eq!(size_of_class(size, alignment), size, "a class is its own");
            before = size;
        }
    }
}

#[test]
fn memory_is_used_again_by_all_lengths_of_a_class() {
    let mut blocks = Blocks::new(UNLIMITED);
    let block = blocks.take(1_000).unwrap();
    let address = block.address();
    blocks.give_back(block);
    let block = blocks.take(900).unwrap();
    assert_eq!(block.address(), address);
    blocks.give_back(block);
    assert_eq!(blocks.counters().made, 1);
}

#[test]
fn idle_memory_makes_room_for_other_classes() {
    let mut blocks = Blocks::new(Settings { max_bytes: 4096, ..UNLIMITED });
    let held: Vec<_> = (0..4).map(|_| blocks.take(1024).unwrap()).collect();
    assert_eq!(blocks.take(0).unwrap_err(), Refusal::Exhausted(64));
    for block in held {
        blocks.give_back(block);
    }
    let block = blocks.take(4096).unwrap();
    assert_eq!((blocks.counters().idle, blocks.counters().peak_bytes), (0, 4096));
    blocks.give_back(block);
}

#[test]
fn what_cannot_be_had_is_refused() {
    let mut blocks = Blocks::new(Settings { max_bytes: 4096, ..UNLIMITED });
    assert_eq!(blocks.take(4097).unwrap_err(), Refusal::TooLarge(5120));
    let mut blocks = Blocks::new(UNLIMITED);
    for len in [usize::MAX, usize::MAX / 2 + 1, usize::MAX / 2, usize::MAX / 4] {
        // Miri gives up where a system says no.
        if !cfg!(miri) || len > usize::MAX / 2 - 64 {
            assert_eq!(blocks.take(len).unwrap_err(), Refusal::NoMemory, "{len}");
        }
    }
    let mut blocks = Blocks::new(Settings { alignment: 1 << (usize::BITS - 1), ..UNLIMITED });
    assert_eq!(blocks.take(0).unwrap_err(), Refusal::NoMemory);
    assert_eq!((blocks.counters().allocations, blocks.counters().in_use), (0, 0));
}
