//! Tells the compiler for which version of Python it compiles: `cfg(Py_3_14)` and its like.

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
}
