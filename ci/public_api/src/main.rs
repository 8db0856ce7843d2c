//! Prints what a crate offers to others, a line for each item, from the JSON that rustdoc made of it.

use std::env;
use std::error::Error;
use std::process::ExitCode;

use public_api::Builder;

/// Traits that only the compiler knows, and that come and go with its versions.
const INTERNAL: [&str; 3] = ["marker::Freeze for", "marker::StructuralPartialEq for", "marker::UnsafeUnpin for"];

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let [json] = &env::args().skip(1).collect::<Vec<_>>()[..] else {
        eprintln!("usage: fastalloc-public-api RUSTDOC.json");
        return Ok(ExitCode::from(2));
    };
    // What all types have anyway: `impl<T> From<T> for T`. Traits like `Send` stay, because losing one breaks users.
    let api = Builder::from_rustdoc_json(json).omit_blanket_impls(true).build()?;
    let items = api.items().map(ToString::to_string);
    for item in items.filter(|item| !INTERNAL.iter().any(|name| item.contains(name))) {
        println!("{item}");
    }
    Ok(ExitCode::SUCCESS)
}
