//! Programs that bring an allocator of their own: what they define comes before this library, so that nobody would call
//! it. Their libraries find functions by tables of addresses, the global offset tables, which are changed instead.
//!
//! Libraries that are loaded later are not changed, nor are calls within the program itself if they need no table.

use core::ffi::{c_char, c_int, c_void};
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::{real, sys};

/// `struct dl_phdr_info`, as far as it is needed.
#[repr(C)]
struct Object {
    address: usize,
    name: *const c_char,
    headers: *const ProgramHeader,
    header_count: u16,
}

/// `Elf64_Phdr`.
#[repr(C)]
struct ProgramHeader {
    kind: u32,
    flags: u32,
    offset: usize,
    address: usize,
    physical_address: usize,
    file_length: usize,
    length: usize,
    alignment: usize,
}

/// `Elf64_Rela`.
#[repr(C)]
struct Relocation {
    offset: usize,
    info: u64,
    addend: i64,
}

/// `Elf64_Sym`.
#[repr(C)]
struct Symbol {
    name: u32,
    info: u8,
    other: u8,
    section: u16,
    value: usize,
    size: usize,
}

unsafe extern "C" {
    fn dl_iterate_phdr(
        callback: unsafe extern "C" fn(*const Object, usize, *mut c_void) -> c_int,
        argument: *mut c_void,
    ) -> c_int;
}

