//! Requests come in, replies go out, also where they are too large or too many.

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;
use crate::bus::testing;

const PATIENCE: Duration = Duration::from_secs(10);

fn spec() -> ServiceSpec {
    let endpoint =
        |name: &str, subject: &str| EndpointSpec { name: name.to_owned(), subject: Subject::new(subject).unwrap() };
    ServiceSpec {
        name: "recommend".to_owned(),
        version: "0.1.0".to_owned(),
        description: "ranks items".to_owned(),
        endpoints: vec![endpoint("score", "recommend.score"), endpoint("sql", "recommend.sql")],
    }
}

async fn ask(bus: &Bus, subject: &str, payload: &'static str) -> Result<Bytes, BusError> {
    bus.request(&Subject::new(subject).unwrap(), payload.into(), PATIENCE).await
}

#[tokio::test]
async fn requests_to_every_endpoint_are_answered_and_errors_arrive_as_errors() {
    let (server, bus) = testing::server().await;
    let mut service = bus.serve(spec(), 8).await.unwrap();
    let serve = async {
        for _ in 0..2 {
            let request = service.next().await.unwrap();
            let reply = match request.subject.as_str() {
                "recommend.score" => Ok(request.payload.clone()),
                _ => Err(ServiceError { code: 400, message: "no such\r\ntable".to_owned() }),
            };
            request.respond(reply).await.unwrap();
        }
    };
    let asked = async { (ask(&bus, "recommend.score", "x").await, ask(&bus, "recommend.sql", "y").await) };
    let ((score, sql), ()) = tokio::join!(asked, serve);
    assert_eq!(&score.unwrap()[..], b"x");
    assert_eq!(sql.unwrap_err().to_string(), "recommend.sql answered 400: no such  table");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_compressed_request_is_unpacked_and_one_that_can_t_be_is_told_so() {
    let (server, bus) = testing::server().await;
    let mut service = bus.serve(spec(), 8).await.unwrap();
    let serve = async {
        for _ in 0..2 {
            let request = service.next().await.unwrap();
            let payload = request.payload.clone();
            request.respond(Ok(payload.len().to_string().into())).await.unwrap();
        }
    };
    let pack = |bytes: usize| zstd::stream::encode_all(&vec![b' '; bytes][..], 3).unwrap();
    let ask = async |encoding: &str, payload: Vec<u8>| {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Content-Encoding", encoding);
        let asked = bus.client().request_with_headers("recommend.score", headers, payload.into());
        String::from_utf8(asked.await.unwrap().payload.to_vec()).unwrap()
    };
    let asked = async {
        let most = MOST_REQUEST_BYTES;
        [
            ask("zstd", pack(7)).await,
            ask("zstd", pack(most)).await,
            ask("zstd", pack(most + 1)).await,
            ask("br", vec![1]).await,
        ]
    };
    let (answers, ()) = tokio::join!(asked, serve);
    assert_eq!([answers[0].as_str(), answers[1].as_str()], ["7", "1048576"]);
    insta::assert_snapshot!(answers[2..].join("\n"), @r#"
    {"error":{"code":400,"message":"expected at most 1048576 bytes when unpacked, got more: send fewer events at once"}}
    {"error":{"code":400,"message":"content encoding \"br\" is not known: send gzip, zstd or snappy, or none"}}
    "#);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn an_error_has_a_body_and_is_counted_once() {
    let (server, bus) = testing::server().await;
    let mut service = bus.serve(spec(), 8).await.unwrap();
    let refuse = async {
        for code in [400, 422] {
            let error = ServiceError { code, message: "no such\nitem".to_owned() };
            service.next().await.unwrap().respond(Err(error)).await.unwrap();
        }
    };
    let asked = async {
        let payloads = [r#"{"request_id":"r1"}"#, "r2"];
        [ask(&bus, "recommend.score", payloads[0]).await, ask(&bus, "recommend.score", payloads[1]).await]
    };
    let (asked, ()) = tokio::join!(asked, refuse);
    let bodies = asked.map(|answer| match answer {
        Err(BusError::Refused { code, message, body, .. }) => {
            (code, message, String::from_utf8_lossy(&body).into_owned())
        }
        other => panic!("{other:?}"),
    });
    let [named, unnamed] = [",\"request_id\":\"r1\"", ""];
    let body = |code: u16, id: &str| format!(r#"{{"error":{{"code":{code},"message":"no such\nitem"{id}}}}}"#);
    let text = || "no such item".to_owned();
    assert_eq!(bodies, [(400, text(), body(400, named)), (422, text(), body(422, unnamed))]);

    let stats: Value = serde_json::from_slice(&ask(&bus, "$SRV.STATS.recommend", "").await.unwrap()).unwrap();
    let endpoints = stats["endpoints"].as_array().unwrap();
    let score = endpoints.iter().find(|endpoint| endpoint["name"] == "score").unwrap();
    let counted = ["num_requests", "num_errors", "last_error"].map(|name| score[name].clone());
    assert_eq!(counted, [Value::from(2), Value::from(2), Value::from("422:no such item")]);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_full_queue_answers_busy_at_once() {
    let (server, bus) = testing::server().await;
    let mut service = bus.serve(spec(), 1).await.unwrap();
    let mut asked: futures::stream::FuturesUnordered<_> =
        ["a", "b", "c"].into_iter().map(|payload| ask(&bus, "recommend.score", payload)).collect();
    // Nobody takes requests: one waits in the queue, the others are turned away.
    for _ in 0..2 {
        let error = asked.next().await.unwrap().unwrap_err();
        assert!(matches!(error, BusError::Refused { code: 503, .. }), "{error}");
    }
    let waiting = service.next().await.unwrap();
    waiting.respond(Ok("done".into())).await.unwrap();
    assert_eq!(&asked.next().await.unwrap().unwrap()[..], b"done");
    assert_eq!(service.replies().counts().codes, BTreeMap::from([(200, 1), (503, 2)]));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_reply_that_does_not_fit_becomes_an_error_for_both_sides() {
    let (server, bus) = testing::server().await;
    let mut service = bus.serve(spec(), 1).await.unwrap();
    let answer = async { service.next().await.unwrap().respond(Ok(vec![0; 2 << 20].into())).await };
    let (asked, answered) = tokio::join!(ask(&bus, "recommend.score", "a"), answer);
    insta::assert_snapshot!(asked.unwrap_err(), @"recommend.score answered 413: the reply has 2097152 bytes, and the server takes 1048576 in a message: ask for less at once, or raise `max_payload` of the server");
    assert!(matches!(answered, Err(BusError::TooLarge { bytes: 2_097_152, .. })), "{answered:?}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_largest_reply_arrives_and_one_byte_more_is_an_error_that_says_so() {
    let (server, bus) = testing::server_with("max_payload: 10000").await;
    let mut service = bus.serve(spec(), 1).await.unwrap();
    for (bytes, expected) in [(10_000, Ok(10_000)), (10_001, Err(413)), (10_000, Ok(10_000))] {
        let answer = async {
            let request = service.next().await.unwrap();
            assert_eq!(request.most_bytes(), 10_000);
            request.respond(Ok(vec![0; bytes].into())).await
        };
        let (asked, answered) = tokio::join!(ask(&bus, "recommend.score", "a"), answer);
        let found = asked.map(|reply| reply.len()).map_err(|error| match error {
            BusError::Refused { code, .. } => code,
            other => panic!("{other}"),
        });
        assert_eq!((found, answered.is_ok()), (expected, bytes == 10_000));
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_long_text_of_an_error_is_cut_and_arrives() {
    let (server, bus) = testing::server_with("max_payload: 10000").await;
    let mut service = bus.serve(spec(), 1).await.unwrap();
    let error = ServiceError { code: 400, message: "ä".repeat(20_000) };
    let answer = async { service.next().await.unwrap().respond(Err(error)).await };
    let (asked, answered) = tokio::join!(ask(&bus, "recommend.score", "a"), answer);
    answered.unwrap();
    let Err(BusError::Refused { code: 400, message, .. }) = asked else { panic!("{asked:?}") };
    assert_eq!(message, format!("{}...", "ä".repeat(2_048)));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn tools_see_the_service_and_its_statistics() {
    let (server, bus) = testing::server().await;
    let mut service = bus.serve(spec(), 1).await.unwrap();
    let answer = async { service.next().await.unwrap().respond(Ok(Bytes::new())).await.unwrap() };
    let (asked, ()) = tokio::join!(ask(&bus, "recommend.score", "a"), answer);
    asked.unwrap();

    let ping: Value = serde_json::from_slice(&ask(&bus, "$SRV.PING", "").await.unwrap()).unwrap();
    assert_eq!(ping["name"], "recommend");
    let stats: Value = serde_json::from_slice(&ask(&bus, "$SRV.STATS.recommend", "").await.unwrap()).unwrap();
    let endpoints = stats["endpoints"].as_array().unwrap();
    let score = endpoints.iter().find(|endpoint| endpoint["name"] == "score").unwrap();
    assert_eq!((endpoints.len(), &score["num_requests"]), (2, &Value::from(1)));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_stopped_service_still_hands_out_what_waited() {
    let (server, bus) = testing::server().await;
    let mut service = bus.serve(spec(), 4).await.unwrap();
    let asked = ask(&bus, "recommend.score", "late");
    let serve = async {
        let first = service.next().await.unwrap();
        service.stop().await;
        first.respond(Ok("answered".into())).await.unwrap();
        assert!(service.next().await.is_none());
    };
    let (reply, ()) = tokio::join!(asked, serve);
    assert_eq!(&reply.unwrap()[..], b"answered");
    let error = ask(&bus, "recommend.score", "too late").await.unwrap_err();
    assert!(matches!(error, BusError::NoResponders { .. }), "{error}");
    server.stop().await.unwrap();
}
