//! Good folders, and what is around a bad one.

use std::env;
use std::time::Duration;

use toml::Spanned;

use super::*;
use crate::config::stream::{Late, TimeUnit};
use crate::config::subject::Subject;

#[test]
fn a_good_folder_is_read_in_full() {
    let shop = Shop::new(GOOD);
    shop.write("pipelines/intent/features/notes.md", "not SQL");
    shop.write("pipelines/intent/features/.#user_activity.sql", "an editor's");
    shop.write("pipelines/intent/tests/late.toml", "");
    shop.write("pipelines/intent/tests/counts.toml", "");
    let folder = shop.read().unwrap();

    let features: Vec<_> = folder.features.iter().map(|f| (f.name.as_str(), f.source.text.as_str())).collect();
    assert_eq!(features, [("item_trend", "SELECT 2"), ("user_activity", "SELECT 1")]);
    assert_eq!(folder.vector.as_ref().unwrap().text, "SELECT 3");
    assert_eq!(folder.cases, ["counts.toml", "late.toml"].map(|name| folder.path.join("tests").join(name)));

    let settings = &folder.settings;
    assert_eq!(settings.name.as_str(), "intent");
    assert_eq!(settings.table("user_activity").retention, Duration::from_secs(2 * 86_400));
    assert_eq!(settings.state_folder(), Path::new("/var/lib/intent"));
    let (stream, condition) = settings.trigger().unwrap();
    assert_eq!((stream.as_str(), condition.get_ref().as_str()), ("behavior", "behavior = 'pv'"));

    let stream = settings.streams.get("behavior").unwrap();
    let subjects: Vec<_> = stream.subjects.get_ref().iter().map(|subject| subject.get_ref().as_str()).collect();
    assert_eq!(subjects, ["shop.behavior", "app.*.behavior"]);
    assert_eq!(stream.contract.get_ref(), Path::new("schemas/behavior.json"));
    assert_eq!((stream.time.get_ref().as_str(), stream.time_unit), ("ts", TimeUnit::Seconds));
    let text = |field: &Option<Spanned<String>>| field.clone().map(Spanned::into_inner);
    assert_eq!((text(&stream.key).as_deref(), text(&stream.id).as_deref()), (Some("user_id"), Some("event_id")));
    assert_eq!((stream.remember_ids.get(), stream.max_depth.get()), (5_000, 4));
    assert_eq!((stream.disorder, stream.ahead), (Duration::ZERO, Duration::from_secs(120)));
    assert_eq!((stream.late, stream.earliest_micros), (Late::Drop, 1_483_228_800_000_000));
    assert_eq!((stream.max_event_bytes, stream.max_bytes()), (2_048, 1 << 30));
    assert_eq!(stream.retain(), Duration::from_secs(30 * 86_400));

    let model = settings.model.as_ref().unwrap();
    assert_eq!(model.graph.get_ref(), Path::new("model/intent.onnx"));
    assert_eq!(text(&model.output).as_deref(), Some("probability"));

    let score = settings.score.as_ref().unwrap();
    let subject = |field: &Option<Spanned<Subject>>| field.clone().unwrap().into_inner().to_string();
    assert_eq!((subject(&score.service), subject(&score.publish)), ("intent.score".into(), "intent.scored".into()));
    assert_eq!(score.request.as_ref().unwrap().get_ref(), Path::new("schemas/request.json"));
    assert_eq!(score.item.get_ref(), "item_id");
    assert_eq!((score.batch.rows.get(), score.batch.linger), (32, Duration::from_millis(1)));
    assert_eq!((score.queue.get(), score.max_items.get()), (16, 100));
}

