//! Advice as Rust code.

use std::fmt;

use crate::advice::{Advice, Pool, Verdict};

/// A function that makes the advised pool of the crate `fastalloc`, ready to be pasted; `None` if the advice is not to
/// use one.
///
/// It is generic in the type of the objects, which a trace does not know. The text depends on nothing but the advice.
///
/// # Examples
///
/// Three of them:
///
/// ```
#[doc = include_str!("../tests/it/rendered.rs")]
/// ```
#[must_use]
pub fn render(advice: &Advice) -> Option<String> {
    let Verdict::Pool(pool) = &advice.verdict else { return None };
    Some(Function { advice, pool }.to_string())
}

struct Function<'a> {
    advice: &'a Advice,
    pool: &'a Pool,
}

/// `my_app::serve::{{closure}}`, 64 becomes `closure_64_pool`.
fn function_name(site: &str, size: u64) -> String {
    let words: Vec<&str> = site.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let last = words.iter().rev().find(|word| !word.is_empty()).copied().unwrap_or("site");
    let start = if last.starts_with(|c: char| c.is_ascii_digit()) { "site_" } else { "" };
    format!("{start}{}_{size}_pool", last.to_ascii_lowercase())
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || c == '`' { ' ' } else { c }).collect()
}

impl fmt::Display for Function<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { advice, pool } = self;
        let Pool { kind, capacity, max_capacity, growth, alignment, .. } = pool;
        let size = advice.size.unwrap_or(0);
        writeln!(f, "/// For objects of {size} bytes that are allocated at `{}`.", one_line(&advice.site))?;
        writeln!(f, "///")?;
        writeln!(f, "/// In the trace: {} objects, at most {} alive at once;", advice.objects, pool.capacity_peak)?;
        writeln!(f, "/// for 99 % of allocations {} slots, for 99.9 % {}.", pool.capacity_p99, pool.capacity_p999)?;
        writeln!(f, "/// Reserves {} bytes, and {} at most.", pool.bytes_reserved, pool.bytes_max)?;
        for remark in &pool.remarks {
            writeln!(f, "/// Note: {remark}.")?;
        }
        let name = function_name(&advice.site, size);
        writeln!(f, "pub fn {name}<T: fastalloc::Poolable>() -> fastalloc::Result<fastalloc::{kind}<T>> {{")?;
        writeln!(f, "    let config = fastalloc::PoolConfig::builder()")?;
        if !advice.site.is_empty() {
            writeln!(f, "        .name({:?})", advice.site)?;
        }
        writeln!(f, "        .capacity({capacity})")?;
        if let Some(max_capacity) = max_capacity {
            writeln!(f, "        .max_capacity(Some({max_capacity}))")?;
        }
        if let Some(amount) = growth {
            writeln!(f, "        .growth_strategy(fastalloc::GrowthStrategy::Linear {{ amount: {amount} }})")?;
        }
        // Up to what heaps give anyway it is that of the type, which the pool takes unless it is told otherwise.
        if *alignment > 16 {
            writeln!(f, "        .alignment({alignment}.max(align_of::<T>()))")?;
        }
        writeln!(f, "        .build()?;")?;
        writeln!(f, "    fastalloc::{kind}::with_config(config)")?;
        writeln!(f, "}}")
    }
}
