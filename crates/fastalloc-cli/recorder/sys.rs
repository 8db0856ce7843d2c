//! The kernel, and the few functions of the C library that the recorder calls.

use core::arch::asm;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::{ptr, slice};

#[cfg(not(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64"),
    target_pointer_width = "64"
)))]
compile_error!("there is no recorder for this target");

unsafe extern "C" {
    pub(crate) fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    fn getauxval(kind: u64) -> u64;
    fn clock_gettime(clock: c_int, time: *mut [i64; 2]) -> c_int;
    pub(crate) static mut environ: *mut *mut c_char;
}

/// The next definition after this library's.
pub(crate) const RTLD_NEXT: *mut c_void = ptr::without_provenance_mut(usize::MAX);
/// The definition that everybody gets.
pub(crate) const RTLD_DEFAULT: *mut c_void = ptr::null_mut();

#[cfg(target_arch = "x86_64")]
mod number {
    pub(super) const READ: usize = 0;
    pub(super) const CLOSE: usize = 3;
    pub(super) const FSTAT: usize = 5;
    pub(super) const MMAP: usize = 9;
    pub(super) const MPROTECT: usize = 10;
    pub(super) const RT_SIGPROCMASK: usize = 14;
    pub(super) const PREAD64: usize = 17;
    pub(super) const PWRITE64: usize = 18;
    pub(super) const SCHED_YIELD: usize = 24;
    pub(super) const MADVISE: usize = 28;
    pub(super) const GETPID: usize = 39;
    pub(super) const FCNTL: usize = 72;
    pub(super) const GETPPID: usize = 110;
    pub(super) const RT_SIGTIMEDWAIT: usize = 128;
    pub(super) const GETTID: usize = 186;
    pub(super) const FUTEX: usize = 202;
    pub(super) const EXIT_GROUP: usize = 231;
    pub(super) const TGKILL: usize = 234;
    pub(super) const OPENAT: usize = 257;
    pub(super) const PRLIMIT64: usize = 302;
}

#[cfg(target_arch = "aarch64")]
mod number {
    pub(super) const FCNTL: usize = 25;
    pub(super) const OPENAT: usize = 56;
    pub(super) const CLOSE: usize = 57;
    pub(super) const READ: usize = 63;
    pub(super) const PREAD64: usize = 67;
    pub(super) const PWRITE64: usize = 68;
    pub(super) const FSTAT: usize = 80;
    pub(super) const EXIT_GROUP: usize = 94;
    pub(super) const FUTEX: usize = 98;
    pub(super) const SCHED_YIELD: usize = 124;
    pub(super) const TGKILL: usize = 131;
    pub(super) const RT_SIGPROCMASK: usize = 135;
    pub(super) const RT_SIGTIMEDWAIT: usize = 137;
    pub(super) const GETPID: usize = 172;
    pub(super) const GETPPID: usize = 173;
    pub(super) const GETTID: usize = 178;
    pub(super) const MMAP: usize = 222;
    pub(super) const MPROTECT: usize = 226;
    pub(super) const MADVISE: usize = 233;
    pub(super) const PRLIMIT64: usize = 261;
}

const EINTR: isize = -4;
const EFBIG: isize = -27;
pub(crate) const ESRCH: isize = -3;
pub(crate) const EEXIST: isize = -17;
const AT_FDCWD: usize = -100_isize as usize;
const O_WRONLY: usize = 1;
const O_CREAT: usize = 0o100;
const O_EXCL: usize = 0o200;
#[cfg(target_arch = "x86_64")]
const O_NOFOLLOW: usize = 0o400_000;
#[cfg(target_arch = "aarch64")]
const O_NOFOLLOW: usize = 0o100_000;
const O_CLOEXEC: usize = 0o2_000_000;

/// Calls the kernel; `-errno` if it fails.
///
/// # Safety
///
/// As the call demands.
unsafe fn call(number: usize, arguments: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = arguments;
    let result: isize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the registers are those of the kernel's convention, which clobbers `rcx` and `r11`; the rest is up to the
    // caller.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
            in("r8") e, in("r9") f, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the registers are those of the kernel's convention; the rest is up to the caller.
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a => result, in("x1") b, in("x2") c, in("x3") d, in("x4") e,
            in("x5") f, options(nostack));
    }
    result
}

/// Calls the kernel with numbers only, or with pointers that it checks and that nothing else depends on.
macro_rules! harmless {
    ($number:ident $(, $argument:expr)*) => {{
        let mut arguments = [0; 6];
        let given: &[usize] = &[$($argument),*];
        arguments[..given.len()].copy_from_slice(given);
        // SAFETY: the call writes no memory but what `arguments` point to, of which the caller has exclusive use.
        unsafe { call(number::$number, arguments) }
    }};
}

pub(crate) fn process_id() -> u32 {
    harmless!(GETPID) as u32
}

