//! Three servers that keep everything three times: whoever leads is killed, whoever is in the minority is cut off.
//!
//! ```text
//!        worker, producer: know all three
//!          │        │        │
//!        one ◀────▶ two ◀──▶ three          streams with three replicas; one server leads each
//!          └──────────────────┘
//! ```

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use async_nats::jetstream;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rustix::process::{Pid, Signal, kill_process};
use tidewheel::bus::ServerBinary;
use tidewheel::pipeline::{input_spec, output_spec};

use super::alone;
use super::compare::compare;
use super::pipeline::Changes;
use super::producer::Producer;
use super::site::{Site, patiently};
use super::worker::Start;

const MEMBERS: [&str; 3] = ["one", "two", "three"];
/// Messages a second.
const RATE: u64 = 300;

/// Three processes, each with a folder and two ports of its own.
pub struct Cluster {
    members: Vec<Server>,
}

/// One process. Dropping it kills it.
pub struct Server {
    name: &'static str,
    configuration: PathBuf,
    port: u16,
    child: Child,
}

impl Server {
    /// Starts one with its files in `home` and its store in `store`. `more` goes into its configuration.
    pub fn start(name: &'static str, port: u16, home: &Path, store: &Path, more: &str) -> Self {
        std::fs::create_dir_all(home).unwrap();
        let configuration = home.join("server.conf");
        // Said here, because on a small disk the server would not promise a stream what it may fill.
        let text = format!(
            "server_name: {name}\nlisten: \"127.0.0.1:{port}\"\nlog_file: \"{home}/server.log\"\n\
             jetstream {{ store_dir: \"{store}\", max_file_store: 20GB, sync_interval: \"1s\" }}\n{more}",
            home = home.display(),
            store = store.display(),
        );
        std::fs::write(&configuration, text).unwrap();
        let child = spawn(&configuration);
        Self { name, configuration, port, child }
    }

