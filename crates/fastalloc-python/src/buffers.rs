//! `BufferPool` and its buffers: memory that NumPy, sockets and files write to, and that is used again.
//!
//! What a program gets is a `PooledBuffer`: the handle. The memory belongs to a `Memory`, an object that the program sees
//! only as `memoryview.obj`. Each view of the memory refers to the `Memory` and not to the handle, so its references are
//! the views, and one more is the handle's until that is released. When the last has gone, the memory goes back.
//!
//! Counting calls of `bf_getbuffer` and `bf_releasebuffer` would not do. `torch.frombuffer`, and `numpy.ndarray` when it is
//! given a `memoryview`, release their view at once, go on using its address, and keep a reference to the object that the
//! view was of: that is the `Memory`, and they are safe. Given the handle, `numpy.ndarray` keeps a reference to the handle:
//! it is to be told by the flags of its request, which no other uses, and such a handle keeps the memory until it dies.
//!
//! A `Memory` refers to nothing of Python, and a pool neither, so there are no cycles for the garbage collector to find.

use core::cell::{Cell, RefCell};
use core::ffi::{c_int, c_void};
use core::mem::offset_of;
use core::ptr;
use std::rc::Rc;
use std::time::Instant;

use pyo3_ffi::{self as ffi, PyObject, PyTypeObject};

use crate::blocks::{Block, Blocks, Refusal, Settings};
use crate::classes::{class, fast, function, no_arguments, plain, reduce, slot};
use crate::pool::Sample;
use crate::py::{self, Global, PyResult, Raised, Ref, guard};
use crate::statics;

/// One call in so many is measured.
const EVERY: u64 = 16;
/// The bit of `PyBUF_ANY_CONTIGUOUS` that no other request has.
const ANY_CONTIGUOUS: c_int = ffi::PyBUF_ANY_CONTIGUOUS & !ffi::PyBUF_STRIDES;

/// What a pool has. The memory of its buffers keeps it alive, not the pool itself: nothing goes back to a pool that has gone.
struct Shared {
    blocks: RefCell<Blocks>,
    /// Whether times are measured.
    statistics: bool,
    /// How many buffers were released while there were views.
    deferred: Cell<u64>,
    allocation_time: Cell<Sample>,
    release_time: Cell<Sample>,
}

impl Shared {
    #[inline(always)]
    fn start(&self, calls: u64) -> Option<Instant> {
        (self.statistics && calls % EVERY == 0).then(Instant::now)
    }

    fn give_back(&self, block: Block) {
        let mut blocks = self.blocks.borrow_mut();
        let start = self.start(blocks.counters().releases);
        blocks.give_back(block);
        add(&self.release_time, start);
    }
}

fn add(sample: &Cell<Sample>, start: Option<Instant>) {
    if let Some(start) = start {
        let mut sum = sample.get();
        sum.calls += 1;
        sum.nanoseconds += u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        sample.set(sum);
    }
}

#[repr(C)]
struct Pool {
    head: PyObject,
    weak_references: *mut PyObject,
    shared: Rc<Shared>,
}

#[repr(C)]
struct Memory {
    head: PyObject,
    shared: Rc<Shared>,
    block: Block,
}

#[repr(C)]
struct Buffer {
    head: PyObject,
    weak_references: *mut PyObject,
    /// A reference that the buffer owns, or null.
    memory: Cell<*mut PyObject>,
    is_released: Cell<bool>,
    /// Somebody may use the memory as long as he refers to the buffer.
    is_pinned: Cell<bool>,
}

impl Pool {
    /// # Safety
    ///
    /// `object` is a pool that is alive for `'a`.
    unsafe fn from_ptr<'a>(object: *mut PyObject) -> &'a Self {
        // SAFETY: pools begin with their head; what changes in them is in cells.
        unsafe { &*object.cast() }
    }
}

impl Buffer {
    /// # Safety
    ///
    /// `object` is a buffer that is alive for `'a`.
    unsafe fn from_ptr<'a>(object: *mut PyObject) -> &'a Self {
        // SAFETY: buffers begin with their head; what changes in them is in cells.
        unsafe { &*object.cast() }
    }

