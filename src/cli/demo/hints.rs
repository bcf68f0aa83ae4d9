//! Commands that work as they are printed: with the program as it was called, and this demo's folder and server.

use std::path::Path;

use super::site::Site;

/// The program as it was called.
fn program() -> String {
    quoted(&std::env::args().next().unwrap_or_else(|| "tidewheel".to_owned()))
}

/// The program, to be called in another folder.
fn program_elsewhere() -> String {
    let called = std::env::args().next().unwrap_or_default();
    // A name without a folder was found on the PATH, and is found there again.
    match std::env::current_exe() {
        Ok(path) if called.contains('/') => quoted(&path.to_string_lossy()),
        _ => "tidewheel".to_owned(),
    }
}

/// How the demo can be asked while it runs.
pub(super) fn meanwhile(site: &Site, url: &str) -> String {
    let (program, folder) = (program(), path(&site.folder));
    let select = select(site);
    format!(
        "Meanwhile, in another terminal:\n  {program} status {folder} --nats {url}\n  {program} sql {folder} --nats {url} {select}\n"
    )
}

/// What can be done once it is over.
pub(super) fn afterwards(site: &Site) -> String {
    let lines = match &site.kept {
        Some(kept) => {
            let (program, name) = (program_elsewhere(), &site.pipeline.name);
            let within = format!("cd {} &&", path(kept));
            [
                (format!("{within} {program} run {name}"), "goes on from where the demo has ended"),
                (
                    format!("{within} {program} sql {name} {}", select(site)),
                    "asks it while it runs, from another terminal",
                ),
                (format!("{within} {program} model list {name}"), "the versions that training has made"),
            ]
        }
        None => {
            let (program, folder) = (program(), path(&site.folder));
            [
                (format!("{program} demo --keep shop"), "leaves the pipeline with its data in `shop`, to go on with"),
                (format!("{program} check {folder}"), "what the pipeline keeps, and that it is sound"),
                (format!("{program} test {folder}"), "its test cases, without a broker"),
            ]
        }
    };
    let width = lines.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
    let lines = lines.iter().map(|(command, what)| format!("  {command:<width$}  # {what}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// A first statement over a table of the pipeline.
fn select(site: &Site) -> String {
    let table = site.pipeline.tables.first().map_or("NAME", |table| table.plan.name());
    format!("\"SELECT * FROM {table} LIMIT 5\"")
}

fn path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

/// As a shell takes it for one word.
fn quoted(text: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "/._-+:@%=,".contains(letter);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_for_a_shell() {
        let texts = ["target/release/tidewheel", "my shop", "it's", ""].map(quoted);
        assert_eq!(texts, ["target/release/tidewheel", "'my shop'", r"'it'\''s'", "''"]);
    }
}
