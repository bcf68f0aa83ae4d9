//! Files of reference tables: CSV, JSON lines and Parquet, with and without a contract.

use std::fs;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use tidewheel::event::Contract;
use tidewheel::reference::{Limits, ReferenceFile, ReferenceSpec, Validity};

use crate::fuzz::engine::{Outcome, Target};

const CONTRACT: &str = r#"{"type": "object", "properties": {
    "id": {"type": "integer"}, "name": {"type": ["string", "null"]}, "from": {"type": "string", "format": "date-time"},
    "share": {"type": "number", "maximum": 1}
}, "required": ["id"]}"#;

pub const TARGET: Target = Target {
    name: "references",
    seconds: 2,
    dictionary: &[
        "id",
        "name",
        "from",
        "share",
        ",",
        "\"",
        "\"\"",
        "\n",
        "\r\n",
        "\r",
        ";",
        "{\"id\":",
        "}",
        "[",
        "]",
        "null",
        "true",
        "2026-01-31",
        "2026-01-31T12:00:00Z",
        "0.5",
        "1e999",
        "PAR1",
        "\u{feff}",
        "\u{0}",
        "\\u0000",
    ],
    inputs: || {
        let texts = [
            "id,name,from,share\n1,toy,2026-01-31T00:00:00Z,0.5\n2,\"a \"\"book\"\"\n\",,\n",
            "{\"id\": 1, \"name\": \"toy\", \"from\": \"2026-01-31T12:00:00Z\"}\n{\"id\": 2, \"share\": 1}\n",
        ];
        texts.map(|text| text.as_bytes().to_vec()).into_iter().chain([parquet()]).collect()
    },
    reader: || {
        let folder = tempfile::tempdir().unwrap();
        let contract = Some(Arc::new(Contract::parse(CONTRACT).unwrap()));
        let spec = ReferenceSpec {
            name: "names".to_owned(),
            key: vec!["id".to_owned()],
            validity: None,
            contract: None,
            limits: Limits { rows: 10_000, bytes: 1 << 20 },
        };
        let validity = Some(Validity { from: Some("from".to_owned()), to: None });
        let specs = [spec.clone(), ReferenceSpec { contract, ..spec.clone() }, ReferenceSpec { validity, ..spec }];
        Box::new(move |input| {
            let mut outcome = Outcome::Refused(String::new());
            let kinds: &[&str] = if input.starts_with(b"PAR1") { &["parquet"] } else { &["csv", "jsonl"] };
            for kind in kinds {
                let path = folder.path().join(format!("names.{kind}"));
                fs::write(&path, input).unwrap();
                for spec in &specs {
                    let read = ReferenceFile::open(spec.clone(), &path);
                    outcome = match (read, outcome) {
                        (Ok(file), _) => {
                            check(&file, spec);
                            Outcome::Accepted
                        }
                        (Err(error), Outcome::Refused(before)) => Outcome::Refused(before + &error.to_string()),
                        (Err(_), accepted) => accepted,
                    };
                }
            }
            outcome
        })
    },
};

/// Each row is found by its own key, and the same bytes are the same table.
fn check(file: &ReferenceFile, spec: &ReferenceSpec) {
    let table = file.table();
    assert!(table.rows() <= spec.limits.rows && table.batch().num_rows() == table.rows());
    if spec.validity.is_none() {
        let keys = table.batch().column_by_name("id").unwrap();
        let found = table.match_rows(std::slice::from_ref(keys), &vec![0; table.rows()]).unwrap();
        for (row, found) in found.iter().enumerate() {
            assert!(found == Some(row as u32) || keys.is_null(row), "row {row} is found as {found:?}");
        }
        assert_eq!(
            table.columns(&arrow::array::UInt32Array::from_iter_values(0..table.rows() as u32)).unwrap()[0].len(),
            table.rows()
        );
    }
}

fn parquet() -> Vec<u8> {
    let columns: [(&str, ArrayRef); 2] = [
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3]))),
        ("name", Arc::new(StringArray::from(vec![Some("a"), None, Some("c")]))),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}
