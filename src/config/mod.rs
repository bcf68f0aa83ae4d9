//! A pipeline folder becomes settings and texts, or the list of everything that is wrong with it.
//!
//! ```text
//!  pipelines/intent/
//!    pipeline.toml ──▶ document ──▶ keys against the schema ──▶ sections ──▶ Draft ──┐
//!    features/*.sql ──▶ Source ──────────────────────────────────────────────────────┼──▶ rules ──▶ Folder
//!    vector.sql     ──▶ Source ──────────────────────────────────────────────────────┤         │
//!    tests/*.toml   ──▶ paths  ──────────────────────────────────────────────────────┘         └──▶ Problems
//! ```
//!
//! - A value that exists is valid: durations are [`Duration`](std::time::Duration), sizes are bytes, names and subjects
//!   have types of their own, and what one part says of another has been checked.
//! - Every problem is reported at once, with file, line, column, reason and, where there is one, the fix. A section with
//!   a problem takes no part in the rules between sections, so that one mistake is reported once.
//! - The types of the settings are the reference manual: their documentation is the text of the JSON Schema that
//!   [`schema()`] gives to editors.
//!
//! It does not plan SQL, load contracts or open the model, and it knows neither the broker nor the clock. Of the
//! pipelines beside one it looks at the names only, and only when it checks.
//! It fails with [`Problems`], all of them the operator's to mend.

mod assemble;
mod avro;
mod class;
mod clock;
mod count;
mod document;
mod duration;
mod emit;
mod files;
mod folder;
mod history;
mod labels;
mod learning;
mod missing;
mod model_risks;
mod moment;
mod name;
mod naming;
mod nearest;
mod neighbours;
mod number;
mod optimizer;
mod problem;
mod reference;
mod render;
mod risks;
mod rivals;
mod rules;
mod schema;
mod score;
mod section;
mod settings;
mod size;
mod source;
mod state;
mod stream;
mod stream_name;
mod subject;
mod syntax;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod train;
mod zone;

pub use folder::Folder;
pub(crate) use moment::micros_of;
pub(crate) use nearest::nearest;
pub(crate) use problem::{Problem, Problems};
pub(crate) use risks::risks;
pub use schema::schema;
pub(crate) use source::Source;
