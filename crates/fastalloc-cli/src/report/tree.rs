//! The tree of call sites, as a flame graph upside down.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use inferno::flamegraph::{self, Direction, Options, Palette};

use crate::analysed::StackUse;

const FRAME: usize = 18;
/// What is above and below the frames.
const MARGIN: usize = 110;

/// A picture for a frame of a page.
pub(super) struct Tree {
    /// The picture itself, as an address.
    pub(super) source: String,
    /// In pixels.
    pub(super) height: usize,
}

/// Draws the tree; `None` if there is nothing to draw.
pub(super) fn of(stacks: &[StackUse]) -> Option<Tree> {
    let lines: Vec<String> = (stacks.iter())
        .filter(|stack| !stack.functions.is_empty())
        .map(|stack| {
            // What separates functions and numbers in the format of these lines.
            let functions: Vec<_> = stack.functions.iter().map(|function| function.replace(';', ",")).collect();
            format!("{} {}", functions.join(";"), stack.objects)
        })
        .collect();
    let depth = stacks.iter().map(|stack| stack.functions.len()).max()?;
    let mut options = Options::default();
    options.title = String::from(" ");
    options.count_name = String::from("objects");
    options.name_type = String::from("Function:");
    options.direction = Direction::Inverted;
    options.frame_height = FRAME;
    options.colors = Palette::Basic(flamegraph::color::BasicPalette::Mem);
    options.bgcolors = Some(flamegraph::color::BackgroundColor::Flat((255, 255, 255).into()));
    options.hash = true;
    let mut svg = Vec::new();
    flamegraph::from_lines(&mut options, lines.iter().map(String::as_str), &mut svg).ok()?;
    let svg = String::from_utf8(svg).ok()?.replacen("</style>", STYLE, 1);
    let source = format!("data:image/svg+xml;base64,{}", BASE64_STANDARD.encode(svg));
    Some(Tree { source, height: (depth * FRAME + MARGIN).min(700) })
}

const STYLE: &str = "
@media (prefers-color-scheme: dark) {
  rect[fill=\"url(#background)\"] { fill: #202020; }
  #details, #unzoom, #search, #matched { fill: #e4e4e4; }
  #frames rect { opacity: .8; }
}
</style>";
