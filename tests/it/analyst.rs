//! An analyst's first hour: what there is, all of its rows, and files of them, from the program and over the bus.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Int64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use tidewheel::bus::{Bus, BusError, EmbeddedServer, Subject};
use tidewheel::config::Folder;
use tidewheel::engine::Run;
use tidewheel::pipeline::Pipeline;
use tidewheel::query::{self, Answer, Question};

use crate::broker::{publish, server, start, through};
use crate::taobao::{PATIENCE, root};

const SETTINGS: &str = "name = 'asked'\n[streams.clicks]\nsubjects = ['shop.clicks']\ncontract = 'schemas/click.json'\n\
    time = 'ts'\ntime_unit = 'ms'\nid = 'event_id'\n[references.items]\nfile = 'items.csv'\nkey = ['item_id']\n\
    refresh = '20ms'\n";

const PEOPLE: u64 = 30_000;

/// Clicks of the person: one to three.
fn clicks_of(person: u64) -> u64 {
    1 + person % 3
}

struct Site {
    folder: tempfile::TempDir,
    server: EmbeddedServer,
    bus: Bus,
    run: Run,
    door: query::SqlDoor,
}

impl Site {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path();
        for part in ["features", "schemas"] {
            fs::create_dir_all(home.join(part)).unwrap();
        }
        fs::copy(root().join("schemas/click.json"), home.join("schemas/click.json")).unwrap();
        fs::write(home.join("pipeline.toml"), SETTINGS).unwrap();
        fs::write(home.join("items.csv"), "item_id,name\n1,one\n2,two\n").unwrap();
        let sql = "SELECT user_id, count(*) AS n, last_n(item_id, 2) AS items FROM clicks GROUP BY user_id";
        fs::write(home.join("features/person.sql"), sql).unwrap();
        let pipeline: Arc<Pipeline> = Arc::new(Folder::read(home).unwrap().assemble().unwrap());
        let (server, bus) = server(&home.join("store")).await;
        let run = start(&pipeline, &bus).await;
        let clicks = (0..PEOPLE).flat_map(|person| (0..clicks_of(person)).map(move |click| (person, click)));
        let clicks = clicks.enumerate().map(|(at, (person, click))| {
            let click = json!({"event_id": at.to_string(), "user_id": person, "item_id": click, "category_id": 1,
                "kind": "view", "price": 1, "ts": 1_699_999_200_000_u64 + at as u64});
            serde_json::to_vec(&click).unwrap()
        });
        publish(&bus, "shop.clicks", clicks).await;
        through(&run, &bus, &pipeline).await;
        let door = query::serve_sql(&bus, &pipeline.name, run.views()).await.unwrap();
        Self { folder, server, bus, run, door }
    }

    fn home(&self) -> &Path {
        self.folder.path()
    }

    /// `tidewheel sql`, while the pipeline runs beside.
    async fn program(&self, arguments: &[&str], input: Option<&str>, stdout: Stdio) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidewheel"));
        command.arg("sql").arg(self.home()).args(arguments).args(["--nats", &self.server.url()]);
        command.current_dir(self.home()).env_remove("NATS_URL").env_remove("TIDEWHEEL_LOG").env_remove("RUST_LOG");
        command.stdin(Stdio::piped()).stdout(stdout).stderr(Stdio::piped());
        let input = input.unwrap_or_default().to_owned();
        let run = move || {
            let mut child = command.spawn().unwrap();
            // Whoever reads nothing closes the pipe.
            child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
            child.wait_with_output().unwrap()
        };
        tokio::task::spawn_blocking(run).await.unwrap()
    }

    /// Its exit code, results and words.
    async fn sql(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        spoken(&self.program(arguments, None, Stdio::piped()).await)
    }

    async fn ask(&self, question: Question) -> Result<Answer, BusError> {
        let subject = Subject::new("asked.sql").unwrap();
        let reply = self.bus.request(&subject, question.to_bytes().unwrap(), PATIENCE).await?;
        Ok(Answer::from_ipc(&reply).unwrap())
    }

    async fn close(self) {
        drop(self.door);
        self.run.stop().await.unwrap();
        self.server.stop().await.unwrap();
    }
}

