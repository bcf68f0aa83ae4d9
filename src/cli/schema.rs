//! `tidewheel schema`: the JSON Schema of pipeline.toml, or a ready contract for what the tools of others send.

use clap::{Args, ValueEnum};

use super::observe;
use super::output::say;

/// Arguments of `schema`.
#[derive(Args)]
pub(super) struct Arguments {
    /// A ready contract to print instead: yours to change.
    #[arg(value_enum, value_name = "CONTRACT")]
    ready: Option<Ready>,
}

/// The formats that there are ready contracts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Ready {
    /// A call of `track` of Segment or RudderStack.
    SegmentTrack,
    /// A call of `page` of Segment or RudderStack.
    SegmentPage,
    /// An enriched event of Snowplow, as its analytics SDKs write it.
    Snowplow,
    /// A row of the export of Google Analytics 4 to BigQuery, as JSON.
    Ga4,
    /// An event of PostHog.
    Posthog,
    /// The envelope of CloudEvents 1.0, in structured mode.
    Cloudevents,
    /// An order of Shopify.
    ShopifyOrder,
}

impl Ready {
    /// The contract as the file has it.
    fn text(self) -> &'static str {
        match self {
            Self::SegmentTrack => include_str!("../../schemas/ready/segment-track.json"),
            Self::SegmentPage => include_str!("../../schemas/ready/segment-page.json"),
            Self::Snowplow => include_str!("../../schemas/ready/snowplow.json"),
            Self::Ga4 => include_str!("../../schemas/ready/ga4.json"),
            Self::Posthog => include_str!("../../schemas/ready/posthog.json"),
            Self::Cloudevents => include_str!("../../schemas/ready/cloudevents.json"),
            Self::ShopifyOrder => include_str!("../../schemas/ready/shopify-order.json"),
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    match arguments.ready {
        None => observe::print_json(&crate::config::schema())?,
        Some(ready) => say!("{}", ready.text().trim_end()),
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::event::Contract;

    fn name(ready: Ready) -> String {
        ready.to_possible_value().expect("no contract is hidden").get_name().to_owned()
    }

    #[test]
    fn every_ready_contract_is_printed_under_the_name_of_its_file() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/ready");
        let files = fs::read_dir(&folder).expect("the folder").map(|entry| entry.expect("an entry").file_name());
        let files: BTreeSet<String> = files.map(|name| name.to_string_lossy().into_owned()).collect();
        let printed = Ready::value_variants().iter().map(|ready| format!("{}.json", name(*ready)));
        assert_eq!(printed.collect::<BTreeSet<_>>(), files);
        for ready in Ready::value_variants() {
            let file = fs::read_to_string(folder.join(format!("{}.json", name(*ready)))).expect("a file");
            assert_eq!(ready.text(), file);
        }
    }

    #[test]
    fn every_ready_contract_is_one() {
        for ready in Ready::value_variants() {
            let contract = Contract::parse(ready.text());
            assert!(contract.is_ok(), "{}: {contract:?}", name(*ready));
        }
    }
}
