//! Pipelines that together have every kind of state.

use std::fs;
use std::sync::Arc;

use tidewheel::config::Folder;
use tidewheel::pipeline::Pipeline;

use crate::taobao::root;

/// A pipeline as the files of its folder.
pub struct Files {
    pub name: &'static str,
    pub settings: &'static str,
    pub vector: &'static str,
    pub features: &'static [(&'static str, &'static str)],
}

impl Files {
    /// The pipeline; its model is not looked at.
    pub fn pipeline(&self) -> Arc<Pipeline> {
        self.with_settings(self.settings)
    }

    /// The pipeline with settings that say something else.
    pub fn with_settings(&self, settings: &str) -> Arc<Pipeline> {
        self.assembled(settings, |_, sql| Some(sql.to_owned()))
    }

    /// The pipeline with other feature files: `change` gives the text of each, or nothing where there is none any more.
    pub fn with_features(&self, change: impl Fn(&str, &str) -> Option<String>) -> Arc<Pipeline> {
        self.assembled(self.settings, change)
    }

    fn assembled(&self, settings: &str, change: impl Fn(&str, &str) -> Option<String>) -> Arc<Pipeline> {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path();
        fs::create_dir_all(to.join("features")).unwrap();
        fs::create_dir_all(to.join("schemas")).unwrap();
        for contract in ["click.json", "ranking_request.json"] {
            fs::copy(root().join("schemas").join(contract), to.join("schemas").join(contract)).unwrap();
        }
        fs::copy(root().join("pipelines/trends/categories.csv"), to.join("categories.csv")).unwrap();
        fs::write(to.join("pipeline.toml"), settings).unwrap();
        fs::write(to.join("vector.sql"), self.vector).unwrap();
        for (name, sql) in self.features.iter().filter_map(|(name, sql)| Some((name, change(name, sql)?))) {
            fs::write(to.join("features").join(format!("{name}.sql")), sql).unwrap();
        }
        let read = Folder::read(to).and_then(|folder| folder.assemble_without_model());
        Arc::new(read.unwrap_or_else(|problems| panic!("{}: {problems}", self.name)))
    }
}

