//! What can go wrong between a person at a terminal and a pipeline that runs: `pub` and `ask`.

use std::path::PathBuf;

use crate::bus::BusError;
use crate::fault::{Judged, Judgement};

/// Why what was typed did not reach the pipeline, or was refused by it.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// There is no such stream in the folder.
    #[error("no stream `{name}`: the pipeline has {known}")]
    NoStream {
        /// What was asked for.
        name: String,
        /// The streams that there are.
        known: String,
    },
    /// It is not said which of several streams is meant.
    #[error("the pipeline has several streams: say which with --stream ({known})")]
    SeveralStreams {
        /// The streams that there are.
        known: String,
    },
    /// The subject belongs to no stream of the folder.
    #[error("no stream of the pipeline reads `{subject}`: it reads {known}")]
    NotRead {
        /// What was asked for.
        subject: String,
        /// The subjects that are read.
        known: String,
    },
    /// No stream of the server keeps what is sent to the subject.
    #[error("no stream of the server takes `{subject}`: start `tidewheel run {}` there first, which makes it", folder.display())]
    NotKept {
        /// Where the events were to go.
        subject: String,
        /// The pipeline's folder.
        folder: PathBuf,
    },
    /// An event that is no JSON.
    #[error("line {line} of {file} is no JSON: {reason}; {published} event(s) before it are published")]
    EventNotJson {
        /// The file.
        file: String,
        /// The line, from one.
        line: u64,
        /// What the parser says.
        reason: String,
        /// How many events are in the stream by now.
        published: u64,
    },
    /// A request that is no JSON.
    #[error("the request is no JSON: {reason}")]
    RequestNotJson {
        /// What the parser says, with line and column.
        reason: String,
    },
    /// The pipeline answers no requests.
    #[error("pipeline `{pipeline}` answers no requests: it has no `service` under [score]")]
    NoService {
        /// Its name.
        pipeline: String,
    },
    /// Requests were answered with errors.
    #[error("{}{first}", in_all(*refused, *asked))]
    Refused {
        /// How many.
        refused: usize,
        /// Of how many.
        asked: usize,
        /// The first of the errors.
        first: BusError,
    },
}

impl Judged for ClientError {
    fn judgement(&self) -> Judgement {
        match self {
            Self::EventNotJson { .. } => Judgement::DATA,
            Self::Refused { first, .. } => first.judgement(),
            Self::NoStream { .. }
            | Self::SeveralStreams { .. }
            | Self::NotRead { .. }
            | Self::NotKept { .. }
            | Self::RequestNotJson { .. }
            | Self::NoService { .. } => Judgement::OPERATOR,
        }
    }
}

fn in_all(refused: usize, asked: usize) -> String {
    if asked == 1 { String::new() } else { format!("{refused} of {asked} requests were refused, the first: ") }
}