    /// The memory, as long as the buffer has not been released.
    fn memory(&self) -> PyResult<&Memory> {
        if self.is_released.get() {
            return Err(py::raise(&statics::BUFFER_RELEASED, c"buffer has been released"));
        }
        // SAFETY: until it is released, the buffer owns a reference to it.
        Ok(unsafe { &*self.memory.get().cast() })
    }

    /// Views of the memory, or others who keep it.
    fn exports(&self) -> ffi::Py_ssize_t {
        // SAFETY: callers have seen that the buffer owns a reference to it.
        unsafe { ffi::Py_REFCNT(self.memory.get()) - 1 }
    }

    fn release(&self) -> PyResult<()> {
        let shared = &self.memory()?.shared;
        if self.exports() > 0 || self.is_pinned.get() {
            shared.deferred.set(shared.deferred.get() + 1);
        }
        self.is_released.set(true);
        if !self.is_pinned.get() {
            // SAFETY: the buffer owned this reference.
            unsafe { ffi::Py_DECREF(self.memory.replace(ptr::null_mut())) };
        }
        Ok(())
    }
}

/// Room of objects that have died, for the next ones: to allocate and free two objects is a quarter of the instructions of a
/// `get` with its `release`.
struct Spares {
    objects: [Cell<*mut PyObject>; 16],
    len: Cell<usize>,
}

// SAFETY: all of this crate runs with the GIL held, and none of this lets go of it.
unsafe impl Sync for Spares {}

static SPARE_MEMORY: Spares = Spares::new();
static SPARE_BUFFERS: Spares = Spares::new();

impl Spares {
    const fn new() -> Self {
        Self { objects: [const { Cell::new(ptr::null_mut()) }; 16], len: Cell::new(0) }
    }

    /// A new object of the class to which these belong. What follows its head is not initialized.
    #[inline(always)]
    fn make(&self, class: &Global) -> PyResult<Ref> {
        let Some(last) = self.len.get().checked_sub(1) else {
            // SAFETY: a class of ours; null if there is no memory.
            return unsafe { Ref::owned(ffi::PyType_GenericAlloc(class.as_type(), 0)) };
        };
        self.len.set(last);
        // SAFETY: the object has died, and its room was kept. It refers to its class again.
        unsafe { Ref::owned(ffi::PyObject_Init(self.objects[last].get(), class.as_type())) }
    }

    /// # Safety
    ///
    /// Nobody refers to the object any more, which is of the class to which these belong, and it has nothing left to drop.
    #[inline(always)]
    unsafe fn keep(&self, object: *mut PyObject) {
        let len = self.len.get();
        let Some(room) = self.objects.get(len) else {
            // SAFETY: as demanded.
            return unsafe { free(object) };
        };
        room.set(object);
        self.len.set(len + 1);
        // SAFETY: the object referred to its class, which lives for ever.
        unsafe { ffi::Py_DECREF(ffi::Py_TYPE(object).cast()) };
    }
}

// The methods of pools.

unsafe extern "C" fn get(pool: *mut PyObject, nbytes: *mut PyObject) -> *mut PyObject {
    guard(|| {
        // SAFETY: an argument is alive. This may run code of the program.
        let len = unsafe { ffi::PyNumber_AsSsize_t(nbytes, ffi::PyExc_OverflowError) };
        let Ok(len) = usize::try_from(len) else {
            if !py::is_raised() {
                // SAFETY: `ValueError` is always alive; the format is for one number.
                unsafe {
                    ffi::PyErr_Format(ffi::PyExc_ValueError, c"nbytes must not be negative, got %zd".as_ptr(), len)
                };
            }
            return Err(Raised);
        };
        // SAFETY: a method of pools; the caller refers to this one.
        let shared = unsafe { &Pool::from_ptr(pool).shared };
        let start = shared.start(shared.blocks.borrow().counters().allocations);
        let taken = shared.blocks.borrow_mut().take(len);
        let block = taken.map_err(|refusal| refuse(refusal, len, shared))?;
        let memory = new_memory(shared, block)?;
        let buffer = SPARE_BUFFERS.make(&statics::BUFFER)?;
        let raw: *mut Buffer = buffer.as_ptr().cast();
        // SAFETY: nobody else knows it yet. All fields are written before anybody reads them.
        unsafe {
            (&raw mut (*raw).weak_references).write(ptr::null_mut());
            (&raw mut (*raw).memory).write(Cell::new(memory.into_ptr()));
            (&raw mut (*raw).is_released).write(Cell::new(false));
            (&raw mut (*raw).is_pinned).write(Cell::new(false));
        }
        add(&shared.allocation_time, start);
        Ok(buffer.into_ptr())
    })
}

