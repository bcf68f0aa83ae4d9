//! The pipeline of `docs/first-pipeline.md`, as its page writes it down, and what `check` says when it is written otherwise.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::broker::program;
use crate::taobao::root;

/// The files that the page has, in its order.
const FILES: [&str; 6] = [
    "schemas/visit.json",
    "pipeline.toml",
    "features/reader.sql",
    "features/post.sql",
    "vector.sql",
    "tests/first.toml",
];

/// The program in a folder, with what it says.
pub fn tidewheel(folder: &Path, arguments: &[&str]) -> Output {
    program(folder).args(arguments).output().unwrap()
}

/// The blocks of the page that are files.
fn blocks() -> Vec<String> {
    let page = fs::read_to_string(root().join("docs/first-pipeline.md")).unwrap();
    let mut blocks = Vec::new();
    for part in page.split("\n```").skip(1).step_by(2) {
        let (language, text) = part.split_once('\n').unwrap();
        if ["json", "toml", "sql"].contains(&language) {
            blocks.push(format!("{text}\n"));
        }
    }
    blocks
}

/// The pipeline of the page in a folder, and what the page adds to its settings at the end.
pub fn first_pipeline(folder: &Path) -> (PathBuf, String) {
    let pipeline = folder.join("pipelines/mine");
    let mut blocks = blocks();
    let labels = blocks.split_off(FILES.len());
    let [labels] = labels.as_slice() else { panic!("the page has other blocks than this test knows") };
    for (file, text) in FILES.iter().zip(&blocks) {
        let path = pipeline.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    fs::create_dir_all(folder.join("schemas")).unwrap();
    fs::copy(root().join("schemas/ranking_request.json"), folder.join("schemas/ranking_request.json")).unwrap();
    fs::create_dir_all(pipeline.join("model")).unwrap();
    let model = [
        "model",
        "new",
        "--kind",
        "mlp",
        "--hidden",
        "64,32",
        "--out",
        "pipelines/mine/model/mine.onnx",
        "pipelines/mine",
    ];
    let made = tidewheel(folder, &model);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (pipeline, labels.clone())
}

/// What `check` says, and whether all is well.
fn check(folder: &Path) -> (String, bool) {
    let output = tidewheel(folder, &["check", "pipelines/mine"]);
    let said = [output.stdout, output.stderr].concat();
    (String::from_utf8(said).unwrap(), output.status.success())
}

#[test]
fn the_page_works_as_it_stands_also_with_its_labels() {
    let folder = tempfile::tempdir().unwrap();
    let (pipeline, labels) = first_pipeline(folder.path());
    let (said, is_well) = check(folder.path());
    assert!(is_well && said.ends_with("no problems\n"), "{said}");
    let tested = tidewheel(folder.path(), &["test", "pipelines/mine"]);
    assert!(tested.status.success(), "{}", String::from_utf8_lossy(&tested.stdout));
    let settings = fs::read_to_string(pipeline.join("pipeline.toml")).unwrap();
    fs::write(pipeline.join("pipeline.toml"), format!("{settings}\n{labels}")).unwrap();
    let (said, is_well) = check(folder.path());
    assert!(is_well && said.contains("training of "), "{said}");
}

/// Replaces texts of files, and gives what `check` says then.
fn changed(folder: &Path, changes: &[(&str, &str, &str)]) -> String {
    let pipeline = folder.join("pipelines/mine");
    let before: Vec<(PathBuf, String)> = changes
        .iter()
        .map(|(file, ..)| (pipeline.join(file), fs::read_to_string(pipeline.join(file)).unwrap()))
        .collect();
    for (file, from, to) in changes {
        let text = fs::read_to_string(pipeline.join(file)).unwrap();
        assert!(text.contains(from), "{file} has no {from}");
        fs::write(pipeline.join(file), text.replacen(from, to, 1)).unwrap();
    }
    let (said, is_well) = check(folder);
    assert!(!is_well, "{changes:?}: {said}");
    for (path, text) in before.iter().rev() {
        fs::write(path, text).unwrap();
    }
    said
}

#[test]
fn each_mistake_is_told_at_its_place_with_a_way_out() {
    let folder = tempfile::tempdir().unwrap();
    first_pipeline(folder.path());
    let (reader, vector, case) = ("features/reader.sql", "vector.sql", "tests/first.toml");
    for (file, from, to, place, said) in [
        (
            reader,
            "within(ts, '1 hour')",
            "within('5')",
            "2:49",
            "`within('5')` has 1 argument(s), expected the time column",
        ),
        (reader, "within(ts, '1 hour')", "within(ts, '-5s')", "2:49", "the duration '-5s': it is negative"),
        (reader, "within(ts, '1 hour')", "within(kind, '1 hour')", "2:49", "within(...) is over `kind`"),
        (reader, "GROUP BY", "WHERE within(ts, '1 day') GROUP BY", "6:7", "within(...) in WHERE"),
        (reader, "FROM visits", "FROM visit", "5:6", "there is no `visit` to select from\n"),
        (reader, "FROM visits", "FROM visit", "5:6", "did you mean `visits`?"),
        (reader, "FROM visits", "FROM post", "5:1", "`post` is a feature table, and one can't read another"),
        (
            reader,
            "kind = 'like'",
            "kind = 'lik'",
            "3:38",
            "`kind` is never 'lik': the contract of `visits` has 'read', 'like'",
        ),
        (reader, "kind = 'like'", "kind = 'lik'", "3:38", "did you mean `like`?"),
        (vector, "u.likes_7d", "u.likes_8d", "3:14", "likes_7d"),
        (case, "reader_reads_1h = 1.0", "reader_raeds_1h = 1.0", "20:12", "no column `reader_raeds_1h`"),
        (case, "reader_reads_1h = 1.0", "reader_raeds_1h = 1.0", "20:12", "did you mean `reader_reads_1h`?"),
        (case, "item_id = 10 }", "itm_id = 10 }", "18:45", "no column `itm_id`"),
        (case, "stream = \"visits\"", "stream = \"visit\"", "4:10", "no stream `visit`"),
        (case, "22:00:01Z", "22:00", "19:6", "is not a time"),
    ] {
        let found = changed(folder.path(), &[(file, from, to)]);
        assert!(found.contains(&format!("pipelines/mine/{file}:{place}: ")) && found.contains(said), "{to}: {found}");
    }
}

#[test]
fn one_mistake_hides_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (_, labels) = first_pipeline(folder.path());
    let settings = "pipeline.toml";
    let sql = [("features/reader.sql", "FROM visits", "FROM visit"), ("vector.sql", "p.likes_1d", "p.likes_2d")];
    let told = ["there is no `visit` to select from", "vector.sql:6:"];
    // A text without quotes, a key that is none, a value of another type, a section that is there twice.
    for (from, to) in [
        ("name = \"mine\"", "name = mine"),
        ("service = \"mine.score\"", "service \"mine.score\""),
        ("id       = \"event_id\"", "id       = 5"),
        ("id       = \"event_id\"", "idd      = \"event_id\""),
        ("[model]", "[streams.visits]\nsubjects = [\"a\"]\ncontract = \"b\"\ntime = \"c\"\nkey = \"d\"\n\n[model]"),
    ] {
        let found = changed(folder.path(), &[(settings, from, to), sql[0], sql[1]]);
        let about_settings = found.lines().filter(|line| line.starts_with("pipelines/mine/pipeline.toml:")).count();
        assert_eq!(about_settings, 1, "{to}: {found}");
        assert!(told.iter().all(|told| found.contains(told)), "{to}: {found}");
    }
    // Feedback is looked at beside a table that can't be planned; columns of that table are not.
    let positive = labels.replace("'like'", "'lik'").replace("\"item_id\"]", "\"itm_id\"]");
    let end = "publish = \"mine.ranked\"";
    let found = changed(folder.path(), &[(settings, end, &format!("{end}\n{positive}")), sql[0]]);
    for told in
        [told[0], "`kind` is never 'lik'", "column \"itm_id\" is not in feedback, the events of stream `visits`"]
    {
        assert!(found.contains(told), "{found}");
    }
    assert!(!found.contains("vector.sql"), "{found}");
    let found = changed(folder.path(), &[(settings, end, &format!("{end}\n{}", labels.replace("item_id", "place")))]);
    assert!(found.contains("of event_id, user_id, item_id, kind, ts, request_id"), "{found}");
}
