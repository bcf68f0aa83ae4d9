//! Servers that take little in a message: what is larger becomes an error or a dead letter, and everything else goes on.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tidewheel::bus::{Bus, BusError, ConnectSettings, Message, ServerBinary, StoredMessage, StreamSequence, Subject};
use tidewheel::pipeline::output_spec;
use tokio::process::{Child, Command};

use crate::broker::{pipeline, publish, start, stored, through};
use crate::learning::{a_minute_ago, examples, items, request, until, view};
use crate::taobao::PATIENCE;

/// A server with a limit of its own. Dropping it kills it.
pub struct SmallServer {
    child: Child,
    pub url: String,
}

impl SmallServer {
    /// One whose store is in a folder, which may be that of an earlier one.
    pub async fn start(folder: &Path, max_payload: usize) -> Self {
        fs::create_dir_all(folder).unwrap();
        let (configuration, ports) = (folder.join("small.conf"), folder.join("ports"));
        fs::create_dir_all(&ports).unwrap();
        let text = format!(
            "listen: \"127.0.0.1:-1\"\nports_file_dir: \"{}\"\nmax_payload: {max_payload}\njetstream {{ store_dir: \"{}\" }}\n",
            ports.display(),
            folder.display()
        );
        fs::write(&configuration, text).unwrap();
        let mut command = Command::new(ServerBinary::find().unwrap().path());
        command.arg("-c").arg(configuration).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let child = command.spawn().unwrap();
        let file = ports.join(format!("nats-server_{}.ports", child.id().unwrap()));
        let url = until("a server", async || url_of(&file)).await;
        Self { child, url }
    }

    pub async fn connect(&self) -> Bus {
        Bus::connect(&ConnectSettings::to_url(self.url.clone())).await.unwrap()
    }

    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

fn url_of(file: &Path) -> Option<String> {
    let written: Value = serde_json::from_str(&fs::read_to_string(file).ok()?).ok()?;
    Some(written["nats"][0].as_str()?.to_owned())
}

/// The dead letters of an output stream, with their headers.
pub async fn letters(bus: &Bus, stream: &str, messages: &[Message]) -> Vec<StoredMessage> {
    let mut letters = Vec::new();
    let is_dead = |message: &&Message| message.subject.as_str().split('.').next_back() == Some("dead");
    for message in messages.iter().filter(is_dead) {
        letters.push(bus.message_at(stream, StreamSequence(message.sequence.0)).await.unwrap().unwrap());
    }
    letters
}

/// What a server takes in one message.
const LIMIT: usize = 24_000;
/// About what the headers of an output take of it.
const HEADERS: usize = 300;

/// A request whose reply was too large was told 500 without a size, was taken for shown, and its impressions, like those of any
/// request of some hundred candidates, ended the worker.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_of_exactly_the_limit_arrives_and_a_larger_one_is_an_error_and_was_shown_to_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let server = SmallServer::start(folder.path(), LIMIT).await;
    let bus = server.connect().await;
    let pipeline = pipeline("recommend");
    let began = a_minute_ago();
    let mut run = start(&pipeline, &bus).await;
    publish(&bus, "shop.clicks.web", (0..30).map(|id| view(&format!("w{id}"), (1, id % 3), began, None))).await;
    through(&run, &bus, &pipeline).await;

    let service = Subject::new("recommend.score").unwrap();
    let all: Vec<u64> = (0..1_000).collect();
    let ask = async |id: &str, items: &[u64]| {
        bus.request(&service, request(id, 1, items, Some(began + 100)).into(), PATIENCE).await
    };
    let refused = |reply: Result<bytes::Bytes, BusError>| match reply {
        Err(BusError::Refused { code, message, .. }) => (code, message),
        other => panic!("{other:?}"),
    };
    let mut few: Vec<u64> = (0..300).collect();
    let mut short = until("an answer", async || ask("r", &few).await.ok()).await;
    // A name is at most 128 letters: so many candidates that one fills the rest of a message.
    let (mut replies, mut shown) = (vec![short.clone()], few.len());
    while LIMIT - short.len() > 120 {
        let more = ((LIMIT - short.len()) / 60).max(1) as u64;
        few.extend(few.len() as u64..few.len() as u64 + more);
        short = ask("r", &few).await.unwrap();
        replies.push(short.clone());
        shown += few.len();
    }
    // As long as the rest, so that the reply is exactly what the server takes.
    let long = "r".repeat(1 + LIMIT - short.len());
    let reply = ask(&long, &few).await.unwrap();
    assert_eq!(reply.len(), LIMIT);
    assert_eq!(items(&serde_json::from_slice(&reply).unwrap()).len(), few.len());
    let (code, message) = refused(ask(&format!("{long}r"), &few).await);
    let says = format!("the reply has {} bytes, and the server takes {LIMIT} in a message", LIMIT + 1);
    assert!(code == 413 && message.starts_with(&says), "{code}: {message}");
    assert_eq!(refused(ask("many", &all).await).0, 413);

