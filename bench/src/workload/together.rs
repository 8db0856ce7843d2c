//! Two threads that work at the same time.

use core::{
    hint::spin_loop,
    sync::atomic::{AtomicUsize, Ordering},
};
use std::{
    fs,
    process::abort,
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

use core_affinity::CoreId;

/// Where the two threads run: on the first core and on the last, which are the least likely to be
/// two halves of one. `None` if there is only one.
static CORES: LazyLock<Option<[CoreId; 2]>> = LazyLock::new(|| {
    let cores = core_affinity::get_core_ids()?;
    let [first, .., last] = cores.as_slice() else { return None };
    Some([*first, *last])
});

/// Runs `f` on a thread of its own, which may be bound to a core.
pub(super) fn aside<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    thread::scope(|scope| scope.spawn(f).join()).expect("no panic")
}

/// Runs `here` on this thread and `there` on another one, each bound to a core. Both warm up, and
/// time their work by the gate.
pub(super) fn together(here: impl FnOnce(&Gate) -> Span, there: impl FnOnce(&Gate) -> Span + Send) -> Together {
    // Before this thread is bound: those to choose from are its own.
    let cores = *CORES;
    let bind = |index: usize| cores.is_some_and(|cores| core_affinity::set_for_current(cores[index]));
    let gate = Gate::default();
    let (here, there) = thread::scope(|scope| {
        let other = scope.spawn(|| {
            let _abort = AbortOnPanic;
            bind(1);
            there(&gate)
        });
        let _abort = AbortOnPanic;
        bind(0);
        (here(&gate), other.join().expect("no panic"))
    });
    Together { duration: here.end.max(there.end) - here.start.min(there.start), calm: here.calm && there.calm }
}

/// What two threads took.
pub(super) struct Together {
    /// From the earlier start to the later end.
    pub(super) duration: Duration,
    /// Whether both had their cores all the time.
    pub(super) calm: bool,
}

/// Lets both threads begin at once.
#[derive(Default)]
pub(super) struct Gate {
    arrived: AtomicUsize,
}

impl Gate {
    /// Waits for the other thread, and does the work. Waits again, so that no thread ends, and empties its
    /// caches, while the other one is timed.
    pub(super) fn time(&self, work: impl FnOnce()) -> Span {
        self.meet(2);
        let before = preemptions();
        self.meet(4);
        let start = Instant::now();
        work();
        let end = Instant::now();
        let calm = preemptions() == before;
        self.meet(6);
        Span { start, end, calm }
    }

    fn meet(&self, arrivals: usize) {
        self.arrived.fetch_add(1, Ordering::AcqRel);
        spin_until(|| self.arrived.load(Ordering::Acquire) >= arrivals);
    }
}

/// When a thread worked.
pub(super) struct Span {
    start: Instant,
    end: Instant,
    calm: bool,
}

/// Returns how often this thread lost its core to another one while it could have run on, if the
/// system says so. Going to sleep, as in front of a lock, is not counted.
fn preemptions() -> Option<u64> {
    let status = fs::read_to_string("/proc/thread-self/status").ok()?;
    let count = status.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"))?;
    count.trim().parse().ok()
}

/// Waits without sleeping, but lets others run if it takes as long as a thread takes to be scheduled.
#[inline(always)]
pub(super) fn spin_until(mut ready: impl FnMut() -> bool) {
    let mut spins = 0_u32;
    while !ready() {
        spins = spins.wrapping_add(1);
        if spins.is_multiple_of(1 << 14) {
            thread::yield_now();
        } else {
            spin_loop();
        }
    }
}

/// Ends the program if one of two threads panics: the other one would wait for it for ever.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            abort();
        }
    }
}
