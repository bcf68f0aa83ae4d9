//! Rows that keep their contract, where expressions and models can fail on them: nothing ends the step, what fails is what plain
//! DataFusion or ONNX Runtime fails on by itself, and everything else is as without it.
//!
//! ```text
//!   input ─▶ choices ─┬▶ select: a table's expressions ─▶ passage ─┬▶ as an oracle says, row by row
//!                     └▶ scoring: on, vector, graph,      ─▶ run ──┼▶ as without the rows that fail
//!                                 positive, events                 └▶ examples ─▶ lessons: batches, and rows that can't be learnt
//! ```
//!
//! An input is choices: how the select is made, then its events, then how a pipeline that scores and learns is made, then its
//! events. What is left of it when it ends is zeros.

mod choices;
mod event;
mod graph;
mod lessons;
mod oracle;
mod pipeline;
mod run;
mod scoring;
mod select;

use choices::Choices;
use oracle::Oracle;

use crate::fuzz::engine::{Outcome, Target};

pub const TARGET: Target = Target {
    name: "rows",
    seconds: 60,
    dictionary: &["\0", "\u{1}", "\u{2}", "\u{3}", "\u{7}"],
    inputs: || {
        let every = |start: u8| (0..480_u16).map(|at| (at as u8).wrapping_mul(37).wrapping_add(start)).collect();
        (0..12).map(|start| every(start * 19)).collect()
    },
    reader: || {
        let oracle = Oracle::new();
        Box::new(move |input| {
            let mut choices = Choices::new(input);
            let of_table = select::told(&oracle, &mut choices);
            let of_model = scoring::told(&oracle, &mut choices);
            if of_model == Outcome::Accepted { of_table } else { of_model }
        })
    },
};
