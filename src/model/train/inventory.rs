//! What of a model is trained and what is not, for whoever looks before it starts.

use std::fmt;

use crate::model::gradient::{GradientForm, GradientGraph};

/// The numbers of a model that training knows of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// The output that is trained.
    pub output: String,
    /// What moves, in the file's order.
    pub trained: Vec<Listed>,
    /// What stays as it is.
    pub kept: Vec<Listed>,
}

/// One initializer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub dims: Vec<usize>,
    /// How it is trained, or why it is not; empty where there is nothing to say.
    pub note: String,
}

impl Inventory {
    pub(super) fn of(gradient: &GradientGraph, output: &str) -> Self {
        let trained = gradient.parameters.iter().map(|parameter| Listed {
            name: parameter.name.clone(),
            dims: parameter.dims.clone(),
            note: match parameter.gradient {
                GradientForm::Dense { .. } => String::new(),
                GradientForm::Rows { .. } => "the rows that a batch looks up".to_owned(),
            },
        });
        let kept = gradient.kept.iter().map(|kept| Listed {
            name: kept.name.clone(),
            dims: kept.dims.clone(),
            note: kept.why.clone(),
        });
        Self { output: output.to_owned(), trained: trained.collect(), kept: kept.collect() }
    }
}

impl Listed {
    /// How many numbers it has.
    #[must_use]
    pub fn numbers(&self) -> usize {
        self.dims.iter().product()
    }
}

/// Lines for people, without an end of line after the last.
impl fmt::Display for Inventory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = || self.trained.iter().chain(&self.kept);
        let wide = |text: fn(&Listed) -> String| all().map(|listed| text(listed).chars().count()).max().unwrap_or(0);
        let (name, dims) = (wide(|listed| listed.name.clone()), wide(|listed| format!("{:?}", listed.dims)));
        write!(formatter, "training of {:?} moves {}", self.output, count(&self.trained))?;
        for (heading, listed) in [(None, &self.trained), (Some("and keeps"), &self.kept)] {
            if let Some(heading) = heading.filter(|_| !listed.is_empty()) {
                write!(formatter, "\n{heading} {}", count(listed))?;
            }
            for Listed { name: named, dims: shape, note } in listed {
                let line = format!("\n  {named:<name$}  {:<dims$}  {note}", format!("{shape:?}"));
                formatter.write_str(line.trim_end())?;
            }
        }
        Ok(())
    }
}

fn count(listed: &[Listed]) -> String {
    let numbers: usize = listed.iter().map(Listed::numbers).sum();
    format!("{numbers} number(s) in {} tensor(s):", listed.len())
}
