//! The threads of a replay, which take the steps of a round together.

use std::any::Any;
use std::hint;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex, PoisonError, RwLock};
use std::thread;
use std::time::Instant;

use crate::cells::Cells;
use crate::compare::Runner;
use crate::lane::Outcome;
use crate::latency::Stopwatch;
use crate::plan::Plan;

/// The threads, which wait for what they are told. They end when this is dropped.
pub(crate) struct Team<'a> {
    shared: &'a Shared<'a>,
}

struct Shared<'a> {
    plan: &'a Plan,
    runners: &'a [Box<dyn Runner>],
    /// Threads read it in a round; between rounds it is cleared.
    cells: RwLock<Cells>,
    /// For all threads, and who tells them; of no use if there is one thread.
    barrier: Barrier,
    /// Twice the index of the candidate, and 1 if each step is timed; or [`END`].
    command: AtomicUsize,
    /// How many threads are ready to start.
    ready: AtomicUsize,
    lanes: Vec<Mutex<Option<Lane>>>,
}

const END: usize = usize::MAX;

/// What a round has come to.
pub(crate) struct Round {
    /// From the first thread's start to the last one's end, in nanoseconds.
    pub(crate) time: u64,
    pub(crate) outcome: Outcome,
    pub(crate) stopwatch: Stopwatch,
}

/// What a thread has come to in a round.
struct Lane {
    start: Instant,
    end: Instant,
    outcome: Outcome,
    stopwatch: Stopwatch,
    panic: Option<Box<dyn Any + Send>>,
}

impl Team<'_> {
    /// Starts the threads, lets `f` use them, and ends them. If there is one, it is the caller's.
    pub(crate) fn of<T>(plan: &Plan, runners: &[Box<dyn Runner>], f: impl FnOnce(&mut Team<'_>) -> T) -> T {
        let threads = plan.threads();
        let shared = Shared {
            plan,
            runners,
            cells: RwLock::new(Cells::new(plan.places)),
            barrier: Barrier::new(threads + 1),
            command: AtomicUsize::new(END),
            ready: AtomicUsize::new(0),
            lanes: (0..threads).map(|_| Mutex::new(None)).collect(),
        };
        thread::scope(|scope| {
            if threads > 1 {
                for lane in 0..threads {
                    let shared = &shared;
                    scope.spawn(move || shared.obey(lane));
                }
            }
            f(&mut Team { shared: &shared })
        })
    }

    /// Takes all steps on a candidate, and frees what is left of them, which is not timed.
    ///
    /// # Panics
    ///
    /// If a thread does.
    pub(crate) fn round(&mut self, candidate: usize, is_timed: bool) -> Round {
        let shared = self.shared;
        let command = candidate * 2 + usize::from(is_timed);
        if shared.lanes.len() > 1 {
            // The barrier makes both known.
            shared.ready.store(0, Ordering::Relaxed);
            shared.command.store(command, Ordering::Relaxed);
            shared.barrier.wait();
            shared.barrier.wait();
        } else if !shared.lanes.is_empty() {
            shared.take_part(0, command);
        }
        let lanes: Vec<Lane> = (shared.lanes.iter())
            .filter_map(|lane| lane.lock().unwrap_or_else(PoisonError::into_inner).take())
            .collect();
        let mut round = Round { time: 0, outcome: Outcome::default(), stopwatch: Stopwatch::new() };
        if let (Some(start), Some(end)) =
            (lanes.iter().map(|lane| lane.start).min(), lanes.iter().map(|lane| lane.end).max())
        {
            round.time = end.duration_since(start).as_nanos() as u64;
        }
        let mut cells = shared.cells.write().unwrap_or_else(PoisonError::into_inner);
        for object in cells.clear() {
            // SAFETY: the candidate has just left it, and all threads have ended the round.
            unsafe { shared.runners[candidate].free(shared.plan, object) };
        }
        drop(cells);
        for lane in lanes {
            if let Some(panic) = lane.panic {
                panic::resume_unwind(panic);
            }
            round.outcome.refused += lane.outcome.refused;
            round.outcome.failed += lane.outcome.failed;
            round.outcome.damaged += lane.outcome.damaged;
            if is_timed {
                round.stopwatch.add(&lane.stopwatch);
            }
        }
        round
    }
}

impl Drop for Team<'_> {
    fn drop(&mut self) {
        if self.shared.lanes.len() > 1 {
            self.shared.command.store(END, Ordering::Relaxed);
            self.shared.barrier.wait();
        }
    }
}

impl Shared<'_> {
    /// What a thread does.
    fn obey(&self, lane: usize) {
        loop {
            self.barrier.wait();
            let command = self.command.load(Ordering::Relaxed);
            if command == END {
                return;
            }
            self.take_part(lane, command);
            self.barrier.wait();
        }
    }

    fn take_part(&self, lane: usize, command: usize) {
        let runner = &self.runners[command / 2];
        let cells = self.cells.read().unwrap_or_else(PoisonError::into_inner);
        let mut stopwatch = Stopwatch::new();
        self.line_up();
        let start = Instant::now();
        let done = panic::catch_unwind(AssertUnwindSafe(|| {
            if command % 2 == 0 {
                runner.run(self.plan, lane, &cells)
            } else {
                runner.run_timed(self.plan, lane, &cells, &mut stopwatch)
            }
        }));
        let end = Instant::now();
        if done.is_err() {
            cells.break_up();
        }
        let (outcome, panic) = done.map_or_else(|panic| (Outcome::default(), Some(panic)), |outcome| (outcome, None));
        let done = Lane { start, end, outcome, stopwatch, panic };
        *self.lanes[lane].lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
    }

    /// Waits for the other threads: a barrier wakes them one after the other.
    fn line_up(&self) {
        let mut ready = self.ready.fetch_add(1, Ordering::Relaxed) + 1;
        while self.lanes.len() > 1 && ready < self.lanes.len() {
            hint::spin_loop();
            thread::yield_now();
            ready = self.ready.load(Ordering::Relaxed);
        }
    }
}
