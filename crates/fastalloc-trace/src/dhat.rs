//! Reading what DHAT has counted.

use std::io::Read;

use serde::{Deserialize, Serialize};

/// What DHAT says of a program: counts for each place that allocates.
///
/// From the JSON of `valgrind --tool=dhat` and of the crate `dhat`. It is a summary, not a trace: there are no single
/// events, so that nothing can be replayed, and nothing is known of quantiles and threads. How many objects of a place
/// were alive is known for the moment when it had the most bytes.
///
/// # Examples
///
/// ```
/// use fastalloc_trace::DhatSummary;
///
/// let json = r#"{"dhatFileVersion": 2, "mode": "rust-heap", "verb": "Allocated", "bklt": true, "bkacc": false,
///     "tu": "µs", "Mtu": "s", "cmd": "./program", "pid": 7, "te": 900, "tg": 300,
///     "pps": [{"tb": 640, "tbk": 10, "tl": 50, "mb": 128, "mbk": 2, "gb": 64, "gbk": 1, "eb": 0, "ebk": 0, "fs": [1]}],
///     "ftbl": ["[root]", "0x5000: program::work (main.rs:3:5)"]}"#;
/// let summary = DhatSummary::read(json.as_bytes())?;
/// let point = &summary.points[0];
/// assert_eq!((point.objects, point.alive_peak, point.mean_size()), (10, Some(2), 64.0));
/// assert_eq!(summary.frames(point).next(), Some("0x5000: program::work (main.rs:3:5)"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[non_exhaustive]
pub struct DhatSummary {
    /// The version of the format: 2.
    #[serde(rename = "dhatFileVersion", deserialize_with = "known_version")]
    pub version: u32,
    /// What was counted: `heap`, `rust-heap`, `copy` or `ad-hoc`. Only the first two are about allocations.
    pub mode: String,
    /// The command line.
    #[serde(rename = "cmd")]
    pub command: String,
    /// The number of the process.
    #[serde(rename = "pid")]
    pub process: u32,
    /// The unit of times, such as `instrs` or `µs`.
    #[serde(rename = "tu")]
    pub time_unit: String,
    /// When the program ended.
    #[serde(rename = "te")]
    pub end: u64,
    /// When most bytes were allocated.
    #[serde(rename = "tg", default)]
    pub peak: Option<u64>,
    /// Places that allocate.
    #[serde(rename = "pps")]
    pub points: Vec<DhatPoint>,
    /// What numbers of frames mean.
    #[serde(rename = "ftbl")]
    frames: Vec<String>,
}

/// What DHAT says of a place that allocates.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[non_exhaustive]
pub struct DhatPoint {
    /// Bytes that were allocated.
    #[serde(rename = "tb")]
    pub bytes: u64,
    /// Objects that were allocated.
    #[serde(rename = "tbk")]
    pub objects: u64,
    /// How long all objects lived together.
    #[serde(rename = "tl", default)]
    pub lifetimes: Option<u64>,
    /// The most bytes that were alive at once.
    #[serde(rename = "mb", default)]
    pub bytes_peak: Option<u64>,
    /// How many objects were alive when the most bytes were.
    #[serde(rename = "mbk", default)]
    pub alive_peak: Option<u64>,
    /// How many objects were alive when the program ended.
    #[serde(rename = "ebk", default)]
    pub alive_at_end: Option<u64>,
    /// The stack, innermost frame first, as indices.
    #[serde(rename = "fs")]
    frames: Vec<usize>,
}

impl DhatSummary {
    /// Reads the JSON. Takes memory in proportion to its length: limit the source if it is not trusted.
    ///
    /// # Errors
    ///
    /// If the source cannot be read, is not JSON, lacks something, or is of another version; with line and column.
    pub fn read(source: impl Read) -> serde_json::Result<Self> {
        let summary: Self = serde_json::from_reader(std::io::BufReader::new(source))?;
        let count = summary.frames.len();
        if summary.points.iter().flat_map(|point| &point.frames).any(|frame| *frame >= count) {
            return Err(serde::de::Error::custom("a frame is used that is not in the table (`ftbl`)"));
        }
        Ok(summary)
    }

    /// The frames of a point of this summary, innermost first, as DHAT writes them: `0x5000: function (file:line)`.
    pub fn frames(&self, point: &DhatPoint) -> impl Iterator<Item = &str> {
        point.frames.iter().filter_map(|frame| self.frames.get(*frame)).map(String::as_str)
    }
}

impl DhatPoint {
    /// The size of objects on average, in bytes; 0 if there were none.
    #[must_use]
    pub fn mean_size(&self) -> f64 {
        if self.objects == 0 { 0.0 } else { self.bytes as f64 / self.objects as f64 }
    }

    /// How long objects lived on average, in the unit of the summary.
    #[must_use]
    pub fn mean_lifetime(&self) -> Option<f64> {
        let lifetimes = self.lifetimes.filter(|_| self.objects > 0)?;
        Some(lifetimes as f64 / self.objects as f64)
    }
}

fn known_version<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        2 => Ok(2),
        version => Err(serde::de::Error::custom(format_args!("version {version} of DHAT's format, not 2"))),
    }
}
