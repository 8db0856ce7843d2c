//! Calculus on several threads: each has a pool of its own, which no function has to be given.
//!
//! ```text
//! cargo run --release --example thread_local
//! ```
//!
//! A formula is read into a tree, whose nodes are in the thread's pool, and differentiated, which makes another tree.
//! From both, Newton's method finds a point where the formula is 0. A function that makes a node takes no pool, as
//! if it called `Box::new`, and neither a lock nor an atomic operation is behind it. The pool is also a limit: a
//! formula whose derivative is too large ends with an error, and the nodes that were made for it are given back.

use std::error::Error;
use std::fmt;
use std::iter::Peekable;
use std::rc::Rc;
use std::str::Chars;
use std::thread;

use fastalloc::{Poolable, RcHandle, ThreadLocalPool};

const NODES_MAX: usize = 64;
const STEPS_MAX: u32 = 50;

/// What each thread works on: a formula, and a point to start from.
const WORK: [&[(&str, f64)]; 3] = [
    &[("x^2 - 2", 1.0), ("x^3 - 2*x - 5", 2.0), ("(x - 1)*(x - 2)*(x - 4)", 5.0)],
    &[("sin x", 3.0), ("cos x - x", 1.0), ("sin(x^2) + cos x - 1", 1.5), ("x*sin x - 1", 1.0)],
    &[("(x+1)*(x+2)*(x+3)*(x+4)*(x+5)*(x+6)*(x+7)", 0.0), ("x^5 - x - 1", 1.0), ("2*(x +", 1.0)],
];

fn main() {
    println!("each thread has a pool of {NODES_MAX} nodes of {} bytes", size_of::<Node>());
    let threads =
        WORK.map(|formulas| thread::spawn(|| formulas.iter().map(|(text, start)| study(text, *start)).collect()));
    for (number, thread) in threads.into_iter().enumerate() {
        let reports: Vec<String> = thread.join().expect("the thread does not panic");
        println!("\nthread {number}\n\n{}", reports.join("\n\n"));
    }
}

fn study(text: &str, start: f64) -> String {
    let result = solve(text, start).unwrap_or_else(|error| format!("  {text}\n  error: {error}"));
    // `solve` has dropped its trees, complete or not.
    format!("{result}\n  {} slots occupied at the end", NODES.with(|pool| pool.allocated()))
}

fn solve(text: &str, start: f64) -> Result<String, Box<dyn Error>> {
    let formula = Parser(text.chars().peekable()).formula()?;
    let derivative = formula.derivative()?;
    let occupied = NODES.with(|pool| pool.allocated());
    let mut x = start;
    let zero = (1..=STEPS_MAX).find_map(|step| {
        let before = x;
        x -= formula.at(x) / derivative.at(x);
        ((x - before).abs() < 1e-9).then(|| format!("0 at x = {x:.9}, found in {step} steps"))
    });
    let zero = zero.unwrap_or_else(|| format!("no zero found in {STEPS_MAX} steps from {start}"));
    Ok(format!("  f  = {formula}\n  f' = {derivative}\n  {zero}, with {occupied} slots occupied"))
}

thread_local! {
    static NODES: Rc<ThreadLocalPool<Node>> = Rc::new(ThreadLocalPool::new(NODES_MAX).expect("memory for the nodes"));
}

enum Node {
    Number(f64),
    X,
    Sum(Link, Link),
    Product(Link, Link),
    Power(Link, i32),
    Sin(Link),
    Cos(Link),
}

type Link = RcHandle<Node>;

impl Poolable for Node {}

/// Puts a node into the pool of the current thread.
fn node(node: Node) -> fastalloc::Result<Link> {
    NODES.with(|pool| pool.allocate_rc(node))
}

fn number(value: f64) -> fastalloc::Result<Link> {
    node(Node::Number(value))
}

fn sum(a: Link, b: Link) -> fastalloc::Result<Link> {
    match (&*a, &*b) {
        (Node::Number(a), Node::Number(b)) => number(a + b),
        (Node::Number(0.0), _) => Ok(b),
        (_, Node::Number(0.0)) => Ok(a),
        _ => node(Node::Sum(a, b)),
    }
}

fn product(a: Link, b: Link) -> fastalloc::Result<Link> {
    match (&*a, &*b) {
        (Node::Number(a), Node::Number(b)) => number(a * b),
        (Node::Number(0.0), _) | (_, Node::Number(1.0)) => Ok(a),
        (Node::Number(1.0), _) | (_, Node::Number(0.0)) => Ok(b),
        (_, Node::Number(_)) => node(Node::Product(b, a)),
        _ => node(Node::Product(a, b)),
    }
}

fn power(base: Link, exponent: i32) -> fastalloc::Result<Link> {
    match (&*base, exponent) {
        (Node::Number(base), _) => number(base.powi(exponent)),
        (_, 0) => number(1.0),
        (_, 1) => Ok(base),
        _ => node(Node::Power(base, exponent)),
    }
}

