//! Prints where the operators of a Rust source file are: for each, the bytes of its left operand, of itself, and of its
//! right operand. An operator without a left operand has an empty one in front of it.

use std::env;
use std::fs;
use std::ops::Range;

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{ExprBinary, ExprUnary};

struct Operators;

impl<'ast> Visit<'ast> for Operators {
    fn visit_expr_binary(&mut self, expression: &'ast ExprBinary) {
        print(bytes(expression.left.span()), bytes(expression.op.span()), bytes(expression.right.span()));
        visit::visit_expr_binary(self, expression);
    }

    fn visit_expr_unary(&mut self, expression: &'ast ExprUnary) {
        let operator = bytes(expression.op.span());
        print(operator.start..operator.start, operator, bytes(expression.expr.span()));
        visit::visit_expr_unary(self, expression);
    }
}

fn bytes(span: Span) -> Range<usize> {
    span.byte_range()
}

fn print(left: Range<usize>, operator: Range<usize>, right: Range<usize>) {
    println!("{} {} {} {} {} {}", left.start, left.end, operator.start, operator.end, right.start, right.end);
}

fn main() {
    let path = env::args().nth(1).expect("the path of a source file");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let file = syn::parse_file(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
    Operators.visit_file(&file);
}