fn new_memory(shared: &Rc<Shared>, block: Block) -> PyResult<Ref> {
    match SPARE_MEMORY.make(&statics::MEMORY) {
        Ok(memory) => {
            let raw: *mut Memory = memory.as_ptr().cast();
            // SAFETY: nobody else knows it yet. Both fields are written before anybody reads them.
            unsafe {
                (&raw mut (*raw).shared).write(Rc::clone(shared));
                (&raw mut (*raw).block).write(block);
            }
            Ok(memory)
        }
        Err(raised) => {
            shared.give_back(block);
            Err(raised)
        }
    }
}

#[cold]
fn refuse(refusal: Refusal, len: usize, shared: &Shared) -> Raised {
    let max = shared.blocks.borrow().settings().max_bytes;
    let in_use = shared.blocks.borrow().counters().bytes_in_use;
    // SAFETY: the classes are alive, and the formats are for these numbers.
    unsafe {
        match refusal {
            Refusal::Closed => return py::raise(&statics::POOL_CLOSED, c"pool is closed"),
            Refusal::TooLarge(size) => ffi::PyErr_Format(
                ffi::PyExc_ValueError,
                c"a buffer of %zu bytes needs a block of %zu, and max_bytes is %zu: make that larger".as_ptr(),
                len,
                size,
                max,
            ),
            Refusal::Exhausted(size) => ffi::PyErr_Format(
                statics::POOL_EMPTY.get(),
                c"a buffer of %zu bytes needs a block of %zu, and blocks in use have %zu of max_bytes=%zu: \
                release buffers, let go of views of them, or make that larger"
                    .as_ptr(),
                len,
                size,
                in_use,
                max,
            ),
            Refusal::NoMemory => ffi::PyErr_Format(
                ffi::PyExc_MemoryError,
                c"the system has no memory for a buffer of %zu bytes".as_ptr(),
                len,
            ),
        }
    };
    Raised
}

unsafe extern "C" fn release(pool: *mut PyObject, object: *mut PyObject) -> *mut PyObject {
    guard(|| {
        // SAFETY: an argument is alive.
        if !ptr::eq(unsafe { ffi::Py_TYPE(object) }, statics::BUFFER.as_type()) {
            return Err(mismatch(object));
        }
        // SAFETY: it is a buffer, a method of pools, and the caller refers to both.
        let (buffer, pool) = unsafe { (Buffer::from_ptr(object), Pool::from_ptr(pool)) };
        if !Rc::ptr_eq(&buffer.memory()?.shared, &pool.shared) {
            return Err(py::raise(&statics::ALREADY_RELEASED, c"buffer is from another pool: use its own release()"));
        }
        buffer.release()?;
        Ok(Ref::none().into_ptr())
    })
}

#[cold]
fn mismatch(object: *mut PyObject) -> Raised {
    let raise = || {
        // SAFETY: the type of an object lives at least as long.
        let found = unsafe { Ref::borrowed(ffi::Py_TYPE(object).cast()) }.ok_or(Raised)?;
        let error = py::call(&statics::TYPE_MISMATCH.to_ref()?, [&statics::BUFFER.to_ref()?, &found])?;
        // SAFETY: class and instance of an exception.
        unsafe { ffi::PyErr_SetObject(statics::TYPE_MISMATCH.get(), error.as_ptr()) };
        PyResult::Ok(())
    };
    match raise() {
        Ok(()) | Err(Raised) => Raised,
    }
}

/// A method of pools that returns a number.
macro_rules! number {
    ($name:ident, $of:expr) => {
        unsafe extern "C" fn $name(pool: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
            // SAFETY: a method of pools.
            let shared = unsafe { &Pool::from_ptr(pool).shared };
            let of: fn(&mut Blocks) -> usize = $of;
            let number = of(&mut shared.blocks.borrow_mut());
            guard(|| Ok(py::integer(number)?.into_ptr()))
        }
    };
}

