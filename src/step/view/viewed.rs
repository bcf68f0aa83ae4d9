//! What a view holds of each part of the state.

use std::io::{self, Write};

use crate::feature::TableView;
use crate::pipeline::{Pipeline, StreamIndex};
use crate::snapshot::SaveError;
use crate::step::saving::{StreamView, save_stream};
use crate::window::GroupView;

/// The parts of the state that a view is of, by their names.
pub(in crate::step) struct Viewed(pub(super) Vec<(String, Held)>);

/// A part as it was.
pub(super) enum Held {
    Stream(StreamIndex, Box<StreamView>),
    Table(TableView),
    Group(Box<GroupView>),
    /// Written while the view was taken: it has no view of its own.
    Written(Vec<u8>),
}

impl Viewed {
    /// The part of this name.
    pub(super) fn part(&mut self, name: &str) -> Option<&mut Held> {
        self.0.iter_mut().find(|(part, _)| part == name).map(|(_, held)| held)
    }

    /// The part of this name, which the view is rid of.
    pub(super) fn take(&mut self, name: &str) -> Option<Held> {
        let place = self.0.iter().position(|(part, _)| part == name)?;
        Some(self.0.swap_remove(place).1)
    }

    /// The table whose part has this name.
    pub(super) fn table(&mut self, part: &str) -> Option<&mut TableView> {
        match self.part(part) {
            Some(Held::Table(table)) => Some(table),
            _ => None,
        }
    }

    /// Bytes that were written while the view was taken.
    pub(super) fn written_bytes(&self) -> usize {
        let written = |(_, held): &(String, Held)| if let Held::Written(bytes) = held { bytes.len() } else { 0 };
        self.0.iter().map(written).sum()
    }
}

impl Held {
    /// Writes the part as it was.
    pub(super) fn save(&mut self, pipeline: &Pipeline, output: &mut dyn Write) -> Result<(), SaveError> {
        match self {
            Self::Stream(stream, view) => save_stream(view, pipeline.stream(*stream), output),
            Self::Table(table) => table.save(output),
            Self::Group(group) => group.save(output),
            Self::Written(bytes) => output.write_all(bytes).map_err(|source| SaveError::Io {
                what: "written",
                section: "whole".to_owned(),
                source,
            }),
        }
    }
}

/// An output that takes nothing more once `is_over` says so: whoever writes for long hears of it in between.
pub(super) struct Until<'a, F> {
    pub(super) output: &'a mut dyn Write,
    pub(super) is_over: F,
}

impl<F: Fn() -> bool> Write for Until<'_, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if (self.is_over)() {
            return Err(io::Error::other("the view was given up"));
        }
        self.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}
