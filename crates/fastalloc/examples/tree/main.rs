//! A syntax tree in a pool: reads a Rust source file into nested groups of tokens and prints its outline.
//!
//! ```text
//! cargo run --release --example tree -- crates/fastalloc/src/pool.rs
//! cargo run --release --example tree -- FILE [LEVELS]
//! ```
//!
//! Without arguments it reads its own source. The outline has a line for each `{}` block that spans several
//! lines: where it is, and the code in front of it. Blocks in blocks are shown down to LEVELS, 2 if not given.
//!
//! Each token and each group in brackets is a node. Its links are handles, one pointer wide: an [`RcHandle`] to
//! its first child and one to its next sibling. The same code then builds the tree with `Box` as the link, and
//! the table at the end compares the two, in nanoseconds per node: `first` is the first tree that the program
//! builds, when the memory for it is new; `best` the fastest of many that are built and dropped in turns, as in
//! a program that reads one file after another.

mod lexer;

use std::env;
use std::error::Error;
use std::fmt;
use std::fs;
use std::iter;
use std::ops::DerefMut;
use std::process::ExitCode;
use std::rc::Rc;
use std::slice;
use std::time::{Duration, Instant};

use fastalloc::{GrowingPool, Poolable, RcHandle};

use self::lexer::{Bracket, Leaf, Part, SyntaxError, Token};

/// Trees that are built and dropped for the comparison, but for no longer than that.
const ROUNDS: usize = 100;
const TIME_LIMIT: Duration = Duration::from_secs(2);

/// Groups in groups that the parser accepts: it calls itself for each level.
const LEVELS_MAX: usize = 500;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let path = arguments.next().unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/examples/tree/main.rs").into());
    let levels = match arguments.next() {
        Some(text) => text.parse().map_err(|_| format!("LEVELS is a number, not `{text}`"))?,
        None => 2,
    };
    let text = fs::read_to_string(&path).map_err(|error| format!("cannot read {path}: {error}"))?;
    let source = Source::new(&text);
    let pooled = Pooled(Rc::new(GrowingPool::new(1_000)?));
    show(&path, &source, levels, &pooled).map_err(|error| {
        let (line, column) = source.position(error.offset);
        format!("{path}:{line}:{column}: {}", error.message).into()
    })
}

fn show(path: &str, source: &Source<'_>, levels: usize, pooled: &Pooled) -> Result<(), SyntaxError> {
    let tokens = lexer::lex(source.text)?;

    // Before anything else has used the memory.
    let first = [Timing::of(pooled, &tokens)?, Timing::of(&Heap, &tokens)?];
    let mut best = first;
    let start = Instant::now();
    for _ in (0..ROUNDS).take_while(|_| start.elapsed() < TIME_LIMIT) {
        best = [best[0].min(Timing::of(pooled, &tokens)?), best[1].min(Timing::of(&Heap, &tokens)?)];
    }

    let tree = parse(pooled, &tokens)?;
    println!("{path}");
    source.print_outline(&tree, 0, levels);

    let mut census = Census::default();
    census.count(&tree, 0);
    println!("\n{} lines, {} bytes", source.text.lines().count(), source.text.len());
    println!("{census}");
    let Pooled(pool) = pooled;
    println!("{} bytes a node, {} of {} slots occupied", size_of_val(&*tree), pool.allocated(), pool.capacity());
    drop(tree);
    println!("{} slots occupied when the tree is dropped", pool.allocated());

    println!("\n{:<10} {:>9} {:>9} {:>9} {:>9}", "ns a node", "build", "build", "drop", "drop");
    println!("{:<10} {:>9} {:>9} {:>9} {:>9}", "links", "first", "best", "first", "best");
    for (links, first, best) in [("RcHandle", first[0], best[0]), ("Box", first[1], best[1])] {
        let [a, b, c, d] =
            [first.build, best.build, first.drop, best.drop].map(|time| time.as_nanos() as f64 / census.nodes() as f64);
        println!("{links:<10} {a:>9.1} {b:>9.1} {c:>9.1} {d:>9.1}");
    }
    Ok(())
}

/// A token, or a group of them in brackets.
struct Node<N: Nodes> {
    kind: Kind,
    /// Offset of the first byte, an opening bracket included.
    start: u32,
    /// Offset behind the last byte, a closing bracket included.
    end: u32,
    first_child: Option<N::Link>,
    next_sibling: Option<N::Link>,
}

