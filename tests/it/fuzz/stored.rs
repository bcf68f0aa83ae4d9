//! Inputs on disk: the corpus in the project, and failures beside what was built.

use std::fs::{self, File};
use std::hash::Hasher;
use std::path::{Path, PathBuf};

use crate::taobao::root;

/// The stored inputs of a target, by name.
pub fn corpus(target: &str) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(root().join("tests/fuzz").join(target)) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Writes an input that fails to `fuzz/<target>/<digest>` in the build's folder.
pub fn write_failure(target: &str, input: &[u8]) -> PathBuf {
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write(input);
    let path = folder(target).join(format!("{:016x}", hasher.finish()));
    fs::write(&path, input).unwrap();
    path
}

/// What repeats one input.
pub fn command(target: &str, input: &Path) -> String {
    format!("FUZZ_INPUT={} cargo test --release --test it fuzz::{target} -- --exact --nocapture", input.display())
}

/// A file for the length and the bytes of the input that is being read.
pub fn trace(target: &str) -> File {
    File::create(trace_path(target)).unwrap()
}

pub fn forget_trace(target: &str) {
    fs::remove_file(trace_path(target)).ok();
}

/// When the run before ended in the middle of an input, as it does when the stack overflows, that input is kept.
pub fn keep_aborted(target: &str) {
    let Ok(traced) = fs::read(trace_path(target)) else { return };
    let Some((length, rest)) = traced.split_first_chunk::<4>() else { return };
    let Some(input) = rest.get(..u32::from_le_bytes(*length) as usize) else { return };
    let path = write_failure(target, input);
    println!("{target}: the run before ended during this input: {}\n  {}", path.display(), command(target, &path));
}

fn trace_path(target: &str) -> PathBuf {
    folder(target).join("running")
}

fn folder(target: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("fuzz").join(target);
    fs::create_dir_all(&folder).unwrap();
    folder
}
