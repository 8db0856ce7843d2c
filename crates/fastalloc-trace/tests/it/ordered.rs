//! Events of several threads in the order of their times.

use fastalloc_trace::{Error, Item, Ordered};

use crate::free;

fn ordered(items: Vec<Item>, events_max: usize) -> (Vec<Item>, u64) {
    let mut ordered = Ordered::new(items.into_iter().map(Ok), events_max);
    let items = ordered.by_ref().map(Result::unwrap).collect();
    (items, ordered.disordered())
}

#[test]
fn events_before_a_barrier_are_passed_on_in_order() {
    let items = vec![free(3, 1), free(9, 2), free(1, 3), free(3, 4), Item::Barrier(5), free(7, 5)];
    let expected = vec![free(1, 3), free(3, 1), free(3, 4), Item::Barrier(5), free(7, 5), free(9, 2)];
    assert_eq!(ordered(items, 100), (expected, 0));
}

#[test]
fn no_more_events_wait_than_allowed() {
    let items = vec![free(3, 1), free(2, 2), free(1, 3)];
    assert_eq!(ordered(items.clone(), 2), (vec![free(1, 3), free(2, 2), free(3, 1)], 0));
    assert_eq!(ordered(items.clone(), 1), (vec![free(2, 2), free(1, 3), free(3, 1)], 1));
    assert_eq!(ordered(items.clone(), 0), (items, 2));
}

#[test]
fn error_comes_after_what_came_before_it() {
    let items = [Ok(free(3, 1)), Ok(free(2, 2)), Err(Error::NotATrace { expected: "x" }), Ok(free(1, 1))];
    let mut ordered = Ordered::new(items.into_iter(), 10);
    assert_eq!(ordered.next().unwrap().unwrap(), free(2, 2));
    assert_eq!(ordered.next().unwrap().unwrap(), free(3, 1));
    assert!(ordered.next().unwrap().is_err());
    assert!(ordered.next().is_none());
}