    // What was shown is known after a restart, though it took several messages.
    run.stop().await.unwrap();
    run = start(&pipeline, &bus).await;
    through(&run, &bus, &pipeline).await;
    publish(&bus, "shop.clicks.web", [view("c", (1, 7), began + 200, Some("r"))]).await;
    publish(&bus, "shop.clicks.web", [view("later", (2, 9), began + 10_000, None)]).await;
    through(&run, &bus, &pipeline).await;
    run.stop().await.unwrap();
    let made = examples(&bus, &pipeline).await;
    let positives = made.labels().iter().filter(|label| **label > 0.0).count();
    assert_eq!((made.len(), positives), (shown + few.len(), 1), "neither of the refused rankings");

    let stream = output_spec(&pipeline).name;
    let outputs = stored(&bus, &stream).await;
    // An output has headers beside what a reply holds: of those that fitted only the reply, a dead letter says so.
    replies.push(reply);
    let (whole, cut): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.len() <= LIMIT - HEADERS);
    let ranked: Vec<&Message> = outputs.iter().filter(|output| output.subject.as_str() == "recommend.ranked").collect();
    assert_eq!(ranked.iter().map(|ranked| &ranked.payload).collect::<Vec<_>>(), whole);
    let letters = letters(&bus, &stream, &outputs).await;
    assert_eq!(letters.len(), cut.len());
    for (letter, reply) in letters.iter().zip(cut) {
        assert_eq!(letter.header("Tidewheel-Reason"), Some("too-large"));
        assert_eq!(letter.header("Tidewheel-Cut-From"), Some(reply.len().to_string().as_str()));
        assert!(letter.payload.len() > 1_000 && reply.starts_with(&letter.payload));
    }
    server.kill().await;
}

/// A dead letter was cut for a server that takes a megabyte, and ended the worker on any other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_that_is_too_large_is_cut_and_says_how_much_there_was() {
    let folder = tempfile::tempdir().unwrap();
    let server = SmallServer::start(folder.path(), LIMIT).await;
    let bus = server.connect().await;
    let pipeline = pipeline("intent");
    let run = start(&pipeline, &bus).await;
    let good = json!({"user_id": 1, "item_id": 2, "category_id": 1, "behavior": "pv", "ts": 1_511_658_000});
    let bad = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2)).into_bytes();
    publish(&bus, "shop.behavior", [bad(20_000), bad(LIMIT), serde_json::to_vec(&good).unwrap()]).await;
    through(&run, &bus, &pipeline).await;
    assert_eq!(run.stats().snapshot().counts.counted, 1);
    run.stop().await.unwrap();
    let stream = output_spec(&pipeline).name;
    let letters = letters(&bus, &stream, &stored(&bus, &stream).await).await;
    let cut: Vec<Option<&str>> = letters.iter().map(|letter| letter.header("Tidewheel-Cut-From")).collect();
    assert_eq!(cut, [None, Some("24000")]);
    assert_eq!(&letters[0].payload[..], &bad(20_000)[..]);
    assert!(letters[1].payload.len() > LIMIT - 2_000 && bad(LIMIT).starts_with(&letters[1].payload));
    server.kill().await;
}

/// Markers and dead letters must have room: that is said at the start, and not when the first one is made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_next_to_nothing_is_refused_with_what_to_change() {
    for (limit, is_enough) in [(3_327, false), (3_328, true)] {
        let folder = tempfile::tempdir().unwrap();
        let server = SmallServer::start(folder.path(), limit).await;
        let bus = server.connect().await;
        let settings = tidewheel::engine::RunSettings::default();
        let started = tidewheel::engine::Run::start(pipeline("trends"), &bus, &settings).await;
        match started {
            Ok(run) if is_enough => run.stop().await.unwrap(),
            Err(error) if !is_enough => assert_eq!(
                error.to_string(),
                "the server takes 3071 bytes in an output, and a pipeline needs 3072 for its markers and dead letters: \
                 raise `max_payload` of the server"
            ),
            Ok(_) => panic!("started with {limit}"),
            Err(error) => panic!("{limit}: {error}"),
        }
        tokio::time::timeout(Duration::from_secs(10), server.kill()).await.unwrap();
    }
}
