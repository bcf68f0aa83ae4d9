//! A proxy between a worker and its broker that does to their connections what networks do.
//!
//! ```text
//!   worker ──▶ proxy ──▶ broker        clear      bytes pass
//!                │                     slow       each read waits, and few bytes pass a second
//!             weather                  stalled    nothing passes, nothing is lost: a cable that is plugged in again
//!                                      swallowed  bytes are taken and lost, nobody is told: a gateway that forgot
//!                                      cut        both sides see an orderly end (FIN)
//!                                      reset      both sides see a reset (RST)
//!                                      refused    both sides see an orderly end, and so does whoever comes
//! ```

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidewheel::bus::StreamSequence;
use tidewheel::pipeline::output_spec;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::alone;
use super::compare::compare;
use super::producer::Producer;
use super::site::{Site, patiently};
use super::worker::Start;

/// What happens to bytes on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    Clear,
    Slow { delay: Duration, bytes_per_second: u64 },
    Stalled,
    Swallowed,
    Refused,
}

/// How connections end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Cut,
    Reset,
}

#[derive(Debug, Clone, Copy)]
struct Orders {
    weather: Weather,
    /// Connections that were made before this many ends are over.
    ends: u64,
    how: End,
    /// Connections that were made before so many times of forgetting are swallowed for good.
    forgotten: u64,
}

/// A running proxy. Dropping it cuts everything.
pub struct Proxy {
    port: u16,
    orders: watch::Sender<Orders>,
    _listening: JoinSet<()>,
}

impl Proxy {
    /// In front of an address such as `nats://127.0.0.1:4222`.
    pub async fn start(url: &str) -> Self {
        let address = url.trim_start_matches("nats://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (orders, watched) =
            watch::channel(Orders { weather: Weather::Clear, ends: 0, how: End::Cut, forgotten: 0 });
        let mut listening = JoinSet::new();
        listening.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(connect(client, address.clone(), watched.clone()));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { port, orders, _listening: listening }
    }

    /// Where workers connect.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// From now on. What was swallowed is lost, so connections that lost something end when others pass again.
    pub fn set(&self, weather: Weather) {
        self.orders.send_modify(|orders| {
            if weather == Weather::Refused || orders.weather == Weather::Swallowed {
                orders.ends += 1;
                orders.how = if weather == Weather::Refused { End::Cut } else { End::Reset };
            }
            orders.weather = weather;
        });
    }

    /// Swallows what goes over the connections that there are, for ever; new ones pass.
    pub fn forget(&self) {
        self.orders.send_modify(|orders| orders.forgotten += 1);
    }

    /// Ends all connections that there are.
    pub fn end(&self, how: End) {
        self.orders.send_modify(|orders| {
            orders.ends += 1;
            orders.how = how;
        });
    }
}

/// Carries bytes both ways until one side ends, or is told to.
async fn connect(client: TcpStream, address: String, mut orders: watch::Receiver<Orders>) {
    let known = orders.borrow().ends;
    if orders.borrow().weather == Weather::Refused {
        return;
    }
    let Ok(server) = TcpStream::connect(address).await else { return };
    // Many small messages, as the program itself sends them.
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (mut client_reads, mut client_writes) = client.into_split();
    let (mut server_reads, mut server_writes) = server.into_split();
    let how = tokio::select! {
        () = carry(&mut client_reads, &mut server_writes, orders.clone()) => End::Cut,
        () = carry(&mut server_reads, &mut client_writes, orders.clone()) => End::Cut,
        ended = orders.wait_for(|orders| orders.ends > known) => ended.map_or(End::Cut, |orders| orders.how),
    };
    if how == End::Reset {
        let both = [client_reads.reunite(client_writes).unwrap(), server_reads.reunite(server_writes).unwrap()];
        both.iter().for_each(|side| side.set_zero_linger().unwrap());
    }
}

async fn carry(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf, mut orders: watch::Receiver<Orders>) {
    let mut buffer = vec![0; 64 << 10];
    let known = orders.borrow().forgotten;
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        // While it is stalled, nothing goes on; what comes then decides.
        let Ok(now) = orders.wait_for(|orders| orders.weather != Weather::Stalled).await.map(|orders| *orders) else {
            return;
        };
        let written = match now.weather {
            _ if now.forgotten > known => Ok(()),
            Weather::Swallowed => Ok(()),
            Weather::Slow { delay, bytes_per_second } => {
                let time = delay + Duration::from_secs_f64(count as f64 / bytes_per_second as f64);
                tokio::time::sleep(time).await;
                to.write_all(&buffer[..count]).await
            }
            _ => to.write_all(&buffer[..count]).await,
        };
        if written.is_err() {
            return;
        }
    }
}

