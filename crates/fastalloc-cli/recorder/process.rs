//! How recording begins, what becomes of it in the child of a fork, and how it ends.

use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};

use crate::hooks::Texts;
use crate::successor;
use crate::sync::Inside;
use crate::trace::{self, TRACE, Trace};
use crate::{buffer, got, real, sample, stack, sys};

/// What `fastalloc record` says: `depth:sampling:follow:process:path`; the process is that of `fastalloc record`.
pub(crate) const VARIABLE: &[u8] = b"FASTALLOC_RECORD=";
pub(crate) const PRELOAD: &[u8] = b"LD_PRELOAD=";
const PATH_MAX: usize = 4096;

static STATE: AtomicU32 = AtomicU32::new(NEW);
/// Nobody has looked at the options yet.
const NEW: u32 = 0;
const BEGINNING: u32 = 1;
const RECORDING: u32 = 2;
const STOPPED: u32 = 3;

static PROCESS: AtomicU32 = AtomicU32::new(0);
/// Whether this is the child of a fork, whose file is made when there is something to write.
static IS_CHILD: AtomicBool = AtomicBool::new(false);
/// A page with a one, or with a zero in a process with a copy of the memory that does not know it: its handlers of forks
/// were not called.
static KNOWN: AtomicPtr<AtomicU64> = AtomicPtr::new(ptr::null_mut());

pub(crate) struct Options {
    /// Frames of a stack at most.
    pub(crate) depth: usize,
    /// One object of so many is in the trace.
    pub(crate) sampling: u64,
    /// Whether child processes are recorded too.
    follows: bool,
    /// When the trace's time is 0, on the monotonic clock.
    pub(crate) start: u64,
    /// The same in nanoseconds since 1970.
    pub(crate) started: u64,
    path: [u8; PATH_MAX],
    path_len: usize,
}

struct OptionsCell(UnsafeCell<Options>);

// SAFETY: it is written before `STATE` says that it can be read, by one thread, and then only read.
unsafe impl Sync for OptionsCell {}

static OPTIONS: OptionsCell = OptionsCell(UnsafeCell::new(Options {
    depth: 0,
    sampling: 1,
    follows: false,
    start: 0,
    started: 0,
    path: [0; PATH_MAX],
    path_len: 0,
}));

#[used]
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn(c_int, *const *const c_char, *mut *mut c_char) = at_start;
#[used]
#[unsafe(link_section = ".fini_array")]
static AT_END: extern "C" fn() = end;

/// glibc calls this before anything else that is loaded begins, itself included: see `build.rs`. musl gives no arguments.
extern "C" fn at_start(_: c_int, _: *const *const c_char, environment: *mut *mut c_char) {
    // SAFETY: the program has one thread.
    if unsafe { sys::environ }.is_null() {
        // SAFETY: as above.
        unsafe { sys::environ = environment };
    }
    if let Some(inside) = Inside::enter() {
        real::functions(&inside);
        if options(&inside).is_some() {
            got::redirect();
        }
    }
}

/// What to record, and how; `None` if nothing.
pub(crate) fn options(inside: &Inside) -> Option<&'static Options> {
    match STATE.load(Ordering::Acquire) {
        RECORDING => {}
        NEW if begin(inside) => {}
        _ => return None,
    }
    // SAFETY: it was written before, and is only read now.
    is_known().then(|| unsafe { &*OPTIONS.0.get() })
}

/// Nanoseconds since the trace's time was 0.
pub(crate) fn now() -> u64 {
    // SAFETY: whoever asks is recording.
    let options = unsafe { &*OPTIONS.0.get() };
    sys::clock(sys::MONOTONIC).saturating_sub(options.start)
}

/// Nothing is recorded any more.
pub(crate) fn stop() {
    STATE.store(STOPPED, Ordering::Release);
}

/// Whether nothing may be locked or written.
pub(crate) fn is_stranger() -> bool {
    STATE.load(Ordering::Acquire) != RECORDING || !is_known()
}

/// `false` in a process that has a copy of the memory of one that is recorded, and does not know it, or not yet: other
/// threads, which are not in the copy, may have locked anything.
fn is_known() -> bool {
    // SAFETY: it is mapped, and never unmapped.
    let known = unsafe { KNOWN.load(Ordering::Acquire).as_ref() };
    known.is_none_or(|known| known.load(Ordering::Relaxed) == 1)
}

/// Ends the recording as a whole, unless this process only borrows the memory of its parent (`vfork`).
pub(crate) extern "C" fn end() {
    if PROCESS.load(Ordering::Relaxed) == sys::process_id() {
        // So that a signal handler allocates without being recorded meanwhile.
        let inside = Inside::enter();
        trace::finish();
        drop(inside);
    }
}