/// Every kind of aggregate, as of a moment, read by events that are scored and by feedback.
pub const AS_OF: Files = Files {
    name: "asof",
    settings: r#"name = "asof"

[streams.clicks]
subjects     = ["shop.clicks.>"]
contract     = "schemas/click.json"
time         = "ts"
id           = "event_id"
remember_ids = 40
disorder     = "2s"
partition    = "subject"
idle         = "30s"

[references.categories]
file = "categories.csv"
key  = ["category_id"]

[tables.person]
retention = "2h"

[model]
graph = "model.onnx"

[score]
on = "kind <> 'buy'"

[labels]
join     = ["user_id", "category_id"]
positive = "kind = 'buy'"
window   = "30s"

[train]
optimizer = { type = "adamw", learning_rate = 1e-3 }
promote   = { every = "30s", metric = "auc" }
"#,
    vector: "SELECT coalesce(p.views, 0) AS views, coalesce(p.spent, 0.0) AS spent, coalesce(p.usual, 0.0) AS usual,
        coalesce(p.cheapest, 0.0) AS cheapest, coalesce(p.items_1m, 0) AS items_1m, coalesce(p.items_1h, 0) AS items_1h,
        coalesce(array_has(p.recent, r.item_id), false)::int AS again, coalesce(p.recent_prices[1], 0.0) AS paid,
        coalesce(l.interest, 0.0) AS interest, coalesce(l.regions, 0) AS regions, coalesce(l.middle, 0.0) AS middle,
        coalesce(array_length(l.favourites), 0) AS favourites, coalesce(l.favourites[1]['value'], 0) AS favourite,
        coalesce(c.events, 0) AS category_events, coalesce(i.buyers, 0) AS buyers, coalesce(i.dearest, 0.0) AS dearest
        FROM requests r
        LEFT JOIN person p   ON r.user_id = p.user_id
        LEFT JOIN liking l   ON r.user_id = l.user_id
        LEFT JOIN shelf c    ON r.category_id = c.category_id
        LEFT JOIN item i     ON r.item_id = i.item_id AND r.kind = i.kind",
    features: &[
        (
            "person",
            "SELECT user_id, count(*) FILTER (WHERE kind = 'view' AND within(ts, '10 seconds')) AS views,
            sum(price) FILTER (WHERE within(ts, '5 minutes')) AS spent, avg(price) FILTER (WHERE within(ts, '1 hour')) AS usual,
            min(price) FILTER (WHERE within(ts, '1 minute')) AS cheapest, max(item_id) FILTER (WHERE within(ts, '1 hour')) AS top,
            count(DISTINCT item_id) FILTER (WHERE within(ts, '1 minute')) AS items_1m,
            count(DISTINCT item_id) FILTER (WHERE kind <> 'view' AND within(ts, '1 hour')) AS items_1h,
            last_n(item_id, 3) FILTER (WHERE within(ts, '5 minutes')) AS recent, last_n(price, 4) AS recent_prices
            FROM clicks GROUP BY user_id",
        ),
        (
            "liking",
            "SELECT user_id, decayed_sum(price, '2 minutes') AS interest,
            approx_distinct(kind) FILTER (WHERE within(ts, '5 minutes')) AS regions,
            quantile(price, 0.5) FILTER (WHERE within(ts, '1 hour')) AS middle,
            top_k(category_id, 2) FILTER (WHERE within(ts, '5 minutes')) AS favourites
            FROM clicks WHERE kind <> 'fav' GROUP BY user_id",
        ),
        (
            "shelf",
            "SELECT clicks.category_id, count(*) FILTER (WHERE category <> 'Books' AND within(ts, '1 minute')) AS events,
            last_n(category, 2) AS names
            FROM clicks LEFT JOIN categories ON clicks.category_id = categories.category_id GROUP BY clicks.category_id",
        ),
        (
            "item",
            "SELECT item_id, kind, count(DISTINCT kind) FILTER (WHERE within(ts, '5 minutes')) AS kinds,
            count(DISTINCT user_id) FILTER (WHERE within(ts, '1 hour')) AS buyers,
            max(price) FILTER (WHERE within(ts, '10 seconds')) AS dearest FROM clicks GROUP BY item_id, kind",
        ),
    ],
};

/// Every kind of window and of emission, read by requests and events.
pub const WINDOWS: Files = Files {
    name: "windows",
    settings: r#"name = "windows"

[streams.clicks]
subjects  = ["shop.clicks.>"]
contract  = "schemas/click.json"
time      = "ts"
id        = "event_id"
disorder  = "2s"

[references.categories]
file = "categories.csv"
key  = ["category_id"]

[tables.minute]
lateness  = "30s"
retention = "5 minutes"

[tables.person]
emit      = "on update"
lateness  = "10s"

[tables.category]
emit = { early = "10s" }

[tables.so_far]
emit     = { early = "20s" }
lateness = "1 minute"

[tables.visit]
emit     = "on update"
lateness = "20s"

[model]
graph = "model.onnx"

[score]
on      = "kind = 'view'"
"#,
    vector: "SELECT coalesce(m.views, 0) AS views, coalesce(m.people, 0) AS people, coalesce(m.revenue, 0.0) AS revenue,
        coalesce(p.events, 0) AS events, coalesce(p.middle, 0.0) AS middle, coalesce(s.items, 0) AS items,
        coalesce(v.events, 0) AS visit, coalesce(v.dearest, 0.0) AS dearest, coalesce(a.last, 0) AS last
        FROM requests r
        LEFT JOIN minute m ON r.item_id = m.item_id
        LEFT JOIN person p ON r.user_id = p.user_id
        LEFT JOIN so_far s ON r.category_id = s.category_id
        LEFT JOIN visit v  ON r.user_id = v.user_id
        LEFT JOIN activity a ON r.user_id = a.user_id",
    features: &[
        (
            "minute",
            "SELECT item_id, window_start, count(*) FILTER (WHERE kind = 'view') AS views, count(DISTINCT user_id) AS people,
            coalesce(sum(price), 0) AS revenue FROM clicks GROUP BY item_id, tumble(ts, '1 minute') HAVING count(*) <> 3",
        ),
        (
            "person",
            "SELECT user_id, window_end, count(*) AS events, median(price) AS middle, max(kind) AS kind,
            count(DISTINCT item_id) AS items, last_n(item_id, 3) AS recent, top_k(category_id, 2) AS favourites
            FROM clicks GROUP BY user_id, hop(ts, '10 seconds', '1 minute')",
        ),
        (
            "category",
            "SELECT category, window_end, count(*) AS events, count(DISTINCT user_id) AS people, decayed_sum(price, '1 minute') AS heat
            FROM clicks LEFT JOIN categories ON clicks.category_id = categories.category_id
            GROUP BY category, hop(ts, '1 minute', '5 minutes')",
        ),
        (
            "so_far",
            "SELECT category_id, window_start, window_end, count(DISTINCT item_id) AS items, avg(price) AS price
            FROM clicks WHERE kind <> 'fav' GROUP BY category_id, cumulate(ts, '30 seconds', '5 minutes')",
        ),
        (
            "visit",
            "SELECT user_id, window_start, count(*) AS events, count(DISTINCT item_id) AS items, max(price) AS dearest,
            sum(price) AS spent, median(price) AS middle FROM clicks GROUP BY user_id, session(ts, '15 seconds')",
        ),
        (
            "activity",
            "SELECT user_id, count(*) AS events, coalesce(last_n(item_id, 1)[1], 0) AS last FROM clicks GROUP BY user_id",
        ),
    ],
};