#[derive(Clone, Copy)]
enum Kind {
    Leaf(Leaf),
    Group(Bracket),
}

/// Where nodes are, and what links them.
trait Nodes: Sized + 'static {
    type Link: DerefMut<Target = Node<Self>>;

    fn add(&self, node: Node<Self>) -> fastalloc::Result<Self::Link>;
}

struct Pooled(Rc<GrowingPool<Node<Self>>>);

impl Nodes for Pooled {
    type Link = RcHandle<Node<Self>>;

    fn add(&self, node: Node<Self>) -> fastalloc::Result<Self::Link> {
        self.0.allocate_rc(node)
    }
}

impl<N: Nodes> Poolable for Node<N> {}

struct Heap;

impl Nodes for Heap {
    type Link = Box<Node<Self>>;

    fn add(&self, node: Node<Self>) -> fastalloc::Result<Self::Link> {
        Ok(Box::new(node))
    }
}

impl<N: Nodes> Node<N> {
    fn children(&self) -> impl Iterator<Item = &Self> {
        iter::successors(self.first_child.as_deref(), |child| child.next_sibling.as_deref())
    }
}

/// Without recursion: left to themselves, the links of a long list would need a stack as deep.
impl<N: Nodes> Drop for Node<N> {
    fn drop(&mut self) {
        let mut list = concat::<N>(self.first_child.take(), self.next_sibling.take());
        while let Some(mut node) = list {
            list = concat::<N>(node.first_child.take(), node.next_sibling.take());
        }
    }
}

/// Appends one list of siblings to another.
fn concat<N: Nodes>(mut first: Option<N::Link>, second: Option<N::Link>) -> Option<N::Link> {
    let mut end = &mut first;
    while let Some(node) = end {
        end = &mut node.next_sibling;
    }
    *end = second;
    first
}

/// Returns the node of the whole file, a group without brackets of its own.
fn parse<N: Nodes>(nodes: &N, tokens: &[Token]) -> Result<N::Link, SyntaxError> {
    let mut parser = Parser { nodes, tokens: tokens.iter() };
    let mut file = parser.add(Kind::Group(Bracket::Curly), 0, 0)?;
    file.end = parser.group(&mut file.first_child, None, 0)?;
    Ok(file)
}

struct Parser<'a, N> {
    nodes: &'a N,
    tokens: slice::Iter<'a, Token>,
}

impl<N: Nodes> Parser<'_, N> {
    /// Links the nodes of a group, up to its closing bracket, to `link`. Returns where the group ends.
    fn group(
        &mut self,
        mut link: &mut Option<N::Link>,
        opened: Option<(Bracket, u32)>,
        level: usize,
    ) -> Result<u32, SyntaxError> {
        let mut group_end = 0;
        while let Some(&Token { part, start, end }) = self.tokens.next() {
            let node = match part {
                Part::Leaf(leaf) => link.insert(self.add(Kind::Leaf(leaf), start, end)?),
                Part::Open(_) if level == LEVELS_MAX => {
                    return Err(SyntaxError::new(start, format!("more than {LEVELS_MAX} brackets are open here")));
                }
                Part::Open(bracket) => {
                    let node = link.insert(self.add(Kind::Group(bracket), start, end)?);
                    node.end = self.group(&mut node.first_child, Some((bracket, start)), level + 1)?;
                    node
                }
                Part::Close(bracket) => {
                    return match opened {
                        Some((open, _)) if open == bracket => Ok(end),
                        Some((open, _)) => {
                            let (found, needed) = (bracket.closing(), open.closing());
                            Err(SyntaxError::new(start, format!("`{found}` where `{needed}` has to come first")))
                        }
                        None => Err(SyntaxError::new(start, format!("`{}` closes nothing", bracket.closing()))),
                    };
                }
            };
            group_end = end;
            link = &mut node.next_sibling;
        }
        match opened {
            Some((bracket, start)) => Err(SyntaxError::new(start, format!("`{}` is never closed", bracket.opening()))),
            None => Ok(group_end),
        }
    }

    fn add(&self, kind: Kind, start: u32, end: u32) -> Result<N::Link, SyntaxError> {
        let node = Node { kind, start, end, first_child: None, next_sibling: None };
        self.nodes.add(node).map_err(|error| SyntaxError::new(start, error.to_string()))
    }
}