    /// Where clients connect.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id() as i32).unwrap(), signal).unwrap();
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.child.wait().unwrap();
    }

    /// Starts it again, after it has ended.
    pub fn restart(&mut self) {
        self.child = spawn(&self.configuration);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Ports that nobody listens on; all are held until all are found.
pub fn free_ports<const COUNT: usize>() -> [u16; COUNT] {
    let held = [(); COUNT].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.each_ref().map(|listener| listener.local_addr().unwrap().port())
}

impl Cluster {
    /// Starts three servers with their stores in a folder; they are ready for streams when this returns.
    pub async fn start(folder: &Path) -> Self {
        let clients: [u16; 3] = free_ports();
        let routes: [u16; 3] = free_ports();
        let peers: Vec<String> = routes.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        let mut members = Vec::new();
        for ((name, port), route) in MEMBERS.into_iter().zip(clients).zip(routes) {
            let home = folder.join(name);
            let more =
                format!("cluster {{ name: faults, listen: \"127.0.0.1:{route}\", routes: [{}] }}\n", peers.join(", "));
            members.push(Server::start(name, port, &home, &home, &more));
        }
        let cluster = Self { members };
        // Streams can be made once there is a leader of all, and every member has been heard of.
        patiently("the cluster to be ready", async || {
            let client = async_nats::connect(cluster.urls()).await.ok()?;
            let context = jetstream::new(client);
            let config = jetstream::stream::Config { num_replicas: 3, .."TRIAL".into() };
            context.create_stream(config).await.ok()?;
            context.delete_stream("TRIAL").await.ok()
        })
        .await;
        cluster
    }

    /// The addresses of all members.
    pub fn urls(&self) -> Vec<String> {
        self.members.iter().map(Server::url).collect()
    }

    fn index(&self, name: &str) -> usize {
        self.members.iter().position(|member| member.name == name).unwrap()
    }

    /// Who leads a stream, asked of the members one after the other until somebody knows.
    async fn leader(&self, stream: &str) -> usize {
        let name = patiently("a leader", async || self.info(stream).await?.cluster?.leader).await;
        self.index(&name)
    }

    /// Waits until all members hold all of a stream.
    async fn whole(&self, stream: &str) {
        patiently("all members to have all of a stream", async || {
            let cluster = self.info(stream).await?.cluster?;
            let is_whole = cluster.leader.is_some()
                && cluster.replicas.len() == MEMBERS.len() - 1
                && cluster.replicas.iter().all(|replica| replica.current && !replica.offline);
            is_whole.then_some(())
        })
        .await;
    }

    async fn info(&self, stream: &str) -> Option<jetstream::stream::Info> {
        let connected = tokio::time::timeout(Duration::from_secs(2), async_nats::connect(self.urls())).await;
        let mut context = jetstream::new(connected.ok()?.ok()?);
        context.set_timeout(Duration::from_secs(2));
        Some(context.get_stream(stream).await.ok()?.cached_info().clone())
    }
}

fn spawn(configuration: &Path) -> Child {
    let mut command = Command::new(ServerBinary::find().unwrap().path());
    command.arg("-c").arg(configuration).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// A site over a cluster; the folder of both goes with the site.
async fn site() -> (Site, Cluster) {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(&folder.path().join("cluster")).await;
    let changes = Changes { replicas: 3, ..Changes::default() };
    let site = Site::at(folder, None, cluster.urls().join(","), &changes).await;
    (site, cluster)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaders_that_are_killed_and_members_that_are_cut_off_cost_nothing() {
    let _alone = alone().await;
    let (mut site, mut cluster) = site().await;
    let seed = super::number("SEED", 1);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let output = output_spec(&site.pipeline).name;
    let inputs: Vec<String> =
        site.pipeline.streams.iter().map(|stream| input_spec(&site.pipeline, stream).name).collect();
    let state = site.bus.stream_state(&output).await.unwrap();
    assert_eq!(state.replicas, 3);
    let producer = Producer::start(&site.bus, seed, RATE).await;
    let mut worker = site.start(&Start::default());
    site.runs(&mut worker).await;
    for kill in 0..super::number("LEADER_KILLS", 5) {
        tokio::time::sleep(Duration::from_millis(random.random_range(200..1_500))).await;
        let leader = cluster.leader(&output).await;
        let began = Instant::now();
        cluster.members[leader].kill();
        if kill % 2 == 0 {
            // It is back before anybody else has taken over.
            tokio::time::sleep(Duration::from_millis(50)).await;
            cluster.members[leader].restart();
            worker.must_run();
            site.runs(&mut worker).await;
        } else {
            // Two servers are enough, for a worker that begins as well.
            tokio::time::sleep(Duration::from_millis(500)).await;
            worker.kill().await;
            worker = site.start(&Start::default());
            site.runs(&mut worker).await;
            cluster.members[leader].restart();
        }
        println!("leader {} killed: commits again after {:?}", MEMBERS[leader], began.elapsed());
        for stream in inputs.iter().chain([&output]) {
            cluster.whole(stream).await;
        }
    }
    // A leader that is paused comes back believing that it still leads.
    for round in 0..2 {
        let paused = match round {
            0 => cluster.leader(&output).await,
            _ => (cluster.leader(&output).await + 1) % MEMBERS.len(),
        };
        cluster.members[paused].signal(Signal::STOP);
        tokio::time::sleep(Duration::from_secs(10)).await;
        worker.must_run();
        cluster.members[paused].signal(Signal::CONT);
        site.runs(&mut worker).await;
        for stream in inputs.iter().chain([&output]) {
            cluster.whole(stream).await;
        }
    }
    let sent = producer.finish().await;
    site.caught_up(&mut worker).await;
    worker.stop().await;
    // One address is enough to read it all.
    site.url = cluster.urls().remove(0);
    let report = compare(&site, sent).await;
    println!("{report:?}");
    report.must_be_clean();
    site.close().await;
}
