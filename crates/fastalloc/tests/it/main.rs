//! What the library promises, tested from outside.

mod conformance;
mod drops;
mod growth;
mod heap;
mod memory;
mod model;
mod regressions;
mod support;