impl Node {
    fn copy(&self) -> fastalloc::Result<Link> {
        node(match self {
            Self::Number(value) => Self::Number(*value),
            Self::X => Self::X,
            Self::Sum(a, b) => Self::Sum(a.copy()?, b.copy()?),
            Self::Product(a, b) => Self::Product(a.copy()?, b.copy()?),
            Self::Power(base, exponent) => Self::Power(base.copy()?, *exponent),
            Self::Sin(a) => Self::Sin(a.copy()?),
            Self::Cos(a) => Self::Cos(a.copy()?),
        })
    }

    fn derivative(&self) -> fastalloc::Result<Link> {
        match self {
            Self::Number(_) => number(0.0),
            Self::X => number(1.0),
            Self::Sum(a, b) => sum(a.derivative()?, b.derivative()?),
            Self::Product(a, b) => sum(product(a.derivative()?, b.copy()?)?, product(a.copy()?, b.derivative()?)?),
            Self::Power(base, exponent) => {
                let outer = product(number((*exponent).into())?, power(base.copy()?, exponent - 1)?)?;
                product(outer, base.derivative()?)
            }
            Self::Sin(a) => product(node(Self::Cos(a.copy()?))?, a.derivative()?),
            Self::Cos(a) => product(product(number(-1.0)?, node(Self::Sin(a.copy()?))?)?, a.derivative()?),
        }
    }

    fn at(&self, x: f64) -> f64 {
        match self {
            Self::Number(value) => *value,
            Self::X => x,
            Self::Sum(a, b) => a.at(x) + b.at(x),
            Self::Product(a, b) => a.at(x) * b.at(x),
            Self::Power(base, exponent) => base.at(x).powi(*exponent),
            Self::Sin(a) => a.at(x).sin(),
            Self::Cos(a) => a.at(x).cos(),
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(value) => write!(f, "{value}"),
            Self::X => f.write_str("x"),
            Self::Sum(a, b) => match b.to_string().strip_prefix('-') {
                Some(b) => write!(f, "{a} - {b}"),
                None => write!(f, "{a} + {b}"),
            },
            Self::Product(a, b) if matches!(**a, Self::Number(-1.0)) => write!(f, "-{}", Factor(b)),
            Self::Product(a, b) => write!(f, "{}*{}", Factor(a), Factor(b)),
            Self::Power(base, exponent) if matches!(**base, Self::Product(..) | Self::Power(..)) => {
                write!(f, "({base})^{exponent}")
            }
            Self::Power(base, exponent) => write!(f, "{}^{exponent}", Factor(base)),
            Self::Sin(a) => write!(f, "sin({a})"),
            Self::Cos(a) => write!(f, "cos({a})"),
        }
    }
}

/// In brackets if it is a sum.
struct Factor<'a>(&'a Node);

impl fmt::Display for Factor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Node::Sum(..) => write!(f, "({})", self.0),
            node => node.fmt(f),
        }
    }
}

struct Parser<'a>(Peekable<Chars<'a>>);

impl Parser<'_> {
    fn formula(mut self) -> Result<Link, Box<dyn Error>> {
        let formula = self.sum()?;
        match self.peek() {
            None => Ok(formula),
            Some(other) => Err(format!("`{other}` is not expected behind a formula").into()),
        }
    }

    fn sum(&mut self) -> Result<Link, Box<dyn Error>> {
        let mut a = self.product()?;
        loop {
            if self.eat('+') {
                a = sum(a, self.product()?)?;
            } else if self.eat('-') {
                a = sum(a, product(number(-1.0)?, self.product()?)?)?;
            } else {
                return Ok(a);
            }
        }
    }

    fn product(&mut self) -> Result<Link, Box<dyn Error>> {
        let mut a = self.power()?;
        while self.eat('*') {
            a = product(a, self.power()?)?;
        }
        Ok(a)
    }

    fn power(&mut self) -> Result<Link, Box<dyn Error>> {
        let base = self.operand()?;
        if !self.eat('^') {
            return Ok(base);
        }
        let exponent = self.take_while(|next| next.is_ascii_digit());
        Ok(power(base, exponent.parse().map_err(|_| "an exponent is a whole number")?)?)
    }

    fn operand(&mut self) -> Result<Link, Box<dyn Error>> {
        if self.eat('(') {
            let inner = self.sum()?;
            return if self.eat(')') { Ok(inner) } else { Err("a bracket is not closed".into()) };
        }
        let word = self.take_while(|next| next.is_alphanumeric() || next == '.');
        Ok(match word.as_str() {
            "x" => node(Node::X)?,
            "sin" => node(Node::Sin(self.operand()?))?,
            "cos" => node(Node::Cos(self.operand()?))?,
            "" => return Err("the formula ends where a number, `x`, or a function is expected".into()),
            word => number(word.parse().map_err(|_| format!("`{word}` is no number, no function and not `x`"))?)?,
        })
    }

    fn eat(&mut self, expected: char) -> bool {
        self.peek();
        self.0.next_if_eq(&expected).is_some()
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> String {
        self.peek();
        let mut word = String::new();
        while let Some(next) = self.0.next_if(|next| belongs(*next)) {
            word.push(next);
        }
        word
    }

    /// The next character that is not a space.
    fn peek(&mut self) -> Option<char> {
        while self.0.next_if_eq(&' ').is_some() {}
        self.0.peek().copied()
    }
}
