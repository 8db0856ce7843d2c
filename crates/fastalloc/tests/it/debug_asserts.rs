//! What debug builds catch. Release builds do not contain these assertions.

use fastalloc::{Allocator, BitmapAllocator, FreeListAllocator, StackAllocator};

use crate::support::panic_message;

macro_rules! on_every_allocator {
    ($($test:ident)*) => {
        on_every_allocator! { @ stack: StackAllocator; $($test)* }
        on_every_allocator! { @ free_list: FreeListAllocator; $($test)* }
        on_every_allocator! { @ bitmap: BitmapAllocator; $($test)* }
    };
    (@ $name:ident: $Allocator:ident; $($test:ident)*) => {
        mod $name {
            $(
                #[test]
                fn $test() {
                    super::$test::<super::$Allocator>();
                }
            )*
        }
    };
}

on_every_allocator! {
    double_free_is_caught
    foreign_index_is_caught
    index_out_of_range_is_caught
}

/// An allocator of which the first indices are allocated.
fn allocator<A: Allocator + Default>(capacity: usize, allocated: usize) -> A {
    let mut allocator = A::default();
    allocator.grow(capacity).unwrap();
    for index in 0..allocated {
        assert_eq!(allocator.allocate(), Some(index));
    }
    allocator
}

fn double_free_is_caught<A: Allocator + Default>() {
    for index in [0, 5, 63, 64, 99] {
        let mut indices: A = allocator(200, 100);
        indices.free(40);
        indices.free(index);
        assert_eq!(panic_message(|| indices.free(index)), format!("double free of index {index}"));
    }
}

fn foreign_index_is_caught<A: Allocator + Default>() {
    let mut indices: A = allocator(200, 100);
    let message = panic_message(|| indices.free(100));
    assert_eq!(message, "free of index 100, which was never allocated");
}

fn index_out_of_range_is_caught<A: Allocator + Default>() {
    for index in [200, 201, usize::MAX] {
        let mut indices: A = allocator(200, 200);
        let message = panic_message(|| indices.free(index));
        assert_eq!(message, format!("index {index} is out of range for capacity 200"));
    }
}
