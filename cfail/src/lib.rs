//! Programs that the compiler refuses: each beside one that differs in a line or two, which it accepts and which works.
//!
//! They are tests of this documentation, run by `ci/cfail.sh`, for each of the kinds of pools that are named.
//!
//! A handle of one pool cannot be given to another one, because no operation takes a pool and a handle: a handle finds
//! its pool by itself.

/// Makes a module for each case, with two tests for each kind of pool: `given` and `fails`, which the compiler refuses
/// with this error, and `given` and `passes`.
macro_rules! cases {
    ($(
        $(#[$about:meta])*
        $name:ident, $code:ident, $($Pool:ident)+;
        given: $given:literal,
        fails: $fails:literal,
        passes: $passes:literal;
    )*) => {
        $(
            $(#[$about])*
            $(
                #[doc = $crate::program!(concat!("compile_fail,", stringify!($code)), $Pool, $given, $fails)]
                #[doc = $crate::program!("", $Pool, $given, $passes)]
            )+
            mod $name {}
        )*
    };
}

macro_rules! program {
    ($tags:expr, $Pool:ident, $given:literal, $then:literal) => {
        concat!(
            "\n```",
            $tags,
            "\n",
            "use fastalloc::*;\n",
            "use std::{cell::Cell, future::Future, marker::PhantomPinned, mem, pin::Pin, rc::Rc, sync::Arc, thread};\n",
            "type Pool<T> = fastalloc::",
            stringify!($Pool),
            "<T>;\n",
            $given,
            "\n",
            $then,
            "\n",
            "Ok::<(), fastalloc::Error>(())\n",
            "```\n",
        )
    };
}

use program;

mod aliases;
mod conversions;
mod extension;
mod lifetimes;
mod threads;
mod variance;