pub(crate) fn parent_id() -> u32 {
    harmless!(GETPPID) as u32
}

pub(crate) fn thread_id() -> u32 {
    harmless!(GETTID) as u32
}

/// Whether the process has such a thread.
pub(crate) fn is_thread_alive(process: u32, thread: u32) -> bool {
    harmless!(TGKILL, process as usize, thread as usize, 0) != ESRCH
}

pub(crate) fn yield_now() {
    harmless!(SCHED_YIELD);
}

pub(crate) fn exit_group(status: c_int) -> ! {
    loop {
        harmless!(EXIT_GROUP, status as usize);
    }
}

pub(crate) fn exit_by_abort() -> ! {
    const SIGABRT: usize = 6;
    harmless!(TGKILL, process_id() as usize, thread_id() as usize, SIGABRT);
    exit_group(134)
}

/// Sleeps as long as the word has this value, and nobody wakes it.
pub(crate) fn futex_wait(word: &core::sync::atomic::AtomicU32, value: u32) {
    const WAIT_PRIVATE: usize = 128;
    harmless!(FUTEX, ptr::from_ref(word).expose_provenance(), WAIT_PRIVATE, value as usize, 0);
}

/// Wakes one who sleeps.
pub(crate) fn futex_wake(word: &core::sync::atomic::AtomicU32) {
    const WAKE_PRIVATE: usize = 129;
    harmless!(FUTEX, ptr::from_ref(word).expose_provenance(), WAKE_PRIVATE, 1);
}

/// Replaces the thread's mask of blocked signals, and returns the old one.
pub(crate) fn set_signal_mask(mask: u64) -> u64 {
    const SETMASK: usize = 2;
    let mut old = 0_u64;
    let pointers = [ptr::from_ref(&mask).expose_provenance(), (&raw mut old).expose_provenance()];
    harmless!(RT_SIGPROCMASK, SETMASK, pointers[0], pointers[1], size_of::<u64>());
    old
}

/// Takes back the signal that this thread got with [`EFBIG`], and that would end the program as soon as it is not blocked.
fn forget_file_size_signal() {
    const SIGXFSZ: u32 = 25;
    let (set, no_time) = (1_u64 << (SIGXFSZ - 1), [0_u64; 2]);
    let pointers = [ptr::from_ref(&set).expose_provenance(), ptr::from_ref(&no_time).expose_provenance()];
    harmless!(RT_SIGTIMEDWAIT, pointers[0], 0, pointers[1], size_of::<u64>());
}

/// Nanoseconds on a clock of [`MONOTONIC`] or [`REALTIME`].
pub(crate) fn clock(clock: c_int) -> u64 {
    let mut time = [0; 2];
    // SAFETY: `time` is as large as a `timespec` of 64-bit targets.
    unsafe { clock_gettime(clock, &raw mut time) };
    time[0] as u64 * 1_000_000_000 + time[1] as u64
}

pub(crate) const REALTIME: c_int = 0;
pub(crate) const MONOTONIC: c_int = 1;

/// A file that is open.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct File(u32);

/// What tells a file from others: device and number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileId {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

impl File {
    /// Makes a file that is not there yet.
    pub(crate) fn create(path: &CStr) -> Result<Self, isize> {
        Self::open_with(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC)
    }

    pub(crate) fn open_to_write(path: &CStr) -> Result<Self, isize> {
        Self::open_with(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC)
    }

    pub(crate) fn open(path: &CStr) -> Result<Self, isize> {
        Self::open_with(path, O_CLOEXEC)
    }

    fn open_with(path: &CStr, flags: usize) -> Result<Self, isize> {
        let result = harmless!(OPENAT, AT_FDCWD, path.as_ptr().expose_provenance(), flags, 0o600);
        u32::try_from(result).map(Self).map_err(|_| result)
    }

    pub(crate) fn close(self) {
        harmless!(CLOSE, self.0 as usize);
    }

    /// The same file with a number that programs do not count on: shells choose theirs, others close those up to 255.
    pub(crate) fn out_of_the_way(self) -> Self {
        const F_DUPFD_CLOEXEC: usize = 1030;
        const RLIMIT_NOFILE: usize = 7;
        let mut limits = [0_u64; 2];
        harmless!(PRLIMIT64, 0, RLIMIT_NOFILE, 0, (&raw mut limits).expose_provenance());
        let lowest = limits[0].min(1024).saturating_sub(8) as usize;
        match u32::try_from(harmless!(FCNTL, self.0 as usize, F_DUPFD_CLOEXEC, lowest)) {
            Ok(number) => {
                self.close();
                Self(number)
            }
            Err(_) => self,
        }
    }