number!(size, |blocks| blocks.counters().in_use);
number!(available, |blocks| blocks.counters().idle);
number!(bytes_in_use, |blocks| blocks.counters().bytes_in_use);
number!(bytes_idle, |blocks| blocks.counters().bytes_idle);
number!(trim, Blocks::trim);

unsafe extern "C" fn max_bytes(pool: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: a method of pools.
    let max = unsafe { Pool::from_ptr(pool) }.shared.blocks.borrow().settings().max_bytes;
    guard(|| if max == usize::MAX { Ok(Ref::none().into_ptr()) } else { Ok(py::integer(max)?.into_ptr()) })
}

unsafe extern "C" fn close(pool: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: a method of pools.
    unsafe { Pool::from_ptr(pool) }.shared.blocks.borrow_mut().close();
    Ref::none().into_ptr()
}

unsafe extern "C" fn is_closed(pool: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: a method of pools.
    py::boolean(unsafe { Pool::from_ptr(pool) }.shared.blocks.borrow().is_closed()).into_ptr()
}

unsafe extern "C" fn stats(pool: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    guard(|| {
        // SAFETY: a method of pools.
        let shared = unsafe { &Pool::from_ptr(pool).shared };
        let counters = *shared.blocks.borrow().counters();
        let counted = [
            counters.allocations,
            counters.releases,
            counters.zeroed,
            counters.made,
            counters.peak_in_use as u64,
            counters.peak_blocks as u64,
            counters.in_use as u64,
            (counters.in_use + counters.idle) as u64,
            shared.allocation_time.get().total(counters.allocations),
            shared.release_time.get().total(counters.releases),
            counters.bytes_in_use as u64,
            counters.bytes_idle as u64,
            counters.peak_bytes as u64,
            shared.deferred.get(),
        ];
        // SAFETY: what is returned is null or a new reference.
        let list = unsafe { Ref::owned(ffi::PyList_New(0))? };
        for value in counted {
            let value = py::integer(usize::try_from(value).unwrap_or(usize::MAX))?;
            // SAFETY: both are alive.
            if unsafe { ffi::PyList_Append(list.as_ptr(), value.as_ptr()) } != 0 {
                return Err(Raised);
            }
        }
        Ok(py::call(&cold(c"stats")?, [&py::boolean(shared.statistics), &list])?.into_ptr())
    })
}

/// A function of `fastalloc._buffers`: what need not be fast.
fn cold(name: &core::ffi::CStr) -> PyResult<Ref> {
    py::attribute(&py::import(c"fastalloc._buffers")?, name)
}

unsafe extern "C" fn pool_repr(pool: *mut PyObject) -> *mut PyObject {
    // SAFETY: a slot of pools.
    let blocks = unsafe { Pool::from_ptr(pool) }.shared.blocks.borrow();
    let counters = blocks.counters();
    // SAFETY: the format is for these values.
    unsafe {
        ffi::PyUnicode_FromFormat(
            c"BufferPool(in_use=%zu, available=%zu, bytes_in_use=%zu, bytes_idle=%zu, closed=%s)".as_ptr(),
            counters.in_use,
            counters.idle,
            counters.bytes_in_use,
            counters.bytes_idle,
            truth(blocks.is_closed()),
        )
    }
}

fn truth(value: bool) -> *const core::ffi::c_char {
    if value { c"True".as_ptr() } else { c"False".as_ptr() }
}

unsafe extern "C" fn new_pool(
    class: *mut PyTypeObject,
    arguments: *mut PyObject,
    keywords: *mut PyObject,
) -> *mut PyObject {
    guard(|| {
        // SAFETY: a function, a tuple, and a dict or null.
        let settings = unsafe { Ref::owned(ffi::PyObject_Call(cold(c"configure")?.as_ptr(), arguments, keywords))? };
        let setting = |position| {
            // SAFETY: the tuple is alive, and so is what is in it. What is no tuple or too short raises.
            let item = unsafe { Ref::borrowed(ffi::PyTuple_GetItem(settings.as_ptr(), position)) }.ok_or(Raised)?;
            py::to_index(&item)
        };
        let blocks = Blocks::new(Settings {
            max_bytes: setting(0)?,
            max_idle_bytes: setting(1)?,
            alignment: setting(2)?,
            zero: setting(3)? != 0,
        });
        let shared = Rc::new(Shared {
            blocks: RefCell::new(blocks),
            statistics: setting(4)? != 0,
            deferred: Cell::default(),
            allocation_time: Cell::default(),
            release_time: Cell::default(),
        });
        // SAFETY: the class of pools; null if there is no memory.
        let pool = unsafe { Ref::owned(ffi::PyType_GenericAlloc(class, 0))? };
        let raw: *mut Pool = pool.as_ptr().cast();
        // SAFETY: nobody else knows it yet.
        unsafe { (&raw mut (*raw).shared).write(shared) };
        Ok(pool.into_ptr())
    })
}

