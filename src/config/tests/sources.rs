//! Streams that are somebody else's: what of them can be set, and what is theirs.

use super::*;
use crate::bus::JetStreamApi;

const STREAM: &str = "[streams.behavior]\n";
const LIMITS: &str = "retain = \"30 days\"\nmax_bytes = \"1 GiB\"\n";

/// A good pipeline whose stream has these settings first, and no limits.
fn with(settings: &str) -> String {
    GOOD.replace(LIMITS, "").replace(STREAM, &format!("{STREAM}{settings}\n"))
}

fn problems(settings: &str) -> Vec<String> {
    let read = Shop::new(settings).read();
    read.err().iter().flatten().map(|problem| problem.message.clone()).collect()
}

#[test]
fn a_source_is_in_our_account_in_a_domain_or_in_another_account() {
    for (settings, expected) in [
        ("source = \"EVENTS\"", JetStreamApi::Own),
        ("source = \"EVENTS\"\ndomain = \"hub\"", JetStreamApi::Domain("hub".to_owned())),
        ("source = \"EVENTS\"\napi_prefix = \"JS.shop.API\"", JetStreamApi::Prefix("JS.shop.API".to_owned())),
    ] {
        let folder = Shop::new(&with(settings)).read().unwrap();
        let stream = &folder.settings.streams["behavior"];
        assert_eq!((stream.found_in(), stream.held_in(String::new)), (Some(expected), "EVENTS".to_owned()));
    }
    let folder = Shop::new(&with("stream = \"SHOP\"")).read().unwrap();
    let stream = &folder.settings.streams["behavior"];
    assert_eq!((stream.found_in(), stream.held_in(String::new)), (None, "SHOP".to_owned()));
}

#[test]
fn what_is_somebody_elses_to_say_is_not_said() {
    let reads = "stream `behavior` reads `EVENTS`";
    for (settings, expected) in [
        ("domain = \"hub\"", "stream `behavior` has `domain` and no `source`".to_owned()),
        ("api_prefix = \"JS.shop.API\"", "stream `behavior` has `api_prefix` and no `source`".to_owned()),
        (
            "source = \"EVENTS\"\ndomain = \"hub\"\napi_prefix = \"JS.shop.API\"",
            "stream `behavior` has both `domain` and `api_prefix`".to_owned(),
        ),
        (
            "source = \"EVENTS\"\nstream = \"SHOP\"",
            format!("{reads}, and says what the stream is called that it makes"),
        ),
        ("source = \"EVENTS\"\nretain = \"1d\"", format!("{reads}, which is somebody else's, and has `retain`")),
        ("source = \"EVENTS\"\nmax_bytes = 5", format!("{reads}, which is somebody else's, and has `max_bytes`")),
    ] {
        assert_eq!(problems(&with(settings)), [expected], "{settings}");
    }
    insta::assert_snapshot!(Shop::new(&with("source = \"shop.events\"")).problems(), @r#"
    pipelines/intent/pipeline.toml:5:10: "shop.events" can't name a stream
       5 | source = "shop.events"
         |          ^
      help: write what the server calls it: no white space, none of `.*>/\`, at most 255 bytes
    "#);
}

#[test]
fn streams_that_are_read_from_different_places_may_have_the_same_subjects() {
    let two = |first: &str, second: &str| {
        let stream = |name: &str, source: &str| {
            format!(
                "\n[streams.{name}]\n{source}\nsubjects = [\"shop.>\"]\ncontract = \"schemas/behavior.json\"\ntime = \"ts\"\n"
            )
        };
        problems(&format!("name = \"intent\"\n{}{}", stream("a", first), stream("b", second)))
    };
    assert_eq!(two("source = \"ONE\"", "source = \"TWO\""), Vec::<String>::new());
    assert_eq!(two("source = \"ONE\"", "source = \"ONE\"\ndomain = \"hub\""), Vec::<String>::new());
    let overlap = "subject `shop.>` of stream `b` overlaps `shop.>` of stream `a`";
    assert_eq!(two("source = \"ONE\"", "source = \"ONE\""), [overlap]);
    assert_eq!(two("", ""), [overlap]);
    // All of a stream that is there, also where the pipeline's own subjects would be.
    let everything = with("source = \"EVENTS\"").replace(r#"["shop.behavior", "app.*.behavior"]"#, r#"[">"]"#);
    assert_eq!(problems(&everything), Vec::<String>::new());
}