/// The hooks that nobody would call, by the names of the functions.
#[derive(Default)]
struct Hidden {
    hooks: [(&'static [u8], usize); 16],
    count: usize,
}

/// Makes everybody call the hooks that nobody would call. The program has one thread.
pub(crate) fn redirect() {
    let mut hidden = Hidden::default();
    real::for_each_hidden(|name, hook| {
        if is_allocating(name) && hidden.count < hidden.hooks.len() {
            hidden.hooks[hidden.count] = (name, hook);
            hidden.count += 1;
        }
    });
    if hidden.count > 0 {
        // SAFETY: the callback takes what it is given, and does not unwind.
        unsafe { dl_iterate_phdr(redirect_object, (&raw mut hidden).cast()) };
    }
}

/// Other functions are left alone.
fn is_allocating(name: &[u8]) -> bool {
    !name.starts_with(b"exec") && ![&b"fexecve"[..], b"dlclose", b"quick_exit", b"abort"].contains(&name)
}

unsafe extern "C" fn redirect_object(object: *const Object, _: usize, hidden: *mut c_void) -> c_int {
    // SAFETY: `redirect` gives its own, and waits.
    let hidden = unsafe { &*hidden.cast::<Hidden>() };
    // SAFETY: the loader gives a valid one.
    let object = unsafe { &*object };
    let own = ptr::from_ref(&redirect_object_marker).addr();
    // SAFETY: the loader says that there are so many.
    let headers = unsafe { core::slice::from_raw_parts(object.headers, object.header_count.into()) };
    const LOAD: u32 = 1;
    let in_memory =
        |header: &ProgramHeader| object.address + header.address..object.address + header.address + header.length;
    let is_own = headers.iter().any(|header| header.kind == LOAD && in_memory(header).contains(&own));
    if !is_own {
        redirect_tables(object, headers, hidden);
    }
    0
}

#[expect(non_upper_case_globals, reason = "only its address counts")]
static redirect_object_marker: u8 = 0;

fn redirect_tables(object: &Object, headers: &[ProgramHeader], hidden: &Hidden) {
    const DYNAMIC: u32 = 2;
    const READ_ONLY: u32 = 0x6474_E552;
    let Some(dynamic) = headers.iter().find(|header| header.kind == DYNAMIC) else { return };
    let tables = Tables::read(object.address, object.address + dynamic.address);
    let read_only = headers.iter().find(|header| header.kind == READ_ONLY);
    let protect = |is_writable| {
        if let Some(range) = read_only {
            // SAFETY: it is what the loader has made read-only, and is to be so again.
            unsafe { sys::protect(object.address + range.address, range.length, is_writable) };
        }
    };
    let mut is_writable = false;
    for relocation in tables.relocations() {
        let Some(hook) = tables.name(relocation).and_then(|name| hidden.hook(name)) else { continue };
        if !is_writable {
            protect(true);
            is_writable = true;
        }
        let slot: *const AtomicUsize = ptr::with_exposed_provenance(object.address + relocation.offset);
        // SAFETY: the loader has written the function's address there, as the relocation says.
        unsafe { &*slot }.store(hook, Ordering::Relaxed);
    }
    if is_writable {
        protect(false);
    }
}

impl Hidden {
    fn hook(&self, name: &[u8]) -> Option<usize> {
        let found = self.hooks[..self.count].iter().find(|(hidden, _)| *hidden == name);
        found.map(|(_, hook)| *hook)
    }
}

/// What a dynamic section says about relocations.
#[derive(Default)]
struct Tables {
    symbols: usize,
    strings: usize,
    /// Where they start, and how many bytes they have: those of functions, and the others.
    relocations: [(usize, usize); 2],
}

impl Tables {
    fn read(load_address: usize, dynamic: usize) -> Self {
        const END: usize = 0;
        const FUNCTION_RELOCATIONS_LENGTH: usize = 2;
        const STRINGS: usize = 5;
        const SYMBOLS: usize = 6;
        const RELOCATIONS: usize = 7;
        const RELOCATIONS_LENGTH: usize = 8;
        const FUNCTION_RELOCATIONS: usize = 23;
        let mut tables = Self::default();
        let mut entry: *const [usize; 2] = ptr::with_exposed_provenance(dynamic);
        loop {
            // SAFETY: a dynamic section has entries up to one that says that it ends.
            let [kind, value] = unsafe { *entry };
            // Some loaders have added the load address, others have not.
            let address = if value < load_address { value + load_address } else { value };
            match kind {
                END => return tables,
                STRINGS => tables.strings = address,
                SYMBOLS => tables.symbols = address,
                RELOCATIONS => tables.relocations[0].0 = address,
                RELOCATIONS_LENGTH => tables.relocations[0].1 = value,
                FUNCTION_RELOCATIONS => tables.relocations[1].0 = address,
                FUNCTION_RELOCATIONS_LENGTH => tables.relocations[1].1 = value,
                _ => {}
            }
            // SAFETY: it was not the last one.
            entry = unsafe { entry.add(1) };
        }
    }

    fn relocations(&self) -> impl Iterator<Item = &'static Relocation> {
        self.relocations.into_iter().filter(|(start, _)| *start != 0).flat_map(|(start, length)| {
            let first = ptr::with_exposed_provenance(start);
            // SAFETY: the dynamic section says so, and the object stays: nothing is unloaded while the program starts.
            unsafe { core::slice::from_raw_parts::<Relocation>(first, length / size_of::<Relocation>()) }
        })
    }

    /// The function that a relocation is of, if it stores an address.
    fn name(&self, relocation: &Relocation) -> Option<&'static [u8]> {
        #[cfg(target_arch = "x86_64")]
        const ADDRESSES: [u32; 3] = [1, 6, 7];
        #[cfg(target_arch = "aarch64")]
        const ADDRESSES: [u32; 3] = [257, 1025, 1026];
        let (symbol, kind) = ((relocation.info >> 32) as usize, relocation.info as u32);
        if symbol == 0 || !ADDRESSES.contains(&kind) || relocation.addend != 0 {
            return None;
        }
        let symbols: *const Symbol = ptr::with_exposed_provenance(self.symbols);
        // SAFETY: the relocation says that there is such a symbol.
        let symbol = unsafe { symbols.add(symbol) };
        // SAFETY: as above.
        let name = unsafe { (*symbol).name } as usize;
        // SAFETY: a symbol's name is a text.
        unsafe { sys::text(ptr::with_exposed_provenance(self.strings + name)) }
    }
}