unsafe extern "C" fn dealloc_pool(pool: *mut PyObject) {
    // SAFETY: nobody refers to the pool any more, and its fields are not used again.
    unsafe {
        clear_weak_references(pool, (*pool.cast::<Pool>()).weak_references);
        let shared = (&raw mut (*pool.cast::<Pool>()).shared).read();
        shared.blocks.borrow_mut().close();
        drop(shared);
        free(pool);
    }
}

unsafe fn clear_weak_references(object: *mut PyObject, first: *mut PyObject) {
    if !first.is_null() {
        // SAFETY: nobody refers to the object any more.
        py::preserving_exception(|| unsafe { ffi::PyObject_ClearWeakRefs(object) });
    }
}

unsafe fn free(object: *mut PyObject) {
    // SAFETY: nobody refers to the object any more, which is of one of the classes below.
    unsafe {
        let class = ffi::Py_TYPE(object);
        ffi::PyObject_Free(object.cast());
        ffi::Py_DECREF(class.cast());
    }
}

// Memory.

unsafe extern "C" fn dealloc_memory(memory: *mut PyObject) {
    let raw: *mut Memory = memory.cast();
    // SAFETY: nobody refers to the memory any more, and its fields are not used again.
    unsafe {
        let (shared, block) = ((&raw mut (*raw).shared).read(), (&raw mut (*raw).block).read());
        shared.give_back(block);
        SPARE_MEMORY.keep(memory);
    }
}

unsafe extern "C" fn view_memory(memory: *mut PyObject, view: *mut ffi::Py_buffer, flags: c_int) -> c_int {
    // SAFETY: a slot of memory. The view will refer to the memory, which has so many bytes.
    unsafe {
        let block = &(*memory.cast::<Memory>()).block;
        ffi::PyBuffer_FillInfo(view, memory, block.address().cast(), block.len() as ffi::Py_ssize_t, 0, flags)
    }
}

// The methods of buffers.

unsafe extern "C" fn view(buffer: *mut PyObject, view: *mut ffi::Py_buffer, flags: c_int) -> c_int {
    // SAFETY: a slot of buffers.
    let object = unsafe { Buffer::from_ptr(buffer) };
    if object.memory().is_err() {
        if !view.is_null() {
            // SAFETY: memory for a view. One that cannot be had is of nothing.
            unsafe { (*view).obj = ptr::null_mut() };
        }
        return -1;
    }
    // `numpy.ndarray(buffer=...)` gives the view back at once, and keeps the buffer instead.
    if flags & ANY_CONTIGUOUS != 0 {
        object.is_pinned.set(true);
    }
    // SAFETY: the buffer refers to its memory.
    unsafe { view_memory(object.memory.get(), view, flags) }
}

/// Never called, because views are of the memory. That it is there tells NumPy that it must not keep an address
/// without a view.
unsafe extern "C" fn end_view(_buffer: *mut PyObject, _view: *mut ffi::Py_buffer) {}

unsafe extern "C" fn len(buffer: *mut PyObject) -> ffi::Py_ssize_t {
    // SAFETY: a slot of buffers.
    match unsafe { Buffer::from_ptr(buffer) }.memory() {
        Ok(memory) => memory.block.len() as ffi::Py_ssize_t,
        Err(Raised) => -1,
    }
}

unsafe extern "C" fn get_item(buffer: *mut PyObject, key: *mut PyObject) -> *mut PyObject {
    guard(|| {
        // SAFETY: both are alive; what is returned is null or a new reference.
        unsafe {
            let view = Ref::owned(ffi::PyMemoryView_FromObject(buffer))?;
            Ok(Ref::owned(ffi::PyObject_GetItem(view.as_ptr(), key))?.into_ptr())
        }
    })
}