/// What was recorded is about to be gone.
pub(crate) fn interrupt() {
    if PROCESS.load(Ordering::Relaxed) == sys::process_id() {
        let inside = Inside::enter();
        trace::flush_all();
        drop(inside);
    }
}

/// Calls `exec` with the environment for what the process is about to become: the same program, for who has started it,
/// so that it is recorded too.
pub(crate) fn with_successor<T>(environment: Texts, exec: impl FnOnce(Texts) -> T) -> T {
    // A child that becomes another program right away needs no file.
    if !IS_CHILD.load(Ordering::Relaxed) {
        interrupt();
    }
    // SAFETY: it was written when recording began, if it did.
    let follows = unsafe { &*OPTIONS.0.get() }.follows;
    let is_recorded =
        STATE.load(Ordering::Acquire) == RECORDING && PROCESS.load(Ordering::Relaxed) == sys::process_id();
    // Whoever follows child processes has left the environment as it was.
    if is_recorded && !follows { successor::with(environment, exec) } else { exec(environment) }
}

/// Makes the file of a child.
pub(crate) fn begin_child(trace: &mut Trace) -> bool {
    // SAFETY: whoever has something to write is recording.
    let options = unsafe { &*OPTIONS.0.get() };
    let is_begun = IS_CHILD.swap(false, Ordering::Relaxed) && trace.begin(options);
    if !is_begun {
        stop();
    }
    is_begun
}

#[cold]
fn begin(_: &Inside) -> bool {
    // Before the C library is, there is no environment.
    let environment = sys::environment();
    if environment.is_empty() || STATE.compare_exchange(NEW, BEGINNING, Ordering::AcqRel, Ordering::Acquire).is_err() {
        return false;
    }
    // SAFETY: `BEGINNING` is once.
    let options = unsafe { &mut *OPTIONS.0.get() };
    let is_begun = read(environment, options) && prepare(options) && TRACE.lock().begin(options);
    STATE.store(if is_begun { RECORDING } else { STOPPED }, Ordering::Release);
    is_begun
}

/// Whether the environment says what to do. If child processes are not to be recorded, it does not say so to them.
fn read(environment: &mut [*mut c_char], options: &mut Options) -> bool {
    // SAFETY: variables are texts, which are not changed while the program starts.
    let value = |variable: *mut c_char, name| unsafe { sys::text(variable) }?.strip_prefix(name);
    let Some(text) = environment.iter().find_map(|variable| value(*variable, VARIABLE)) else { return false };
    let mut fields = text.splitn(5, |byte| *byte == b':');
    let mut number = || core::str::from_utf8(fields.next()?).ok()?.parse::<u32>().ok();
    let (Some(depth), Some(sampling), Some(follows), Some(recorder)) = (number(), number(), number(), number()) else {
        return false;
    };
    let Some(path) = fields.next().filter(|path| path.len() <= PATH_MAX) else { return false };
    (options.depth, options.sampling, options.follows) = (depth as usize, sampling.max(1).into(), follows != 0);
    options.path[..path.len()].copy_from_slice(path);
    options.path_len = path.len();
    // No event is at time 0.
    options.start = sys::clock(sys::MONOTONIC) - 1;
    options.started = sys::clock(sys::REALTIME) - 1;
    let preload = environment.iter().find_map(|variable| value(*variable, PRELOAD));
    if let Some(library) = preload.and_then(|value| value.split(|byte| *byte == b':').next()) {
        successor::prepare(text, library);
    }
    if options.follows {
        return true;
    }
    remove(environment, |variable| value(variable, VARIABLE).is_some());
    let others = |variable| value(variable, PRELOAD).map(|value| value.split(|byte| *byte == b':').nth(1).is_some());
    remove(environment, |variable| others(variable) == Some(false));
    for variable in environment.iter().copied().filter(|variable| others(*variable) == Some(true)) {
        forget_first(variable);
    }
    // A program without a loader has left them to its children.
    sys::parent_id() == recorder
}

fn remove(environment: &mut [*mut c_char], is_unwanted: impl Fn(*mut c_char) -> bool) {
    let mut kept = 0;
    for index in 0..environment.len() {
        let variable = environment[index];
        if !variable.is_null() && !is_unwanted(variable) {
            environment[kept] = variable;
            kept += 1;
        }
    }
    environment[kept..].fill(ptr::null_mut());
}

