//! Whole folders: a good one read in full, and bad ones with every problem at its place.

mod folders;
mod learning;
mod names;
mod rules;
mod sources;
mod values;
mod windows;

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

const GOOD: &str = r#"
name = "intent"

[streams.behavior]
subjects = ["shop.behavior", "app.*.behavior"]
contract = "schemas/behavior.json"
time = "ts"
time_unit = "s"
key = "user_id"
id = "event_id"
remember_ids = 5000
disorder = "0s"
late = "drop"
earliest = "2017-01-01T00:00:00Z"
ahead = "2m"
max_event_bytes = 2048
max_depth = 4
retain = "30 days"
max_bytes = "1 GiB"

[tables.user_activity]
retention = "2 days"

[model]
graph = "model/intent.onnx"
output = "probability"

[score]
service = "intent.score"
request = "schemas/request.json"
item = "item_id"
stream = "behavior"
on = "behavior = 'pv'"
publish = "intent.scored"
batch = { rows = 32, linger = "1ms" }
queue = 16
max_items = 100

[labels]
stream = "behavior"
join = ["user_id", "item_id"]
positive = "behavior = 'buy'"
window = "1h"
position = "shown_place"
negatives = 0.1
max_rows = 5000
max_bytes = "64 MB"
retain = "2 days"

[train]
optimizer = { type = "sgd", learning_rate = 0.05, nesterov = true }
loss = "mean_squared_error"
batch = 64
linger = "0s"
replay = 0
replay_share = 0.25
clip_norm = 1
freeze = ["normalise.*", "embedding"]
unfreeze = ["temperature"]
dropout = false
promote = { every = "5s", metric = "log_loss", holdout = 100, tolerance = 0, least_positives = 100, label_rate_jump = 1.5 }
checkpoint = "1m"
keep = 3
threads = 2

[state]
folder = "/var/lib/intent"
"#;

/// A folder of pipelines that holds one pipeline; contracts are above it.
struct Shop {
    root: tempfile::TempDir,
}

impl Shop {
    fn new(pipeline: &str) -> Self {
        let shop = Self { root: tempfile::tempdir().unwrap() };
        shop.write("schemas/behavior.json", "{}");
        shop.write("schemas/request.json", "{}");
        shop.write("pipelines/intent/pipeline.toml", pipeline);
        shop.write("pipelines/intent/features/user_activity.sql", "SELECT 1");
        shop.write("pipelines/intent/features/item_trend.sql", "SELECT 2");
        shop.write("pipelines/intent/vector.sql", "SELECT 3");
        shop
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self) -> Result<Folder, Problems> {
        Folder::read(&self.path("pipelines/intent"))
    }

    /// The problems as they are shown, with the temporary folder taken out.
    fn problems(&self) -> String {
        self.read().unwrap_err().to_string().replace(&format!("{}/", self.root.path().display()), "")
    }
}
