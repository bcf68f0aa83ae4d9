//! `tidewheel ask`: requests to the ranking service of a running pipeline, and what it answers.

use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use serde_json::value::RawValue;
use serde_json::{Deserializer, json};

use super::broker::Broker;
use super::client::ClientError;
use super::output::{say, tell};
use super::run::runtime;
use super::{BrokerArguments, Format};
use crate::bus::{BusError, Subject};
use crate::config::Folder;

/// How long to wait for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Arguments of `ask`.
#[derive(Args)]
pub(super) struct Arguments {
    /// The pipeline's folder.
    folder: PathBuf,
    /// A request as JSON, or several, one after the other; `-` is standard input.
    request: String,
    #[command(flatten)]
    broker: BrokerArguments,
    /// How to print: replies are JSON in any case; with `json` errors are too, on standard output in their place.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let folder = Folder::read(&arguments.folder)?;
    let name = &folder.settings.name;
    let service = folder.settings.score.as_ref().and_then(|score| score.service.as_ref());
    let service = service.ok_or_else(|| ClientError::NoService { pipeline: name.to_string() })?;
    let subject = Subject::new(service.get_ref().as_str())?;
    let requests: Box<dyn Read> = match arguments.request.as_str() {
        "-" => Box::new(io::stdin().lock()),
        text => Box::new(io::Cursor::new(text.to_owned())),
    };
    runtime()?.block_on(async {
        let bus = Broker::find(&arguments.broker, &folder.settings.state_folder()).await?;
        let mut errors = Vec::new();
        let mut asked = 0;
        for request in Deserializer::from_reader(io::BufReader::new(requests)).into_iter::<Box<RawValue>>() {
            let request = request.map_err(|error| ClientError::RequestNotJson { reason: error.to_string() })?;
            asked += 1;
            let payload = Bytes::from(request.get().to_owned());
            match bus.request(&subject, payload, PATIENCE).await {
                Ok(reply) => say!("{}", String::from_utf8_lossy(&reply)),
                Err(error @ BusError::Refused { .. }) => {
                    show(&error, arguments.format, asked);
                    errors.push(error);
                }
                Err(error) => return Err(error).with_context(|| format!("pipeline `{name}`")),
            }
        }
        let refused = errors.len();
        match errors.into_iter().next() {
            Some(first) => Err(ClientError::Refused { refused, asked, first }.into()),
            None if asked == 0 => Err(ClientError::RequestNotJson { reason: "there is none".to_owned() }.into()),
            None => Ok(true),
        }
    })
}

/// Shows an error: as the service has sent it, or in words. That of the first request is said in words at the end.
fn show(error: &BusError, format: Format, request: usize) {
    match (format, error) {
        (Format::Json, BusError::Refused { code, message, body, .. }) if body.is_empty() => {
            say!("{}", json!({ "error": { "code": code, "message": message } }));
        }
        (Format::Json, BusError::Refused { body, .. }) => say!("{}", String::from_utf8_lossy(body)),
        _ if request > 1 => tell!("request {request}: {error}"),
        _ => {}
    }
}
