//! A pipeline's folder: several files in one input, read and planned as `check` does.
//!
//! No model is in the folder, so that none is run; what a `graph` names is not there.

use std::fs;

use tidewheel::config::Folder;

use super::{shipped, shipped_text};
use crate::fuzz::engine::{Outcome, Target};
use crate::fuzz::pack::{pack, unpack};

/// What an input may write; anything else in it is left out.
const FILES: [&str; 7] = [
    "pipeline.toml",
    "features/one.sql",
    "features/two.sql",
    "features/three.sql",
    "vector.sql",
    "schemas/other.json",
    "names.csv",
];

pub const TARGET: Target = Target {
    name: "folders",
    seconds: 2,
    dictionary: &[
        "=== pipeline.toml\n",
        "=== features/one.sql\n",
        "=== vector.sql\n",
        "=== schemas/other.json\n",
        "[streams.clicks]\n",
        "[tables.one]\n",
        "[references.names]\n",
        "[score]\n",
        "[labels]\n",
        "[train]\n",
        "[state]\n",
        "[model]\n",
        "emit = \"on close\"\n",
        "emit = { early = \"1s\" }\n",
        "lateness = \"30s\"\n",
        "retention = \"1 day\"\n",
        "memory = \"1 GiB\"\n",
        "disorder = \"2s\"\n",
        "idle = \"30s\"\n",
        "partition = \"subject\"\n",
        "late = \"drop\"\n",
        "publish = \"a.b\"\n",
        "checkpoint = \"10s\"\n",
        "earliest = \"2017-01-01T00:00:00Z\"\n",
        "{",
        "}",
        "[",
        "]",
        "\"",
        "'''",
        "\"\"\"",
        "=",
        ".",
        "#",
        "inf",
        "nan",
        "0x10",
        "1979-05-27",
        "99999999999 days",
        "optimizer",
        "replay = 0\n",
    ],
    inputs: || {
        let clicks = ["pipelines/recommend", "pipelines/trends"].map(|folder| {
            let feature = |name: &str| shipped_text(&format!("{folder}/features/{name}.sql"));
            let mut parts = vec![("pipeline.toml", shipped_text(&format!("{folder}/pipeline.toml")))];
            if folder.ends_with("trends") {
                parts[0].1 = parts[0].1.replace("categories.csv", "names.csv").replace("item_minute", "two");
                parts[0].1 =
                    parts[0].1.replace("tables.category_trend", "tables.one").replace("tables.visit", "tables.three");
                parts.push(("features/one.sql", feature("category_trend")));
                parts.push(("features/two.sql", feature("item_minute")));
                parts.push(("features/three.sql", feature("visit")));
                parts.push(("names.csv", shipped_text("pipelines/trends/categories.csv")));
            } else {
                // Without what needs the model.
                let text = parts[0].1.split("[model]").next().unwrap().replace("item_trend", "one");
                parts[0].1 = text;
                parts.push(("features/one.sql", feature("item_trend")));
                parts.push(("features/two.sql", feature("user_activity")));
            }
            pack(&parts.iter().map(|(name, text)| (*name, text.as_str())).collect::<Vec<_>>())
        });
        // Everything that can be set, among it what contradicts itself.
        let whole = pack(&[
            ("pipeline.toml", &shipped_text("pipelines/recommend/pipeline.toml")),
            ("features/one.sql", &shipped_text("pipelines/recommend/features/item_trend.sql")),
            (
                "vector.sql",
                "SELECT r.item_id, coalesce(o.views_1h, 0) AS v FROM requests r LEFT JOIN one o ON r.item_id = o.item_id",
            ),
        ]);
        clicks.into_iter().chain([whole]).collect()
    },
    reader: || {
        let folder = tempfile::tempdir().unwrap();
        for name in ["click", "ranking_request"] {
            fs::create_dir_all(folder.path().join("schemas")).unwrap();
            fs::write(folder.path().join(format!("schemas/{name}.json")), shipped(&format!("schemas/{name}.json")))
                .unwrap();
        }
        fs::create_dir_all(folder.path().join("features")).unwrap();
        Box::new(move |input| {
            let parts = unpack(input);
            for name in FILES {
                let path = folder.path().join(name);
                match parts.iter().rfind(|(part, _)| part == name) {
                    Some((_, bytes)) => fs::write(path, bytes).unwrap(),
                    None => drop(fs::remove_file(path)),
                }
            }
            let outcome = match Folder::check(folder.path()) {
                Ok(pipeline) => {
                    assert!(!pipeline.streams.is_empty() && !pipeline.tables.is_empty());
                    Outcome::Accepted
                }
                Err(problems) => {
                    assert!(problems.iter().count() > 0, "refused without a reason");
                    serde_json::to_string(&problems).unwrap();
                    Outcome::Refused(problems.to_string().replace(&*folder.path().to_string_lossy(), ""))
                }
            };
            // Reading alone never asks more than checking.
            assert!(outcome != Outcome::Accepted || Folder::read(folder.path()).is_ok());
            outcome
        })
    },
};
