//! The walk of `docs/models.md` from a LightGBM model to rankings, as its page writes it down: the bus gives what the library
//! predicts.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::broker::{program, server};
use crate::learning::until;
use crate::seen::Program;
use crate::taobao::root;

/// The files that the page has, in its order, after the one that trains.
const FILES: [&str; 6] = [
    "pipeline.toml",
    "schemas/visit.json",
    "schemas/request.json",
    "features/reader.sql",
    "features/item.sql",
    "vector.sql",
];

/// What the library writes in a training that was run.
const TRAINED: [&str; 3] = ["model.txt", "rows.csv", "predicted.csv"];

/// The blocks of the walk, each with its language.
fn blocks() -> Vec<(String, String)> {
    let page = fs::read_to_string(root().join("docs/models.md")).unwrap();
    let (_, walk) = page.split_once("\n## From a LightGBM model to rankings\n").unwrap();
    let (walk, _) = walk.split_once("\n## ").unwrap();
    let blocks = walk.split("\n```").skip(1).step_by(2).map(|block| block.split_once('\n').unwrap());
    blocks.map(|(language, text)| (language.to_owned(), format!("{text}\n"))).collect()
}

/// Lines of the page as a shell takes them, in a folder, and with a server where it is said which.
fn shell(folder: &Path, url: Option<&str>, lines: &str) -> (bool, String) {
    let program = program(folder);
    let binary = Path::new(program.get_program());
    let mut shell = Command::new("bash");
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let path = std::env::var("PATH").unwrap();
    shell.env("PATH", format!("{}:{path}", binary.parent().unwrap().display()));
    if let Some(url) = url {
        shell.env("NATS_URL", url);
    }
    let output = shell.args(["-euo", "pipefail", "-c", lines]).current_dir(folder).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

/// The scores of a reply, by item.
fn scores(reply: &str) -> Option<Vec<(i64, f64)>> {
    let reply: Value = serde_json::from_str(reply).ok()?;
    let items = reply["items"].as_array()?.iter();
    items.map(|item| Some((item["item_id"].as_i64()?, item["score"].as_f64()?))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bus_gives_what_lightgbm_predicts_in_the_commands_of_the_page() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _) = server(&folder.path().join("broker")).await;
    let url = server.url();
    let golden = root().join("tests/golden/shop");
    let blocks = blocks();
    let of = |language: &str| -> Vec<&str> {
        blocks.iter().filter(|(found, _)| found == language).map(|(_, text)| text.as_str()).collect()
    };
    assert_eq!(of("python"), [fs::read_to_string(golden.join("train.py")).unwrap()], "what was trained is the page's");
    for file in TRAINED {
        fs::copy(golden.join(file), folder.path().join(file)).unwrap();
    }
    let files = [of("toml"), of("json")[..2].to_vec(), of("sql")].concat();
    assert_eq!(files.len(), FILES.len());
    let pipeline = folder.path().join("pipelines/shop");
    for (file, text) in FILES.iter().zip(files) {
        let path = pipeline.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let [before, asked] = of("sh")[..] else { panic!("the page has other commands than this test knows") };
    let (before, run) = before.trim_end().rsplit_once('\n').unwrap();
    let ask = asked.lines().last().unwrap();
    assert!(before.lines().count() + 1 + asked.matches("| tidewheel").count() + 1 < 10, "the page promises it");

    let (is_well, said) = shell(folder.path(), None, before);
    assert!(is_well, "{said}");
    for line in of("text")[0].lines().filter(|line| *line != "...") {
        assert!(said.contains(line), "{line:?} is not in\n{said}");
    }
    let arguments: Vec<&str> = run.split(' ').skip(1).chain(["--nats", &url, "--log-format", "json"]).collect();
    let mut program = Program::start(folder.path(), &arguments);
    program.said("running").await;
    let (is_well, said) = shell(folder.path(), Some(&url), asked);
    assert!(is_well, "{said}");
    // The last of the events may be counted after the first question.
    let expected = scores(of("json")[2]).unwrap();
    let agrees = |found: &[(i64, f64)]| {
        found.len() == expected.len()
            && found
                .iter()
                .zip(&expected)
                .all(|(found, expected)| found.0 == expected.0 && (found.1 - expected.1).abs() <= 1e-6 * expected.1)
    };
    until("the predictions of the library", async || {
        let (is_well, said) = shell(folder.path(), Some(&url), ask);
        assert!(is_well, "{said}");
        scores(&said).filter(|found| agrees(found))
    })
    .await;
    program.stop();
    server.stop().await.unwrap();
}