fn spoken(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Clicks by person, from lines of CSV.
fn counted(lines: &str) -> BTreeMap<u64, u64> {
    let rows = lines.lines().skip(1).map(|line| line.split_once(',').unwrap());
    rows.map(|(person, n)| (person.parse().unwrap(), n.parse().unwrap())).collect()
}

fn expected() -> BTreeMap<u64, u64> {
    (0..PEOPLE).map(|person| (person, clicks_of(person))).collect()
}

fn rows(answer: &Answer) -> usize {
    answer.batches.iter().map(arrow::array::RecordBatch::num_rows).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_analyst_finds_tables_reads_all_rows_and_takes_them_away() {
    let site = Site::open().await;
    tables_are_found(&site).await;
    all_rows_come(&site).await;
    files_are_whole(&site).await;
    statements_come_through_a_pipe(&site).await;
    reference_tables_are_as_they_are_now(&site).await;
    site.close().await;
}

async fn tables_are_found(site: &Site) {
    let (code, table, words) = site.sql(&["SHOW TABLES"]).await;
    assert_eq!((code, words.as_str()), (Some(0), ""));
    insta::assert_snapshot!(table, @r"
    +------------+-----------------+---------+
    | table_name | kind            | key     |
    +------------+-----------------+---------+
    | items      | reference table | item_id |
    | person     | feature table   | user_id |
    +------------+-----------------+---------+
    ");
    let (code, columns, words) = site.sql(&["DESCRIBE person", "--format", "csv"]).await;
    assert_eq!(code, Some(0), "{words}");
    let names: Vec<&str> = columns.lines().map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(names, ["column_name", "user_id", "n", "items"]);
    let (code, results, words) = site.sql(&["SELECT * FROM persn"]).await;
    assert_eq!((code, results.as_str()), (Some(2), ""));
    let advice = "400: no table is named \"persn\": did you mean `person`? There are also `items`";
    assert!(words.trim_end().ends_with(advice), "{words}");
}

async fn all_rows_come(site: &Site) {
    let all = "SELECT user_id, n FROM person";
    let (code, lines, words) = site.sql(&[all, "--format", "csv"]).await;
    assert_eq!((code, words.as_str()), (Some(0), ""));
    assert_eq!((lines.lines().count(), counted(&lines)), (PEOPLE as usize + 1, expected()));
    let (code, array, _) = site.sql(&["SELECT user_id FROM person LIMIT 20000", "--format", "json"]).await;
    let array: Vec<Value> = serde_json::from_str(&array).unwrap();
    assert_eq!((code, array.len()), (Some(0), 20_000));
    let (code, lines, _) = site.sql(&[all, "--format", "jsonl"]).await;
    let clicks: u64 =
        lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["n"].as_u64().unwrap()).sum();
    assert_eq!((code, clicks), (Some(0), expected().values().sum()));

    // For people there are as many as they can read, and scripts see that.
    let (code, table, words) = site.sql(&[all]).await;
    assert_eq!((code, table.lines().count()), (Some(1), 10_004));
    let note = "note: these are 10000 rows and there are more: --format csv, or --out FILE, gives all of them\n";
    assert_eq!(words, note);
    let (code, _, words) = site.sql(&["SELECT user_id, n FROM person LIMIT 10000"]).await;
    assert_eq!((code, words.as_str()), (Some(0), ""));

    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = site.program(&[all, "--format", "csv"], None, writer.into()).await;
    assert_eq!(spoken(&output), (Some(0), String::new(), String::new()), "as with `| head`");
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (code, _, words) = spoken(&site.program(&[all, "--format", "csv"], None, full.into()).await);
    assert_eq!(code, Some(4), "{words}");
    assert!(words.starts_with("error: rows can't be written: "), "{words}");
}

async fn files_are_whole(site: &Site) {
    let all = "SELECT * FROM person";
    let (code, results, words) = site.sql(&[all, "--out", "people.parquet"]).await;
    assert_eq!((code, results.as_str(), words.as_str()), (Some(0), "", "30000 rows in people.parquet\n"));
    let file = File::open(site.home().join("people.parquet")).unwrap();
    let file = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let types: Vec<DataType> = file.schema().fields().iter().map(|field| field.data_type().clone()).collect();
    assert!(matches!(&types[..], [DataType::Int64, DataType::Int64, DataType::List(_)]), "{types:?}");
    let mut found = BTreeMap::new();
    for batch in file.build().unwrap() {
        let batch = batch.unwrap();
        let column = |index: usize| batch.column(index).as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let (person, n) = (column(0).value(row) as u64, column(1).value(row) as u64);
            assert_eq!(batch.column(2).as_list::<i32>().value(row).len() as u64, n.min(2), "the newest two items");
            found.insert(person, n);
        }
    }
    assert_eq!(found, expected());

    let (code, _, words) = site.sql(&["SELECT user_id, n FROM person", "--out", "people.csv"]).await;
    assert_eq!(code, Some(0), "{words}");
    assert_eq!(counted(&fs::read_to_string(site.home().join("people.csv")).unwrap()), expected());

    for (arguments, word) in [
        (&[all, "--out", "people.txt"][..], ".csv, .json, .jsonl or .parquet"),
        (&[all, "--out", "rows.csv", "--format", "csv"], "cannot be used with"),
        (&["SELECT * FROM nowhere", "--out", "rows.csv"], "there are `items`, `person`"),
        (&["SELECT 1 / (n - n) FROM person", "--out", "rows.csv"], "ivide by zero"),
    ] {
        let (code, results, words) = site.sql(arguments).await;
        assert_eq!((code, results.as_str()), (Some(2), ""), "{words}");
        assert!(words.contains(word), "{words}");
    }
    let names = fs::read_dir(site.home()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let left: Vec<String> = names.filter(|name| name.starts_with("rows") || name.ends_with("unfinished")).collect();
    assert_eq!(left, Vec::<String>::new(), "nothing is left of files that failed");
}

async fn statements_come_through_a_pipe(site: &Site) {
    for arguments in [&["--format", "csv"][..], &["-", "--format", "csv"]] {
        let output = site.program(arguments, Some("SELECT count(*) AS n\nFROM person;\n"), Stdio::piped()).await;
        assert_eq!(spoken(&output), (Some(0), "n\n30000\n".to_owned(), String::new()));
    }
    for (input, found) in [("SELECT 1; SELECT 2", "got 2"), ("", "got 0")] {
        let (code, _, words) = spoken(&site.program(&["-"], Some(input), Stdio::piped()).await);
        assert_eq!(code, Some(2), "{words}");
        assert!(words.trim_end().ends_with(&format!("expected one statement, {found}")), "{words}");
    }
}

async fn reference_tables_are_as_they_are_now(site: &Site) {
    let joined = "SELECT name, count(*) AS people FROM person JOIN live.items ON array_has(items, item_id) \
                  GROUP BY name ORDER BY name";
    let asked = async |sql: &str| site.sql(&[sql, "--format", "csv"]).await.1;
    assert_eq!(asked("SELECT * FROM items ORDER BY item_id").await, "item_id,name\n1,one\n2,two\n");
    // Of three people one has clicked on item 0, one on 0 and 1, and one on 0, 1 and 2, of which the newest two are kept.
    assert_eq!(asked(joined).await, "name,people\none,20000\ntwo,10000\n");

    fs::write(site.home().join("items.csv"), "item_id,name\n1,uno\n").unwrap();
    let changed = async {
        while asked("SELECT * FROM items").await != "item_id,name\n1,uno\n" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, changed).await.expect("the table changes with its file");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_ask_for_one_message_or_for_part_after_part() {
    let site = Site::open().await;
    let text =
        "'a text that makes each row longer than a hundred bytes, so that all of them do not fit into a message'";
    let all = format!("SELECT user_id, n, {text} AS text FROM person");

    // One message, as ever: cut off, and it says so.
    let whole = site.ask(Question::Whole("SELECT user_id FROM person".to_owned())).await.unwrap();
    assert_eq!((rows(&whole), whole.truncated, &whole.more), (10_000, true, &None));

    // Two answers at a time, and a statement in between.
    let parts = || Question::Parts { sql: all.clone(), rows: None };
    let mut open = [site.ask(parts()).await.unwrap(), site.ask(parts()).await.unwrap()];
    assert_ne!(open[0].more, open[1].more);
    let mut found = [rows(&open[0]), rows(&open[1])];
    let first = open[0].more.clone().expect("more than a message");
    while open.iter().any(|part| part.more.is_some()) {
        for (part, found) in open.iter_mut().zip(&mut found) {
            let Some(more) = part.more.clone() else { continue };
            *part = site.ask(Question::More(more)).await.unwrap();
            *found += rows(part);
        }
        let one = site.ask(Question::Parts { sql: "SELECT 1 AS one".to_owned(), rows: None }).await.unwrap();
        assert_eq!((rows(&one), one.more), (1, None));
    }
    assert_eq!(found, [PEOPLE as usize; 2]);
    let gone = site.ask(Question::More(first)).await.unwrap_err();
    assert!(matches!(&gone, BusError::Refused { code: 410, .. }), "{gone}");

    let few = site.ask(Question::Parts { sql: all, rows: Some(7) }).await.unwrap();
    assert_eq!((rows(&few), few.truncated, few.more), (7, true, None));
    let subject = Subject::new("asked.sql").unwrap();
    let error = site.bus.request(&subject, "{\"query\": \"SELECT 1\"}".into(), PATIENCE).await.unwrap_err();
    assert!(error.to_string().contains("not a question: it has other fields; send SQL, "), "{error}");

    // More than wait are told so at once, and those that wait are answered.
    let slow = "SELECT count(*) AS n FROM person a, person b WHERE a.n + b.n < 0 AND a.user_id < 300";
    let asked = (0..12).map(|_| site.ask(Question::Whole(slow.to_owned())));
    let answers = futures::future::join_all(asked).await;
    let busy = answers.iter().filter(|answer| matches!(answer, Err(BusError::Refused { code: 503, .. }))).count();
    let answered = answers.iter().filter(|answer| answer.as_ref().is_ok_and(|answer| rows(answer) == 1)).count();
    assert_eq!(busy + answered, 12, "{:?}", answers.iter().filter(|answer| answer.is_err()).collect::<Vec<_>>());
    // As many as wait; the first may have been taken before the last came.
    assert!(answered >= 8, "{answered}");
    site.close().await;
}
