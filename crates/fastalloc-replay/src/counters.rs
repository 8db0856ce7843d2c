//! What the processor counts, if it is permitted to look.

/// Counts cache misses of this process, its later threads included.
#[cfg(target_os = "linux")]
pub(crate) struct Counters {
    cache_misses: perf_event::Counter,
}

#[cfg(target_os = "linux")]
impl Counters {
    /// Starts to count.
    pub(crate) fn start() -> Result<Self, String> {
        use perf_event::events::Hardware;

        let failed = |error: std::io::Error| format!("perf events cannot be had: {error}");
        let mut builder = perf_event::Builder::new(Hardware::CACHE_MISSES);
        let mut cache_misses = builder.inherit(true).build().map_err(failed)?;
        cache_misses.enable().map_err(failed)?;
        Ok(Self { cache_misses })
    }

    /// How many there were.
    pub(crate) fn finish(mut self) -> Result<u64, String> {
        self.cache_misses.read().map_err(|error| format!("perf events cannot be read: {error}"))
    }
}

/// There is nothing to count with.
#[cfg(not(target_os = "linux"))]
pub(crate) struct Counters;

#[cfg(not(target_os = "linux"))]
impl Counters {
    pub(crate) fn start() -> Result<Self, String> {
        Err(String::from("perf events are a part of Linux"))
    }

    pub(crate) fn finish(self) -> Result<u64, String> {
        Ok(0)
    }
}
