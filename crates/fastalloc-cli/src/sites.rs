//! Which function of a stack is the call site: the first that is not there to allocate for others.

/// Libraries that allocate for others: allocators, and the runtimes of languages.
const LIBRARIES: &[&str] = &[
    "ld-linux",
    "ld-musl",
    "libc++",
    "libc-",
    "libc.musl",
    "libc.so",
    "libgcc_s",
    "libheaptrack",
    "libjemalloc",
    "libmimalloc",
    "libpthread",
    "libstdc++",
    "libtcmalloc",
    "linux-vdso",
    "vgpreload",
];

/// Functions that allocate, of C; and the names that programs give to those that do not fail.
const FUNCTIONS: &[&str] = &[
    "aligned_alloc",
    "asprintf",
    "calloc",
    "free",
    "getline",
    "malloc",
    "memalign",
    "posix_memalign",
    "pvalloc",
    "realloc",
    "reallocarray",
    "strdup",
    "strndup",
    "valloc",
    "vasprintf",
    "xcalloc",
    "xmalloc",
    "xrealloc",
    "xstrdup",
];

/// Starts of names of functions that allocate: of libc, Rust, allocators, C++, GLib, Perl and Python.
const PREFIXES: &[&str] = &[
    "__libc_",
    "__rdl_",
    "__rg_",
    "__rust_",
    "_rjem_",
    "je_",
    "mi_",
    "operator new",
    "g_malloc",
    "g_realloc",
    "g_slice_",
    "g_strdup",
    "g_try_",
    "Perl_safesys",
    "PyMem_",
    "PyObject_Calloc",
    "PyObject_Malloc",
    "PyObject_Realloc",
    "_PyMem_",
    "_PyObject_Calloc",
    "_PyObject_Malloc",
    "_PyObject_Realloc",
];

/// Crates and namespaces that allocate for others. The standard library of Rust has its tables from `hashbrown`.
const NAMESPACES: &[&str] = &[
    "__cxxabiv1",
    "__gnu_cxx",
    "__rustc",
    "alloc",
    "core",
    "hashbrown",
    "jemallocator",
    "mimalloc",
    "snmalloc_rs",
    "std",
    "tikv_jemallocator",
];

/// Traits by which Rust allocates, whoever implements them.
const TRAITS: &[&str] = &["Allocator", "GlobalAlloc"];

/// Whether a library, by its path, allocates for others.
pub(crate) fn is_runtime_library(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    LIBRARIES.iter().any(|library| name.starts_with(library))
}

/// Whether a function allocates for others, by its name without a mangling.
pub(crate) fn is_runtime_function(name: &str) -> bool {
    let Some(qualified) = name.strip_prefix('<') else {
        return FUNCTIONS.contains(&name)
            || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            || is_runtime_path(name);
    };
    // `<type>::function` or `<type as trait>::function`
    let (self_type, of_trait) = split_qualified(qualified);
    if let Some(of_trait) = of_trait {
        if TRAITS.contains(&last_segment(of_trait)) {
            return true;
        }
        if !is_runtime_path(of_trait) {
            return false;
        }
    }
    let self_type = bare(self_type);
    // The others are parameters and primitive types: such an implementation is where the trait is, or in `core`.
    !before_arguments(self_type).contains("::") || is_runtime_path(self_type)
}

fn is_runtime_path(path: &str) -> bool {
    match path.split_once("::") {
        Some((first, _)) => NAMESPACES.contains(&before_arguments(first)),
        None => false,
    }
}

/// The type, and the trait if there is one.
fn split_qualified(text: &str) -> (&str, Option<&str>) {
    let mut depth = 0;
    let mut as_at = None;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'<' | b'(' | b'[' => depth += 1,
            // The end of an arrow is none of a list.
            b'>' if at > 0 && text.as_bytes()[at - 1] == b'-' => {}
            b'>' if depth == 0 => {
                return match as_at {
                    Some(as_at) => (&text[..as_at], Some(&text[as_at + 4..at])),
                    None => (&text[..at], None),
                };
            }
            b'>' | b')' | b']' => depth -= 1,
            b' ' if depth == 0 && as_at.is_none() && text[at..].starts_with(" as ") => as_at = Some(at),
            _ => {}
        }
    }
    (text, None)
}

/// A type without what refers to it.
fn bare(mut text: &str) -> &str {
    loop {
        let rest =
            ["&", "*const ", "*mut ", "mut ", "dyn ", "[", "("].iter().find_map(|prefix| text.strip_prefix(prefix));
        match rest {
            Some(rest) => text = rest,
            None => return text,
        }
    }
}

fn before_arguments(path: &str) -> &str {
    path.split(['<', '(', ' ']).next().unwrap_or(path)
}

fn last_segment(path: &str) -> &str {
    before_arguments(path).rsplit("::").next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::{is_runtime_function, is_runtime_library};

    #[test]
    fn who_allocates_for_others_is_no_call_site() {
        for name in [
            "malloc",
            "operator new(unsigned long)",
            "__rust_alloc",
            "__rustc::__rust_alloc",
            "alloc::raw_vec::RawVec<T,A>::grow_one",
            "<alloc::vec::Vec<my::Type> as core::clone::Clone>::clone",
            "<alloc::vec::Vec<T> as alloc::vec::spec_from_iter::SpecFromIter<T, I>>::from_iter",
            "<T as core::convert::Into<U>>::into",
            "<[u8] as alloc::borrow::ToOwned>::to_owned",
            "<&str as core::convert::Into<my::Name>>::into",
            "<my::Counting as core::alloc::global::GlobalAlloc>::alloc",
            "std::vector<int, std::allocator<int> >::_M_realloc_insert",
            "hashbrown::raw::RawTable<T,A>::reserve_rehash",
        ] {
            assert!(is_runtime_function(name), "{name}");
        }
    }

    #[test]
    fn who_uses_what_allocates_is_a_call_site() {
        for name in [
            "main",
            "my::parse",
            "standard::work",
            "mallocate",
            "<my::Node as core::clone::Clone>::clone",
            "<my::Node>::new",
            "<alloc::vec::Vec<u8> as my::Encode>::encode",
            "<u64 as my::Encode>::encode",
            "<&my::Node as core::fmt::Debug>::fmt",
            "<dyn my::Shape>::boxed",
            "<fn(u8) -> u8 as my::Call>::call",
            "my::<impl core::convert::From<u8> for my::Node>::from",
        ] {
            assert!(!is_runtime_function(name), "{name}");
        }
    }

    #[test]
    fn libraries_are_told_by_their_names() {
        assert!(is_runtime_library("/usr/lib/x86_64-linux-gnu/libc.so.6"));
        assert!(is_runtime_library("/opt/libstdc++.so.6"));
        assert!(!is_runtime_library("/usr/lib/libc++-work/libcurl.so.4"));
        assert!(!is_runtime_library("/usr/bin/libc"));
    }
}
