//! What is told of a pipeline, as text.

use super::{Explained, Horizon, Kept, Reference, State, Table};

pub(super) fn text(explained: &Explained) -> String {
    let mut lines = vec![explained.pipeline.clone()];
    for stream in &explained.streams {
        lines.push(format!("  stream {}: watermark = {}", stream.name, stream.watermark));
    }
    for reference in &explained.references {
        let Reference { name, key, source, refresh } = reference;
        lines.push(format!("  reference {name}: {source}, found by {}, {refresh}", key.join(", ")));
    }
    lines.extend(explained.at_restart.iter().map(|line| format!("  at the next start, {line}")));
    for table in &explained.tables {
        lines.push(String::new());
        lines.extend(table_text(table));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn table_text(table: &Table) -> Vec<String> {
    let columns: Vec<_> = table.columns.iter().map(|column| format!("{} {}", column.name, column.data_type)).collect();
    let mut lines = vec![format!("table {}", table.name)];
    let mut line = |what: &str, value: String| lines.push(format!("  {what:<10} {value}"));
    line("streams", table.streams.join(", "));
    if !table.references.is_empty() {
        line("joined to", table.references.join(", "));
    }
    line("keys", if table.keys.is_empty() { "none: one row per window".to_owned() } else { table.keys.join(", ") });
    line("columns", columns.join(", "));
    match &table.kept {
        Kept::AsOf { horizons, tiles } => {
            for Horizon { width, step } in horizons {
                line("horizon", format!("{width}, its tail in steps of {step}"));
            }
            line("tiles", tiles.join(", "));
        }
        Kept::Windows { window, pane, panes_per_window } => {
            line("window", window.clone());
            if let (Some(pane), Some(panes)) = (pane, panes_per_window) {
                line("panes", format!("{pane}, {panes} per window"));
            }
        }
    }
    if !table.shares_panes_with.is_empty() {
        line("shared", format!("its panes, with {}", table.shares_panes_with.join(", ")));
    }
    let State { counts_and_sums, distinct_counts, merged, rows_per_key, bytes_per_key } = &table.state;
    line(
        "state",
        format!("{counts_and_sums} counts and sums, {distinct_counts} distinct counts, {merged} merged states"),
    );
    line(
        "per key",
        format!("up to {rows_per_key} rows of state, about {bytes_per_key} bytes and what is distinct or merged"),
    );
    line("memory", table.memory.clone());
    line("rows", table.emission.clone());
    line("late", table.late.clone());
    if let Some(subject) = &table.publish {
        line("published", format!("on {subject}"));
    }
    if table.history {
        let retain = table.history_retain.iter().map(|retain| format!(", dates are dropped after {retain}"));
        line("history", format!("appended to a Delta table{}", retain.collect::<String>()));
    }
    if let Some(at_restart) = &table.at_restart {
        line("restart", at_restart.clone());
    }
    for (index, step) in table.plan.iter().enumerate() {
        line(if index == 0 { "plan" } else { "" }, step.clone());
    }
    lines
}