/// Removes the first library of `LD_PRELOAD`, which is this one.
fn forget_first(variable: *mut c_char) {
    // SAFETY: it is a text.
    let Some(text) = (unsafe { sys::text(variable) }) else { return };
    let Some(colon) = text.iter().position(|byte| *byte == b':') else { return };
    let rest = text.len() - colon;
    // SAFETY: the name of the variable is shorter than what goes up to the colon.
    let source = unsafe { variable.add(colon + 1) };
    // SAFETY: as above.
    let target = unsafe { variable.add(PRELOAD.len()) };
    // SAFETY: both are within the text and its zero, which nobody else uses while the program starts.
    unsafe { ptr::copy(source, target, rest) };
}

fn prepare(options: &Options) -> bool {
    PROCESS.store(sys::process_id(), Ordering::Relaxed);
    if let Some(page) = sys::map::<[u8; sys::PAGE]>() {
        sys::wipe_on_fork(page);
        let known: *mut AtomicU64 = page.cast();
        // SAFETY: a page is large enough, and zeros are valid.
        unsafe { &*known }.store(1, Ordering::Relaxed);
        KNOWN.store(known, Ordering::Release);
    }
    register_fork_handler();
    stack::prepare() && (options.sampling == 1 || sample::prepare())
}

/// Nothing is locked while a process forks: a handler that comes after this library's may allocate, or wait for a thread
/// that does.
fn register_fork_handler() {
    type Handler = Option<extern "C" fn()>;
    // The function of glibc is in its static part, and calls this one.
    // SAFETY: names are texts.
    let of_glibc = unsafe { sys::dlsym(sys::RTLD_DEFAULT, c"__register_atfork".as_ptr()) };
    if !of_glibc.is_null() {
        type Register = unsafe extern "C" fn(Handler, Handler, Handler, *mut c_void) -> c_int;
        // SAFETY: it has this type.
        let register: Register = unsafe { mem::transmute(of_glibc) };
        // SAFETY: this library is never unloaded.
        unsafe { register(None, None, Some(after_fork_in_child), ptr::null_mut()) };
        return;
    }
    // SAFETY: as above.
    let other = unsafe { sys::dlsym(sys::RTLD_DEFAULT, c"pthread_atfork".as_ptr()) };
    if !other.is_null() {
        // SAFETY: it has this type.
        let register: unsafe extern "C" fn(Handler, Handler, Handler) -> c_int = unsafe { mem::transmute(other) };
        // SAFETY: this library is never unloaded.
        unsafe { register(None, None, Some(after_fork_in_child)) };
    }
}

/// What was the parent's is forgotten. Until here, nothing is recorded: see [`is_known`].
extern "C" fn after_fork_in_child() {
    // SAFETY: it was written when recording began.
    let options = unsafe { &*OPTIONS.0.get() };
    // A handler of a signal may have forked in the middle of an event.
    let inside = Inside::enter().filter(|_| options.follows && STATE.load(Ordering::Acquire) == RECORDING);
    // SAFETY: the other threads are those of the parent.
    unsafe { TRACE.reset() }.abandon();
    let Some(inside) = inside else { return stop() };
    let mine = inside.buffer();
    for buffer in buffer::all() {
        let is_mine = mine.is_some_and(|mine| ptr::eq(mine, buffer));
        buffer.set_owner(if is_mine { sys::thread_id() } else { 0 });
        // SAFETY: as above.
        unsafe { buffer.reset() };
    }
    PROCESS.store(sys::process_id(), Ordering::Relaxed);
    IS_CHILD.store(true, Ordering::Relaxed);
    trace::forget_losses();
    // SAFETY: it is mapped, and never unmapped.
    if let Some(known) = unsafe { KNOWN.load(Ordering::Relaxed).as_ref() } {
        known.store(1, Ordering::Relaxed);
    }
}

/// The name of a file: that of the options with the number of the process, and if that is taken, with another number
/// behind it.
pub(crate) struct Name([u8; PATH_MAX + 32]);

impl Name {
    pub(crate) const fn new() -> Self {
        Self([0; PATH_MAX + 32])
    }

    pub(crate) fn set(&mut self, options: &Options, attempt: u32) {
        let mut end = buffer::End(&mut self.0, 0);
        end.extend(options.path[..options.path_len].iter().copied());
        put_suffix(&mut end, sys::process_id());
        if attempt > 1 {
            put_suffix(&mut end, attempt);
        }
        end.extend([0]);
    }

    pub(crate) fn get(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default()
    }
}

fn put_suffix(end: &mut buffer::End<'_>, number: u32) {
    let digits = number.checked_ilog10().unwrap_or(0);
    end.extend([b'.']);
    end.extend((0..=digits).rev().map(|digit| b'0' + (number / 10_u32.pow(digit) % 10) as u8));
}
