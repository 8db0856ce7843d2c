//! What is compared: the candidates, and the work that each of them is given.
//!
//! Two programs use it: `compare` measures time, `warm_loop` is run under callgrind by
//! `instructions.sh`.

pub mod candidate;
pub mod object;
mod random;
pub mod record;
pub mod workload;