#[test]
fn what_is_left_out_has_the_defaults_of_the_manual() {
    let shop = Shop::new(
        "name = 'n'\n[model]\ngraph = 'g.onnx'\n[score]\non = 'true'\n\
         [streams.s]\nsubjects = ['s']\ncontract = 'schemas/behavior.json'\ntime = 't'\n",
    );
    let settings = shop.read().unwrap().settings;
    let stream = settings.streams.get("s").unwrap();
    assert_eq!((stream.time_unit, stream.late), (TimeUnit::Milliseconds, Late::DeadLetter));
    assert_eq!((stream.disorder, stream.ahead), (Duration::from_secs(5), Duration::from_secs(60)));
    assert_eq!((stream.remember_ids.get(), stream.max_depth.get()), (1_000_000, 16));
    assert_eq!(stream.earliest_micros, 946_684_800_000_000);
    assert_eq!((stream.max_event_bytes, stream.max_bytes()), (65_536, 2_147_483_648));
    assert_eq!(stream.retain(), Duration::from_secs(7 * 86_400));
    let score = settings.score.as_ref().unwrap();
    assert_eq!(score.item.get_ref(), "item_id");
    assert_eq!((score.batch.rows.get(), score.batch.linger), (256, Duration::from_millis(2)));
    assert_eq!((score.queue.get(), score.max_items.get()), (1_024, 1_000));
    assert_eq!(settings.table("item_trend").retention, Duration::from_secs(30 * 86_400));
    assert_eq!(settings.state_folder(), Path::new(".state/n"));
    assert_eq!(settings.trigger().unwrap().0.as_str(), "s", "the only stream");
}

#[test]
fn a_pipeline_may_keep_features_and_score_nothing() {
    let shop = Shop::new(GOOD.split_once("[model]").unwrap().0);
    fs::remove_file(shop.path("pipelines/intent/vector.sql")).unwrap();
    let folder = shop.read().unwrap();
    assert!(folder.vector.is_none() && folder.settings.score.is_none() && folder.settings.trigger().is_none());
}

#[test]
fn a_folder_that_is_none_gets_the_ones_around_it() {
    let shop = Shop::new(GOOD);
    let refuse = |path: &str| {
        let problems = Folder::read(&shop.path(path)).unwrap_err().to_string();
        problems.replace(&format!("{}/", shop.root.path().display()), "")
    };
    insta::assert_snapshot!(refuse("pipelines/intnet"), @"
    pipelines/intnet: folder not found
      help: did you mean `pipelines/intent`?
    ");
    insta::assert_snapshot!(refuse("pipelines"), @"
    pipelines: no pipeline.toml in this folder
      help: pipelines found: `pipelines/intent`
    ");
    insta::assert_snapshot!(refuse("pipelines/intent/pipeline.toml"), @"
    pipelines/intent/pipeline.toml: not a folder
      help: name the folder: `pipelines/intent`
    ");
}

#[test]
fn contracts_are_found_in_the_folder_first_and_then_above_it() {
    let shop = Shop::new(GOOD);
    let folder = shop.read().unwrap();
    let relative = Path::new("schemas/behavior.json");
    let root = fs::canonicalize(shop.root.path()).unwrap();
    assert_eq!(folder.find_above(relative), Some(root.join(relative)));
    shop.write("pipelines/intent/schemas/behavior.json", "{}");
    assert_eq!(folder.find_above(relative), Some(root.join("pipelines/intent").join(relative)));
    assert_eq!(folder.find_above(Path::new("schemas/none.json")), None);
    assert_eq!(folder.find_above(Path::new("schemas")), None, "a folder is no contract");
}

#[test]
fn paths_are_shown_from_the_working_folder() {
    let here = env::current_dir().unwrap();
    let problems = Folder::read(&here.join("pipelines/nowhere-at-all")).unwrap_err();
    assert_eq!(problems.iter().next().unwrap().file, "pipelines/nowhere-at-all");
}

#[test]
fn spans_of_the_settings_lead_back_to_the_text() {
    let shop = Shop::new(GOOD);
    let folder = shop.read().unwrap();
    let (_, condition) = folder.settings.trigger().unwrap();
    let problem = folder.source.problem_at(condition.span(), "unknown column `behavior`");
    assert_eq!((problem.line, problem.column), (Some(33), Some(6)));
    let line = GOOD.lines().nth(32).unwrap();
    assert_eq!(line.find("\"behavior ="), Some(5));
}
