//! `[labels]` and `[train]`.

use std::time::Duration;

use toml::Spanned;

use super::*;
use crate::config::{
    optimizer::Optimizer,
    train::{Loss, Metric, Promote, Train},
};

const LEAST: &str = "name = 'n'\n[model]\ngraph = 'g.onnx'\n[score]\non = 'true'\n\
     [streams.s]\nsubjects = ['s']\ncontract = 'schemas/behavior.json'\ntime = 't'\n\
     [labels]\njoin = ['id']\npositive = 'true'\n[train]\n";

fn train(keys: &str) -> Train {
    Shop::new(&format!("{LEAST}{keys}\n")).read().unwrap().settings.train.unwrap()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn labels_and_training_are_read_in_full() {
    let settings = Shop::new(GOOD).read().unwrap().settings;
    let (stream, labels) = settings.feedback().unwrap();
    assert_eq!(stream.as_str(), "behavior");
    let join: Vec<_> = labels.join.iter().map(Spanned::get_ref).collect();
    assert_eq!(join, ["user_id", "item_id"]);
    assert_eq!(labels.positive.get_ref(), "behavior = 'buy'");
    assert_eq!(labels.position.as_ref().unwrap().get_ref(), "shown_place");
    assert_eq!((labels.window, labels.retain), (seconds(3_600), seconds(2 * 86_400)));
    assert_eq!((labels.negatives, labels.max_rows.get(), labels.max_bytes), (0.1, 5_000, 64_000_000));

    let train = settings.train.as_ref().unwrap();
    assert_eq!(train.optimizer, Optimizer::Sgd { learning_rate: 0.05, momentum: 0.9, nesterov: true });
    assert_eq!((train.loss, train.dropout), (Loss::MeanSquaredError, false));
    assert_eq!((train.batch.get(), train.linger), (64, Duration::ZERO));
    assert_eq!((train.replay, train.replay_share, train.clip_norm), (0, 0.25, Some(1.0)));
    let freeze: Vec<_> = train.freeze.iter().map(Spanned::get_ref).collect();
    assert_eq!(freeze, ["normalise.*", "embedding"]);
    assert_eq!(train.unfreeze.first().map(Spanned::get_ref).map(String::as_str), Some("temperature"));
    assert_eq!((train.checkpoint, train.keep.get(), train.threads.get()), (seconds(60), 3, 2));
    let hundred = 100.try_into().unwrap();
    assert_eq!(
        train.promote,
        Promote {
            every: seconds(5),
            metric: Metric::LogLoss,
            holdout: hundred,
            tolerance: 0.0,
            least_positives: hundred,
            label_rate_jump: 1.5
        }
    );
}

#[test]
fn what_is_left_out_of_learning_has_the_defaults_of_the_manual() {
    let settings = Shop::new(LEAST).read().unwrap().settings;
    let (stream, labels) = settings.feedback().unwrap();
    assert_eq!(stream.as_str(), "s", "the only stream");
    assert!(labels.position.is_none());
    assert_eq!((labels.window, labels.retain), (seconds(15 * 60), seconds(7 * 86_400)));
    assert_eq!((labels.negatives, labels.max_rows.get(), labels.max_bytes), (1.0, 1_000_000, 512_000_000));
    let train = settings.train.as_ref().unwrap();
    assert_eq!(train.optimizer, Optimizer::default());
    assert_eq!((train.loss, train.dropout), (Loss::BinaryCrossEntropy, true));
    assert_eq!((train.batch.get(), train.linger), (256, Duration::from_millis(500)));
    assert_eq!((train.replay, train.replay_share, train.clip_norm), (20_000, 1.0, None));
    assert!(train.freeze.is_empty() && train.unfreeze.is_empty());
    assert_eq!(train.promote, Promote::default());
    assert_eq!((train.promote.every, train.promote.metric), (seconds(30), Metric::Auc));
    assert_eq!((train.promote.holdout.get(), train.promote.least_positives.get()), (4_000, 20));
    assert_eq!((train.promote.tolerance, train.promote.label_rate_jump), (0.002, 4.0));
    assert_eq!((train.checkpoint, train.keep.get(), train.threads.get()), (seconds(10), 20, 1));
}

#[test]
fn the_schema_shows_editors_the_defaults_that_reading_gives() {
    let optimizer = super::super::schema::section_schema::<Optimizer>();
    let variants = optimizer["oneOf"].as_array().unwrap();
    assert_eq!(variants.len(), 4);
    for variant in variants {
        let properties = variant["properties"].as_object().unwrap();
        let name = properties["type"]["const"].as_str().unwrap();
        let defaults = properties.iter().filter_map(|(key, field)| Some(format!("{key} = {}", field.get("default")?)));
        let written = format!("type = \"{name}\", {}", defaults.collect::<Vec<_>>().join(", "));
        let bare = format!("type = \"{name}\"");
        let [written, bare] = [written, bare].map(|keys| train(&format!("optimizer = {{ {keys} }}")).optimizer);
        assert_eq!(written, bare, "{name}");
    }
    assert_eq!(train("optimizer = { type = 'adamw' }").optimizer, Optimizer::default());
}

#[test]
fn a_key_of_an_optimizer_goes_where_it_belongs() {
    let ftrl = "optimizer = { beta = 0, l1 = 0.5, type = 'ftrl', l2 = 1, learning_rate = 1 }";
    assert_eq!(train(ftrl).optimizer, Optimizer::Ftrl { learning_rate: 1.0, beta: 0.0, l1: 0.5, l2: 1.0 });
    let adagrad = "[train.optimizer]\ntype = 'adagrad'\ninitial_accumulator = 0\nepsilon = 1e-7";
    assert_eq!(
        train(adagrad).optimizer,
        Optimizer::Adagrad { learning_rate: 0.01, epsilon: 1e-7, initial_accumulator: 0.0 }
    );
    let adamw = "optimizer = { type = 'adamw', beta1 = 0.8, beta2 = 0.99, epsilon = 1e-7, weight_decay = 0 }";
    let (beta1, beta2, epsilon) = (0.8, 0.99, 1e-7);
    assert_eq!(
        train(adamw).optimizer,
        Optimizer::AdamW { learning_rate: 0.001, beta1, beta2, epsilon, weight_decay: 0.0 }
    );
    let sgd = "optimizer = { type = 'sgd', momentum = 0 }";
    assert_eq!(train(sgd).optimizer, Optimizer::Sgd { learning_rate: 0.01, momentum: 0.0, nesterov: false });
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table of cases")]
fn every_bad_value_of_learning_is_reported_at_its_place() {
    let head = GOOD.split_once("[labels]").unwrap().0.lines().skip(22).collect::<Vec<_>>().join("\n");
    let shop = Shop::new(&format!(
        "name = 'intent'\nstreams.behavior = {{ subjects = ['s'], contract = 'schemas/behavior.json', time = 't' }}\n\
         {head}\n{}",
        r#"
[labels]
strem = "behavior"
join = []
window = "0s"
position = 1
negatives = 0
max_rows = 0
max_bytes = "64 mb"
retain = "0 days"

[train]
optimizer = { type = "sgd", learning_rate = 0, beta1 = 0.9, momentm = 1, nesterov = 1 }
loss = "cross_entropy"
batch = 0
linger = 5
replay = -1
replay_share = 4.5
clip_norm = 0.0
freeze = ["a", 1]
dropout = "no"
promote = { evry = "5s", metric = "auk", holdout = 0, tolerance = -1.0, label_rate_jump = 1 }
checkpoint = "0s"
keep = 0
threads = 0
"#
    ));
    insta::assert_snapshot!(shop.problems(), @r#"
    pipelines/intent/pipeline.toml:20:1: missing field `positive`
      20 | [labels]
         | ^
      help: positive: A condition in SQL on an event of that stream: the feedback that makes a positive

    pipelines/intent/pipeline.toml:21:1: unknown field `strem`
      21 | strem = "behavior"
         | ^
      help: did you mean `stream`?

    pipelines/intent/pipeline.toml:22:8: `join` names no column
      22 | join = []
         |        ^
      help: name what feedback and scored rows share, such as ["request_id", "item_id"]

    pipelines/intent/pipeline.toml:23:10: the duration "0s" is zero
      23 | window = "0s"
         |          ^
      help: it must be longer than that

    pipelines/intent/pipeline.toml:24:12: invalid type: integer `1`, expected a string
      24 | position = 1
         |            ^

    pipelines/intent/pipeline.toml:25:13: invalid value: integer `0`, expected a number above 0 and at most 1
      25 | negatives = 0
         |             ^

    pipelines/intent/pipeline.toml:26:12: invalid value: integer `0`, expected a whole number above zero
      26 | max_rows = 0
         |            ^

    pipelines/intent/pipeline.toml:27:13: "64 mb" is not a size
      27 | max_bytes = "64 mb"
         |             ^
      help: write whole bytes, such as 65536, "64 KiB" or "10 GB"

    pipelines/intent/pipeline.toml:28:10: the duration "0 days" is zero
      28 | retain = "0 days"
         |          ^
      help: it must be longer than that

    pipelines/intent/pipeline.toml:31:45: invalid value: integer `0`, expected a number above zero
      31 | optimizer = { type = "sgd", learning_rate = 0, beta1 = 0.9, momentm = 1, nesterov = 1 }
         |                                             ^

    pipelines/intent/pipeline.toml:31:48: unknown field `beta1`
      31 | optimizer = { type = "sgd", learning_rate = 0, beta1 = 0.9, momentm = 1, nesterov = 1 }
         |                                                ^
      help: known are `type`, `learning_rate`, `momentum`, `nesterov`

    pipelines/intent/pipeline.toml:31:61: unknown field `momentm`
      31 | optimizer = { type = "sgd", learning_rate = 0, beta1 = 0.9, momentm = 1, nesterov = 1 }
         |                                                             ^
      help: did you mean `momentum`?

    pipelines/intent/pipeline.toml:31:85: invalid type: integer `1`, expected a boolean
      31 | ...d", learning_rate = 0, beta1 = 0.9, momentm = 1, nesterov = 1 }
         |                                                                ^

    pipelines/intent/pipeline.toml:32:8: unknown variant `cross_entropy`, expected `binary_cross_entropy` or `mean_squared_error`
      32 | loss = "cross_entropy"
         |        ^

    pipelines/intent/pipeline.toml:33:9: invalid value: integer `0`, expected a whole number above zero
      33 | batch = 0
         |         ^

    pipelines/intent/pipeline.toml:34:10: invalid type: integer `5`, expected a duration as text, such as "5s"
      34 | linger = 5
         |          ^

    pipelines/intent/pipeline.toml:35:10: invalid value: integer `-1`, expected a whole number that is zero or more
      35 | replay = -1
         |          ^

    pipelines/intent/pipeline.toml:36:16: invalid value: floating point `4.5`, expected a number from 0 to 4
      36 | replay_share = 4.5
         |                ^

    pipelines/intent/pipeline.toml:37:13: invalid value: floating point `0.0`, expected a number above zero
      37 | clip_norm = 0.0
         |             ^

    pipelines/intent/pipeline.toml:38:16: invalid type: integer `1`, expected a string
      38 | freeze = ["a", 1]
         |                ^

    pipelines/intent/pipeline.toml:39:11: invalid type: string "no", expected a boolean
      39 | dropout = "no"
         |           ^

    pipelines/intent/pipeline.toml:40:13: unknown field `evry`
      40 | promote = { evry = "5s", metric = "auk", holdout = 0, tolerance = -1.0, ...
         |             ^
      help: did you mean `every`?

    pipelines/intent/pipeline.toml:40:35: unknown variant `auk`, expected `auc` or `log_loss`
      40 | promote = { evry = "5s", metric = "auk", holdout = 0, tolerance = -1.0, label_rate_jump = 1 }
         |                                   ^
      help: did you mean `auc`?

    pipelines/intent/pipeline.toml:40:52: invalid value: integer `0`, expected a whole number above zero
      40 | promote = { evry = "5s", metric = "auk", holdout = 0, tolerance = -1.0, label_rate_jump = 1 }
         |                                                    ^

    pipelines/intent/pipeline.toml:40:67: invalid value: floating point `-1.0`, expected a number that is zero or more
      40 | ...e = { evry = "5s", metric = "auk", holdout = 0, tolerance = -1.0, label_rate_jump = 1 }
         |                                                                ^

    pipelines/intent/pipeline.toml:40:91: invalid value: integer `1`, expected a number above one
      40 | ...c = "auk", holdout = 0, tolerance = -1.0, label_rate_jump = 1 }
         |                                                                ^

    pipelines/intent/pipeline.toml:41:14: the duration "0s" is zero
      41 | checkpoint = "0s"
         |              ^
      help: it must be longer than that

    pipelines/intent/pipeline.toml:42:8: invalid value: integer `0`, expected a whole number above zero
      42 | keep = 0
         |        ^

    pipelines/intent/pipeline.toml:43:11: invalid value: integer `0`, expected a whole number above zero
      43 | threads = 0
         |           ^
    "#);
}

#[test]
fn an_optimizer_says_which_it_is() {
    let refused = [
        "optimizer = {}",
        "optimizer = { learning_rate = 1 }",
        "optimizer = { typ = 'sgd' }",
        "optimizer = { type = 'adam', learning_rate = 0 }",
        "optimizer = { type = 1 }",
        "optimizer = 'sgd'",
        "optimizer = ['sgd']",
        "optimizer = { type = 'ftrl', momentum = 0.9 }",
    ]
    .map(|keys| {
        let problems = Shop::new(&format!("{LEAST}{keys}\n")).read().unwrap_err();
        let shown = problems.iter().map(|problem| {
            let suggestion = problem.suggestion.as_deref().unwrap_or("-");
            format!("{}: {} ({suggestion})", problem.column.unwrap(), problem.message)
        });
        shown.collect::<Vec<_>>().join(" | ")
    });
    insta::assert_snapshot!(refused.join("\n"), @r#"
    13: missing field `type` (type: one of `sgd`, `adamw`, `adagrad`, `ftrl`)
    13: missing field `type` (type: one of `sgd`, `adamw`, `adagrad`, `ftrl`)
    13: missing field `type` (type: one of `sgd`, `adamw`, `adagrad`, `ftrl`)
    22: unknown variant `adam`, expected one of `sgd`, `adamw`, `adagrad`, `ftrl` (did you mean `adamw`?) | 46: invalid value: integer `0`, expected a number above zero (-)
    22: wanted string or table (-)
    13: invalid type: string "sgd", expected a table such as { type = "adamw", learning_rate = 1e-3 } (-)
    13: invalid type: array, expected a table (-)
    30: unknown field `momentum` (known are `type`, `learning_rate`, `beta`, `l1`, `l2`)
    "#);
}

#[test]
fn columns_of_a_join_are_there_once() {
    let refuse = |join: &str| Shop::new(&LEAST.replace("join = ['id']", join)).problems();
    insta::assert_snapshot!(refuse("join = ['id', 'item', 'id']"), @r#"
    pipelines/intent/pipeline.toml:11:8: `join` names "id" twice
      11 | join = ['id', 'item', 'id']
         |        ^
      help: remove one
    "#);
    insta::assert_snapshot!(refuse("join = 'id'"), @r#"
    pipelines/intent/pipeline.toml:11:8: invalid type: string "id", expected a sequence
      11 | join = 'id'
         |        ^
    "#);
}

#[test]
fn a_holdout_has_room_for_its_positives() {
    let shop = Shop::new(&format!("{LEAST}promote = {{ holdout = 19 }}\n"));
    insta::assert_snapshot!(shop.problems(), @"
    pipelines/intent/pipeline.toml:14:11: a holdout of 19 examples never has 20 positives
      14 | promote = { holdout = 19 }
         |           ^
      help: raise `holdout` above `least_positives`, or lower that
    ");
    assert_eq!(train("promote = { holdout = 20 }").promote.holdout.get(), 20);
    assert_eq!(train("[train.promote]\nleast_positives = 4000").promote.least_positives.get(), 4_000);
}
