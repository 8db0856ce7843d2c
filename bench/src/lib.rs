//! What is compared: the candidates, and the work that each of them is given.
//!
//! Two programs use it: `compare` measures time, `paths` is run under callgrind by
//! `instructions.py`.

pub mod candidate;
pub mod object;
mod random;
pub mod record;
pub mod workload;