/// Messages a second.
const RATE: u64 = 400;

/// One thing after another that networks do, in an order of the seed; some of them again.
fn plan(random: &mut ChaCha8Rng, count: usize) -> Vec<(Option<Weather>, Option<End>, u64)> {
    let slow = |delay, bytes_per_second| Weather::Slow { delay: Duration::from_millis(delay), bytes_per_second };
    let kinds = [
        (None, Some(End::Cut), 0),
        (None, Some(End::Reset), 0),
        (Some(slow(30, 2_000_000)), None, 1_500),
        (Some(slow(0, 60_000)), None, 1_500),
        (Some(Weather::Stalled), None, 1_500),
        (Some(Weather::Stalled), None, 7_000),
        (Some(Weather::Swallowed), Some(End::Reset), 1_000),
        (Some(Weather::Refused), None, 700),
    ];
    let mut left: Vec<_> = kinds.into_iter().cycle().take(count).collect();
    let mut plan = Vec::new();
    while !left.is_empty() {
        plan.push(left.swap_remove(random.random_range(0..left.len())));
    }
    plan
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_network_does_everything_is_there_exactly_once() {
    let _alone = alone().await;
    let mut site = Site::new().await;
    let direct = site.url.clone();
    let proxy = Proxy::start(&direct).await;
    site.url = proxy.url();
    let seed = super::number("SEED", 1);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let producer = Producer::start(&site.bus, seed, RATE).await;
    let mut worker = site.start(&Start::default());
    site.runs(&mut worker).await;
    for (weather, end, lasts_ms) in plan(&mut random, super::number("NETWORK_FAULTS", 16) as usize) {
        let calm = random.random_range(50..600);
        tokio::time::sleep(Duration::from_millis(calm)).await;
        if let Some(weather) = weather {
            proxy.set(weather);
            tokio::time::sleep(Duration::from_millis(lasts_ms)).await;
            proxy.set(Weather::Clear);
        } else if let Some(end) = end {
            proxy.end(end);
        }
        worker.must_run();
    }
    let sent = producer.finish().await;
    site.caught_up(&mut worker).await;
    worker.stop().await;
    site.url = direct;
    let report = compare(&site, sent).await;
    println!("{report:?}");
    report.must_be_clean();
    site.close().await;
}

/// A connection over which nothing comes and nothing goes, and that nobody ends: only asking now and then finds it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_dead_without_a_word_is_given_up_soon() {
    let _alone = alone().await;
    let mut site = Site::new().await;
    let direct = site.url.clone();
    let proxy = Proxy::start(&direct).await;
    site.url = proxy.url();
    let producer = Producer::start(&site.bus, 2, RATE).await;
    let mut worker = site.start(&Start::default());
    site.runs(&mut worker).await;
    let output = output_spec(&site.pipeline).name;
    // New connections would pass, if the worker only made one.
    proxy.forget();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let silent = site.bus.stream_state(&output).await.unwrap().last;
    let began = std::time::Instant::now();
    patiently("the worker to make another connection", async || {
        worker.must_run();
        let last = site.bus.stream_state(&output).await.ok()?.last;
        (last > StreamSequence(silent.0 + 100)).then_some(())
    })
    .await;
    println!("given up after {:?}", began.elapsed());
    let sent = producer.finish().await;
    site.caught_up(&mut worker).await;
    worker.stop().await;
    site.url = direct;
    let report = compare(&site, sent).await;
    report.must_be_clean();
    site.close().await;
}
