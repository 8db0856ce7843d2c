//! What the library promises, tested from outside.

mod drops;
mod heap;
mod memory;
mod model;
mod regressions;
mod support;
