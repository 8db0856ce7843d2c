//! Events of several threads in the order of their times.

use fastalloc_trace::format::{self, BlockHeader, EventEncoder, encoding, kind, put_uint};
use fastalloc_trace::{
    Analysis, AnalysisLimits, Ending, Error, Event, EventKind, Item, Ordered, StackId, TraceReader, site_of_frame,
};

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

fn block(trace: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    let header = BlockHeader::new(kind, encoding::RAW, payload, payload.len()).unwrap();
    trace.extend(header.to_bytes());
    trace.extend(payload);
}

/// As a recorder would write that has a buffer for each thread.
#[test]
fn blocks_of_one_thread_each_are_analysed_in_order() {
    let mut trace = format::header(0).to_vec();
    // Thread 1 allocates, thread 2 frees 5 later; the block of thread 2 comes first.
    for round in 0..10 {
        for thread in [2, 1] {
            let mut payload = Vec::new();
            let mut encoder = EventEncoder::new(&mut payload, Some(thread), round * 1000);
            for number in 0..100 {
                let (time, address) = (round * 1000 + number * 10, 0x1000 + number * 16);
                let (time, kind) = match thread {
                    1 => (time, EventKind::Allocate { address, size: 16, alignment: 8, stack: StackId::EMPTY }),
                    _ => (time + 5, EventKind::Free { address }),
                };
                encoder.put(&mut payload, &Event { time, thread, duration: 0, kind });
            }
            block(&mut trace, kind::EVENTS, &payload);
        }
        let mut payload = Vec::new();
        put_uint(&mut payload, (round + 1) * 1000);
        block(&mut trace, kind::BARRIER, &payload);
    }

    let mut items = TraceReader::new(&trace[..]).unwrap().in_order(200);
    let mut analysis = Analysis::new(AnalysisLimits::default(), site_of_frame);
    items.by_ref().for_each(|item| analysis.add(&item.unwrap()));
    assert_eq!(items.get_ref().ending(), Some(Ending::Open { offset: trace.len() as u64 }));
    let report = analysis.finish();
    let total = &report.sites[0].total;
    assert_eq!((report.disordered, report.unknown_frees, total.objects, total.alive_peak), (0, 0, 1000, 1));
    assert_eq!((total.lifetime.max, total.freed_elsewhere_share(), total.threads), (5, 1.0, 2));
}
