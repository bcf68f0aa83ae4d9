//! Contracts: JSON Schema text.

use std::sync::Arc;

use tidewheel::bus::{Encoding, Message, StreamSequence, Subject};
use tidewheel::event::{Contract, DecodeSettings, Decoder};

use super::{events, shipped};
use crate::fuzz::engine::{Outcome, Target};

pub const TARGET: Target = Target {
    name: "contracts",
    seconds: 2,
    dictionary: &[
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"type\"",
        "\"properties\"",
        "\"required\"",
        "\"additionalProperties\"",
        "\"enum\"",
        "\"const\"",
        "\"format\"",
        "\"date-time\"",
        "\"minimum\"",
        "\"maximum\"",
        "\"exclusiveMinimum\"",
        "\"exclusiveMaximum\"",
        "\"minLength\"",
        "\"maxLength\"",
        "\"minItems\"",
        "\"maxItems\"",
        "\"items\"",
        "\"integer\"",
        "\"number\"",
        "\"string\"",
        "\"boolean\"",
        "\"array\"",
        "\"object\"",
        "\"null\"",
        "null",
        "true",
        "1e400",
        "-0.0",
        "\\u0000",
        "\"x-column\"",
        "\"#/definitions/a\"",
        "\"definitions\"",
        "\"anyOf\"",
        "\"oneOf\"",
        "\"nullable\"",
        "\"decimal\"",
        "\"int64\"",
        "\"contentMediaType\"",
        "\"application/json\"",
        "\"contentSchema\"",
        "\"$ref\"",
        "\"pattern\"",
        "\"multipleOf\"",
    ],
    inputs: || {
        let files = ["schemas/click.json", "schemas/behavior.json", "schemas/ranking_request.json"];
        files
            .into_iter()
            .map(shipped)
            .chain([events::NASTY, events::NESTED].map(|text| text.as_bytes().to_vec()))
            .collect()
    },
    reader: || {
        let event = br#"{"ts":1790000000000,"user_id":1,"item_id":2,"kind":"view","price":0.5,"id":7,"tags":["a"]}"#;
        let message = Message {
            payload: bytes::Bytes::from_static(event),
            sequence: StreamSequence(1),
            published_micros: 1_790_000_000_000_000,
            encoding: Encoding::Json,
            subject: Subject::new("shop.clicks").unwrap(),
        };
        Box::new(move |input| {
            let text = String::from_utf8_lossy(input);
            let contract = match Contract::parse(&text) {
                Ok(contract) => contract,
                Err(problems) => {
                    assert!(!problems.is_empty(), "refused without a reason");
                    return Outcome::Refused(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
                }
            };
            assert_eq!(Contract::parse(&text).as_ref(), Ok(&contract));
            let names: Vec<&str> = contract.fields().iter().map(tidewheel::event::ContractField::name).collect();
            let columns: Vec<&String> = contract.schema().fields().iter().map(|column| column.name()).collect();
            assert_eq!(names, columns);
            for (index, name) in names.iter().enumerate() {
                assert_eq!(contract.field(name).map(|(found, _)| found), Some(index), "names are unlike each other");
            }
            // What is accepted as a contract can be put to use.
            let time = names.iter().find(|name| **name == "ts").unwrap_or(&names[0]);
            if let Ok(mut decoder) = Decoder::new(Arc::new(contract.clone()), &DecodeSettings::new(*time)) {
                let decoded = decoder.decode(std::slice::from_ref(&message)).unwrap();
                assert_eq!(decoded.batch.num_rows() + decoded.rejects.len(), 1);
            }
            Outcome::Accepted
        })
    },
};