    pub(crate) fn id(self) -> Option<FileId> {
        // `struct stat` starts with device and number, and has at most 144 bytes.
        let mut stat = [0_u64; 18];
        let result = harmless!(FSTAT, self.0 as usize, (&raw mut stat).expose_provenance());
        (result == 0).then_some(FileId { device: stat[0], inode: stat[1] })
    }

    /// How many bytes were read; 0 at the end, and if they cannot be read.
    pub(crate) fn read(self, buffer: &mut [u8]) -> usize {
        loop {
            let pointer = buffer.as_mut_ptr().expose_provenance();
            match harmless!(READ, self.0 as usize, pointer, buffer.len()) {
                EINTR => {}
                result => return usize::try_from(result).unwrap_or(0),
            }
        }
    }

    /// Whether the buffer could be filled.
    pub(crate) fn read_at(self, buffer: &mut [u8], offset: u64) -> bool {
        let pointer = buffer.as_mut_ptr().expose_provenance();
        let result = harmless!(PREAD64, self.0 as usize, pointer, buffer.len(), offset as usize);
        result == buffer.len() as isize
    }

    /// Whether all could be written. Signals are blocked.
    pub(crate) fn write_at(self, mut bytes: &[u8], mut offset: u64) -> bool {
        while !bytes.is_empty() {
            let pointer = bytes.as_ptr().expose_provenance();
            match harmless!(PWRITE64, self.0 as usize, pointer, bytes.len(), offset as usize) {
                EINTR => {}
                written @ 1.. => {
                    bytes = &bytes[written as usize..];
                    offset += written as u64;
                }
                error => {
                    if error == EFBIG {
                        forget_file_size_signal();
                    }
                    return false;
                }
            }
        }
        true
    }
}

const READ_WRITE: usize = 3;

/// Fresh memory of zeros that is never given back, for a value for which zeros are valid; `None` if there is none.
/// Pages that are not touched take none.
pub(crate) fn map<T>() -> Option<*mut T> {
    const PRIVATE_ANONYMOUS_NORESERVE: usize = 0x4022;
    let result = harmless!(MMAP, 0, size_of::<T>(), READ_WRITE, PRIVATE_ANONYMOUS_NORESERVE, usize::MAX, 0);
    (result > 0).then(|| ptr::with_exposed_provenance_mut(result as usize))
}

/// Sees to it that a page is zeros in child processes that have a copy of the memory. Old kernels cannot do that.
pub(crate) fn wipe_on_fork(page: *mut [u8; PAGE]) {
    const WIPEONFORK: usize = 18;
    harmless!(MADVISE, page.expose_provenance(), PAGE, WIPEONFORK);
}

/// Bytes of the smallest page that there is.
pub(crate) const PAGE: usize = 4096;

/// Bytes of a page of this system: 64 KiB on some with AArch64.
pub(crate) fn page_size() -> usize {
    const AT_PAGESZ: u64 = 6;
    // SAFETY: it reads what the kernel has told the loader.
    unsafe { getauxval(AT_PAGESZ) as usize }
}

/// Makes the part of an object writable that is only readable once the object is relocated, or only readable again. The
/// same pages as the loader's: the range may end in the middle of one, which stays writable then.
///
/// # Safety
///
/// The range is what the object says of that part.
pub(crate) unsafe fn protect(start: usize, length: usize, is_writable: bool) {
    const READ: usize = 1;
    let protection = if is_writable { READ_WRITE } else { READ };
    let page_mask = !(page_size() - 1);
    let (first, end) = (start & page_mask, (start + length) & page_mask);
    // SAFETY: as promised.
    unsafe { call(number::MPROTECT, [first, end.saturating_sub(first), protection, 0, 0, 0]) };
}

/// The text at an address, if it is not null.
///
/// # Safety
///
/// There is a text that ends with a zero, and stays as it is.
pub(crate) unsafe fn text<'a>(pointer: *const c_char) -> Option<&'a [u8]> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: as promised.
    Some(unsafe { CStr::from_ptr(pointer) }.to_bytes())
}

/// The variables of the environment as they are now.
pub(crate) fn current_environment() -> *const *const c_char {
    // SAFETY: it is read as a whole; programs that change it meanwhile cannot call `exec` either.
    unsafe { environ }.cast::<*const c_char>().cast_const()
}

/// The variables of the environment that are set, each with its name.
pub(crate) fn environment() -> &'static mut [*mut c_char] {
    // SAFETY: nobody changes it while the program starts, which is when this is called.
    let start = unsafe { environ };
    if start.is_null() {
        return &mut [];
    }
    let mut length = 0;
    let mut next = start;
    // SAFETY: a null pointer ends it, which was not met yet.
    while !unsafe { *next }.is_null() {
        // SAFETY: as above.
        next = unsafe { next.add(1) };
        length += 1;
    }
    // SAFETY: these are the pointers that were just read, and nobody else uses them while the program starts.
    unsafe { slice::from_raw_parts_mut(start, length) }
}
