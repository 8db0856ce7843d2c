//! What a run writes can be read again.

use std::collections::BTreeMap;

use fastalloc_bench::{
    candidate::Kind,
    record::{Answer, Found, LeftOut, Measure, Record, Row, Setting, Summary, Verdict},
};

#[test]
fn record_survives_json() {
    let text = String::from;
    let record = Record {
        setting: Setting {
            processor: text("a processor"),
            cores: 2,
            memory: text("8 GiB"),
            system: text("Linux"),
            load: text("0.10"),
            compiler: text("rustc"),
            commit: text("0123abc"),
            date: text("2026-01-02"),
            debug: false,
            versions: BTreeMap::from([(text("slab"), text("0.4.12"))]),
        },
        quick: true,
        answers: vec![Answer {
            name: text("warm_loop/8B"),
            question: text("how fast?"),
            measure: Measure::Time,
            columns: vec![text("ns")],
            rows: vec![Row {
                candidate: text("FixedPool"),
                kind: Kind::Ours,
                figures: vec![Summary::of(vec![0.3, 0.1, 0.2])],
                calm: 2,
                rounds: 3,
            }],
            left_out: vec![LeftOut { candidate: text("bumpalo"), reason: text("it cannot") }],
            notes: vec![text("a note")],
        }],
        verdicts: vec![Verdict {
            group: text("warm_loop/8B"),
            wanted: text("at most 1.10 times"),
            against: text("nexus-slab"),
            pool: text("FixedPool"),
            found: Some(Found { met: true, by_min: 1.0 / 3.0, by_median: 0.1 }),
        }],
    };
    let json = serde_json::to_string(&record).expect("a record can be written");
    let read: Record = serde_json::from_str(&json).expect("a record can be read");
    assert_eq!(read, record);
}

#[test]
fn summary_has_the_least_and_the_one_in_the_middle() {
    assert_eq!(Summary::of(vec![3.0, 1.0, 2.0]), Summary { min: 1.0, median: 2.0 });
}
