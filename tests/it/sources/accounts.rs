//! Streams of another account and of a domain.

use std::path::Path;
use std::process::Stdio;

use tidewheel::bus::{ConnectSettings, ServerBinary};
use tokio::process::{Child, Command};

use super::*;

/// A shop and a team, each with an account of its own on one server; the team imports the shop's JetStream.
const ACCOUNTS: &str = r#"
accounts {
  SHOP: {
    jetstream: enabled, users: [{user: shop, password: pass}]
    exports: [{service: "$JS.API.>", response_type: stream}]
  }
  TEAM: {
    jetstream: enabled, users: [{user: team, password: pass}]
    imports: [{service: {account: SHOP, subject: "$JS.API.>"}, to: "JS.shop.API.>"}]
  }
}
"#;

/// A server with these settings, and its address without a user.
async fn server_with(folder: &Path, settings: &str) -> (Child, String) {
    let path = folder.display();
    let configuration = format!(
        "listen: \"127.0.0.1:-1\"\nports_file_dir: \"{path}\"\njetstream {{ store_dir: \"{path}\", domain: hub }}\n{settings}\n"
    );
    fs::write(folder.join("server.conf"), configuration).unwrap();
    let mut command = Command::new(ServerBinary::find().unwrap().path());
    let command = command.arg("-c").arg(folder.join("server.conf")).stderr(Stdio::null()).kill_on_drop(true);
    let server = command.spawn().unwrap();
    let ports = folder.join(format!("nats-server_{}.ports", server.id().unwrap()));
    let url = until("the server to listen", async || {
        let text = fs::read_to_string(&ports).ok()?;
        let written: Value = serde_json::from_str(&text).ok()?;
        Some(written["nats"][0].as_str()?.trim_start_matches("nats://").to_owned())
    });
    let url = url.await;
    (server, url)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_another_account_is_read_through_the_import_of_its_api() {
    let folder = tempfile::tempdir().unwrap();
    let (mut server, address) = server_with(folder.path(), ACCOUNTS).await;
    let shop = async_nats::ConnectOptions::with_user_and_password("shop".to_owned(), "pass".to_owned());
    let shop = jetstream::new(shop.connect(&address).await.unwrap());
    shop.create_stream(events()).await.unwrap();
    let publish = async |ids: Range<u64>| {
        for id in ids {
            let subject = if id % 2 == 0 { "shop.clicks" } else { "shop.orders" };
            shop.publish(subject, event(id).into()).await.unwrap().await.unwrap();
        }
    };
    publish(0..20).await;

    let team = Team::without_stream().await;
    let pipeline = team.pipeline("own", "source = \"EVENTS\"\napi_prefix = \"JS.shop.API\"");
    let bus = Bus::connect(&ConnectSettings::to_url(format!("nats://team:pass@{address}"))).await.unwrap();
    for counted in [10, 15] {
        let snapshots = Some(Location::folder(folder.path().join("snapshots")));
        let settings = RunSettings { version: "0.0.1".to_owned(), snapshots, ..RunSettings::default() };
        let run = Run::start(Arc::clone(&pipeline), &bus, &settings).await.unwrap();
        stopped_after(run, counted).await;
        publish(20..30).await;
    }
    assert!(bus.stream_state("OWN_OUT").await.unwrap().messages > 0, "outputs are in the team's own account");
    let names: Vec<String> = shop.stream_names().map(Result::unwrap).collect().await;
    assert_eq!(names, ["EVENTS"]);

    // Nobody answers behind another prefix, and the team has no such stream itself.
    for (settings, reason) in [
        ("source = \"EVENTS\"\napi_prefix = \"JS.other.API\"", "nobody answers for streams in the account behind"),
        ("source = \"EVENTS\"", "there is no stream \"EVENTS\" in our own account"),
    ] {
        let pipeline = team.pipeline("other", settings);
        let error = Run::start(pipeline, &bus, &RunSettings::default()).await.err().unwrap().to_string();
        assert!(error.contains(reason), "{error}");
    }
    server.kill().await.unwrap();
    team.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_read_through_the_domain_that_it_is_in() {
    let folder = tempfile::tempdir().unwrap();
    let (mut server, address) = server_with(folder.path(), "").await;
    let url = format!("nats://{address}");
    let js = jetstream::new(async_nats::connect(&url).await.unwrap());
    js.create_stream(events()).await.unwrap();
    for id in 0..6 {
        js.publish("shop.clicks", event(id).into()).await.unwrap().await.unwrap();
    }
    let team = Team::without_stream().await;
    let bus = Bus::connect(&ConnectSettings::to_url(url)).await.unwrap();
    let start = async |domain: &str| {
        let pipeline = team.pipeline("own", &format!("source = \"EVENTS\"\ndomain = \"{domain}\""));
        Run::start(pipeline, &bus, &RunSettings::default()).await
    };
    stopped_after(start("hub").await.unwrap(), 6).await;
    let error = start("leaf").await.err().unwrap().to_string();
    assert!(error.contains("nobody answers for streams in the domain \"leaf\""), "{error}");
    server.kill().await.unwrap();
    team.stop().await;
}