unsafe extern "C" fn set_item(buffer: *mut PyObject, key: *mut PyObject, value: *mut PyObject) -> c_int {
    guard(|| {
        if value.is_null() {
            // SAFETY: `TypeError` is always alive.
            return Err(py::raise_builtin(unsafe { ffi::PyExc_TypeError }, c"the size of a buffer cannot change"));
        }
        // SAFETY: all are alive; what is returned is null or a new reference.
        unsafe {
            let view = Ref::owned(ffi::PyMemoryView_FromObject(buffer))?;
            if ffi::PyObject_SetItem(view.as_ptr(), key, value) == 0 { Ok(0) } else { Err(Raised) }
        }
    })
}

unsafe extern "C" fn release_buffer(buffer: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: a method of buffers.
    guard(|| unsafe { Buffer::from_ptr(buffer) }.release().map(|()| Ref::none().into_ptr()))
}

unsafe extern "C" fn is_released(buffer: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: a method of buffers.
    py::boolean(unsafe { Buffer::from_ptr(buffer) }.is_released.get()).into_ptr()
}

unsafe extern "C" fn exports(buffer: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    guard(|| {
        // SAFETY: a method of buffers.
        let buffer = unsafe { Buffer::from_ptr(buffer) };
        buffer.memory()?;
        Ok(py::integer(buffer.exports() as usize)?.into_ptr())
    })
}

unsafe extern "C" fn enter(buffer: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: a method of buffers; the caller refers to this one.
    guard(|| unsafe { Buffer::from_ptr(buffer).memory().map(|_| ffi::Py_NewRef(buffer)) })
}

/// Leaves quietly if the buffer has been released.
unsafe extern "C" fn exit(
    buffer: *mut PyObject,
    _arguments: *mut *mut PyObject,
    _count: ffi::Py_ssize_t,
) -> *mut PyObject {
    // SAFETY: a method of buffers.
    let buffer = unsafe { Buffer::from_ptr(buffer) };
    guard(|| {
        if !buffer.is_released.get() {
            buffer.release()?;
        }
        Ok(Ref::none().into_ptr())
    })
}

unsafe extern "C" fn buffer_repr(buffer: *mut PyObject) -> *mut PyObject {
    // SAFETY: a slot of buffers; the formats are for these values.
    unsafe {
        let buffer = Buffer::from_ptr(buffer);
        if buffer.is_released.get() {
            return ffi::PyUnicode_FromFormat(c"PooledBuffer(released=True)".as_ptr());
        }
        let bytes = (*buffer.memory.get().cast::<Memory>()).block.len();
        let format = c"PooledBuffer(nbytes=%zu, exports=%zd, released=False)";
        ffi::PyUnicode_FromFormat(format.as_ptr(), bytes, buffer.exports())
    }
}

unsafe extern "C" fn dealloc_buffer(buffer: *mut PyObject) {
    // SAFETY: nobody refers to the buffer any more. It owned its reference to the memory, if there is one.
    unsafe {
        clear_weak_references(buffer, (*buffer.cast::<Buffer>()).weak_references);
        ffi::Py_XDECREF(Buffer::from_ptr(buffer).memory.replace(ptr::null_mut()));
        SPARE_BUFFERS.keep(buffer);
    }
}

// Tables.