struct Source<'a> {
    text: &'a str,
    line_starts: Vec<usize>,
}

impl<'a> Source<'a> {
    fn new(text: &'a str) -> Self {
        let line_ends = text.match_indices('\n').map(|(offset, _)| offset + 1);
        Self { text, line_starts: iter::once(0).chain(line_ends.filter(|&end| end < text.len())).collect() }
    }

    /// Line, counted from 1.
    fn line(&self, offset: u32) -> usize {
        self.line_starts.partition_point(|&start| start <= offset as usize)
    }

    /// Line and column, both counted from 1.
    fn position(&self, offset: u32) -> (usize, usize) {
        let line = self.line(offset);
        (line, self.text[self.line_starts[line - 1]..offset as usize].chars().count() + 1)
    }

    fn code(&self, start: u32, end: u32) -> &'a str {
        &self.text[start as usize..end as usize]
    }

    fn is_item(&self, start: u32) -> bool {
        let word = self.text[start as usize..].split(|character: char| !character.is_alphanumeric()).next();
        matches!(
            word,
            Some("pub" | "fn" | "impl" | "struct" | "enum" | "union" | "trait" | "unsafe" | "async" | "const")
        )
    }

    fn print_outline<N: Nodes>(&self, parent: &Node<N>, level: usize, levels: usize) {
        if level == levels {
            return;
        }
        // Where the item or statement starts that the next node is a part of.
        let mut heading = None;
        let mut after_hash = false;
        for node in parent.children() {
            let text = self.code(node.start, node.end);
            match (node.kind, text) {
                (_, ";") => heading = None,
                // Between fields or match arms; but an item has commas in its generics and where clause.
                (_, ",") if !heading.is_some_and(|start| self.is_item(start)) => heading = None,
                // An attribute is no part of the heading.
                (Kind::Group(Bracket::Square), _) if after_hash => heading = None,
                (Kind::Group(Bracket::Curly), _) => {
                    let (first, last) = (self.line(node.start), self.line(node.end - 1));
                    if first < last {
                        let heading = shorten(self.code(heading.unwrap_or(node.start), node.start));
                        let (lines, indent) = (format!("{first}-{last}"), level * 4);
                        println!("{lines:>11}  {:indent$}{heading}", "");
                        self.print_outline(node, level + 1, levels);
                    }
                    heading = None;
                }
                _ => heading = heading.or(Some(node.start)),
            }
            after_hash = text == "#" || after_hash && text == "!";
        }
    }
}

/// The code on one line, cut if it is long.
fn shorten(code: &str) -> String {
    let line = code.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(90) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

#[derive(Default)]
struct Census {
    words: usize,
    lifetimes: usize,
    literals: usize,
    punctuation: usize,
    groups: usize,
    levels: usize,
}

impl Census {
    fn count<N: Nodes>(&mut self, node: &Node<N>, level: usize) {
        self.levels = self.levels.max(level);
        *match node.kind {
            Kind::Leaf(Leaf::Word) => &mut self.words,
            Kind::Leaf(Leaf::Lifetime) => &mut self.lifetimes,
            Kind::Leaf(Leaf::Literal) => &mut self.literals,
            Kind::Leaf(Leaf::Punctuation) => &mut self.punctuation,
            Kind::Group(_) => &mut self.groups,
        } += 1;
        node.children().for_each(|child| self.count(child, level + 1));
    }

    fn nodes(&self) -> usize {
        self.words + self.lifetimes + self.literals + self.punctuation + self.groups
    }
}

impl fmt::Display for Census {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { words, lifetimes, literals, punctuation, groups, levels } = self;
        write!(
            f,
            "{} nodes on {levels} levels below the file: {words} words, {lifetimes} lifetimes, {literals} literals, \
             {punctuation} punctuation marks, {groups} groups",
            self.nodes()
        )
    }
}

#[derive(Clone, Copy)]
struct Timing {
    build: Duration,
    drop: Duration,
}

impl Timing {
    fn of<N: Nodes>(nodes: &N, tokens: &[Token]) -> Result<Self, SyntaxError> {
        let start = Instant::now();
        let tree = parse(nodes, tokens)?;
        let build = start.elapsed();
        let start = Instant::now();
        drop(tree);
        Ok(Self { build, drop: start.elapsed() })
    }

    fn min(self, other: Self) -> Self {
        Self { build: self.build.min(other.build), drop: self.drop.min(other.drop) }
    }
}