/// Two streams under UNION ALL, one of which falls silent, and requests.
pub const BOTH: Files = Files {
    name: "both",
    settings: r#"name = "both"

[streams.clicks]
subjects  = ["shop.clicks.>"]
contract  = "schemas/click.json"
time      = "ts"
key       = "user_id"
id        = "event_id"
disorder  = "2s"
idle      = "10s"

[streams.orders]
subjects  = ["shop.orders.>"]
contract  = "schemas/click.json"
time      = "ts"
id        = "event_id"
disorder  = "10s"
idle      = "20s"
partition = "subject"
late      = "drop"

[tables.both]
lateness = "5s"

[model]
graph = "model.onnx"

[score]
service = "both.score"
request = "schemas/ranking_request.json"
"#,
    vector: "SELECT coalesce(b.events, 0) AS events, coalesce(o.spent, 0.0) AS spent, coalesce(c.views, 0) AS views,
        coalesce(c.people, 0) AS people
        FROM requests r
        LEFT JOIN both b   ON r.item_id = b.item_id
        LEFT JOIN buyer o  ON r.user_id = o.user_id
        LEFT JOIN seen c   ON r.item_id = c.item_id",
    features: &[
        (
            "both",
            "SELECT item_id, window_end, count(*) AS events, count(DISTINCT user_id) AS people
            FROM (SELECT item_id, user_id, ts FROM clicks UNION ALL SELECT item_id, user_id, ts FROM orders) AS both
            GROUP BY item_id, tumble(ts, '20 seconds')",
        ),
        (
            "together",
            "SELECT user_id, window_start, count(*) AS events, sum(price) AS spent
            FROM (SELECT user_id, price, ts FROM clicks UNION ALL SELECT user_id, price, ts FROM orders) AS both
            GROUP BY user_id, session(ts, '12 seconds')",
        ),
        (
            "buyer",
            "SELECT user_id, sum(price) FILTER (WHERE within(ts, '5 minutes')) AS spent,
            stddev(price) FILTER (WHERE within(ts, '1 hour')) AS spread FROM orders GROUP BY user_id",
        ),
        (
            "seen",
            "SELECT item_id, count(*) FILTER (WHERE within(ts, '10 seconds')) AS views,
            count(DISTINCT user_id) FILTER (WHERE within(ts, '1 minute')) AS people FROM clicks GROUP BY item_id",
        ),
    ],
};

/// All of them.
pub const ALL: [&Files; 3] = [&AS_OF, &WINDOWS, &BOTH];