/// Makes the classes, once.
pub fn init() -> PyResult<()> {
    statics::MEMORY.set(class(
        c"fastalloc._native.Memory",
        size_of::<Memory>(),
        ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION,
        vec![
            slot(ffi::Py_tp_dealloc, function!(dealloc_memory, ffi::destructor)),
            slot(ffi::Py_bf_getbuffer, function!(view_memory, ffi::getbufferproc)),
        ],
        Vec::new(),
        &[],
    )?);
    statics::BUFFER.set(class(
        c"fastalloc.PooledBuffer",
        size_of::<Buffer>(),
        ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION,
        vec![
            slot(ffi::Py_tp_dealloc, function!(dealloc_buffer, ffi::destructor)),
            slot(ffi::Py_tp_repr, function!(buffer_repr, ffi::reprfunc)),
            slot(ffi::Py_tp_doc, c"Bytes of a BufferPool, which writes and reads like a bytearray.".as_ptr().cast()),
            slot(ffi::Py_bf_getbuffer, function!(view, ffi::getbufferproc)),
            slot(ffi::Py_bf_releasebuffer, function!(end_view, ffi::releasebufferproc)),
            slot(ffi::Py_mp_length, function!(len, ffi::lenfunc)),
            slot(ffi::Py_mp_subscript, function!(get_item, ffi::binaryfunc)),
            slot(ffi::Py_mp_ass_subscript, function!(set_item, ffi::objobjargproc)),
        ],
        vec![
            no_arguments(
                c"release",
                release_buffer,
                c"release($self, /)\n--\n\nGive the memory back, when its last view has gone.",
            ),
            no_arguments(
                c"is_released",
                is_released,
                c"is_released($self, /)\n--\n\nReturn whether the buffer was released.",
            ),
            no_arguments(
                c"exports",
                exports,
                c"exports($self, /)\n--\n\nReturn how many views of the memory there are.",
            ),
            no_arguments(c"__enter__", enter, c"__enter__($self, /)\n--\n\nReturn the buffer."),
            fast(c"__exit__", exit, c"Release the buffer, if it has not been."),
            no_arguments(c"__reduce__", reduce, c"Buffers can be neither copied nor pickled."),
        ],
        &[(c"__weaklistoffset__", offset_of!(Buffer, weak_references))],
    )?);
    statics::BUFFER_POOL.set(pool_class()?);
    Ok(())
}

fn pool_class() -> PyResult<Ref> {
    const DOC: &core::ffi::CStr = c"BufferPool(max_bytes=None, *, max_idle_bytes=None, alignment=64, zero=False, enable_statistics=False)\n--\n\nA pool of memory, for whatever writes to a buffer.";
    class(
        c"fastalloc.BufferPool",
        size_of::<Pool>(),
        0,
        vec![
            slot(ffi::Py_tp_new, function!(new_pool, ffi::newfunc)),
            slot(ffi::Py_tp_dealloc, function!(dealloc_pool, ffi::destructor)),
            slot(ffi::Py_tp_repr, function!(pool_repr, ffi::reprfunc)),
            slot(ffi::Py_tp_doc, DOC.as_ptr().cast::<c_void>()),
        ],
        vec![
            plain(
                c"get",
                get,
                ffi::METH_O,
                c"get($self, nbytes, /)\n--\n\nTake a buffer of so many bytes out.",
            ),
            plain(c"release", release, ffi::METH_O, c"release($self, buffer, /)\n--\n\nGive a buffer back."),
            no_arguments(c"size", size, c"size($self, /)\n--\n\nReturn how many buffers are in use."),
            no_arguments(
                c"available",
                available,
                c"available($self, /)\n--\n\nReturn how many blocks of memory nobody uses.",
            ),
            no_arguments(
                c"bytes_in_use",
                bytes_in_use,
                c"bytes_in_use($self, /)\n--\n\nReturn how many bytes the blocks in use have.",
            ),
            no_arguments(
                c"bytes_idle",
                bytes_idle,
                c"bytes_idle($self, /)\n--\n\nReturn how many bytes the blocks have that nobody uses.",
            ),
            no_arguments(
                c"max_bytes",
                max_bytes,
                c"max_bytes($self, /)\n--\n\nReturn how many bytes all blocks may have; None means without end.",
            ),
            no_arguments(
                c"trim",
                trim,
                c"trim($self, /)\n--\n\nGive the memory that nobody uses back to the system, and return how many bytes.",
            ),
            no_arguments(
                c"close",
                close,
                c"close($self, /)\n--\n\nHand out nothing any more, and keep no memory.",
            ),
            no_arguments(c"is_closed", is_closed, c"is_closed($self, /)\n--\n\nReturn whether the pool is closed."),
            no_arguments(c"stats", stats, c"stats($self, /)\n--\n\nReturn the statistics as they are now."),
            no_arguments(c"__reduce__", reduce, c"Pools can be neither copied nor pickled."),
        ],
        &[(c"__weaklistoffset__", offset_of!(Pool, weak_references))],
    )
}

/// Under what names the module has what.
pub fn members() -> [(&'static core::ffi::CStr, &'static Global); 2] {
    [(c"BufferPool", &statics::BUFFER_POOL), (c"PooledBuffer", &statics::BUFFER)]
}
