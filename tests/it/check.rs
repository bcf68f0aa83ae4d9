//! `check` reports everything that is wrong with a folder at once.

use std::fs;
use std::path::Path;

use tidewheel::config::Folder;
use tidewheel::model::{MlpSpec, build_mlp};

use crate::taobao::root;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &target) } else { fs::copy(&path, &target).map(|_| ()).unwrap() }
    }
}

fn edit(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{}", file.display());
    fs::write(file, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn faults_of_settings_and_of_several_selects_are_reported_together() {
    let folder = tempfile::tempdir().unwrap();
    copy(&root().join("schemas"), &folder.path().join("schemas"));
    let intent = folder.path().join("intent");
    copy(&root().join("pipelines/intent"), &intent);
    edit(&intent.join("pipeline.toml"), "name = \"intent\"", "name = \"intent\"\nnaem = 3");
    edit(&intent.join("features/item_trend.sql"), "'30 minutes'", "'30 minuets'");
    edit(&intent.join("features/user_item.sql"), "behavior = 'pv'", "behaviour = 'pv'");
    let problems = Folder::check(&intent).err().unwrap();
    let files: Vec<_> = problems.iter().map(|problem| problem.file.rsplit('/').next().unwrap().to_owned()).collect();
    assert_eq!(files, ["item_trend.sql", "user_item.sql", "pipeline.toml"], "{problems}");
    let unknown = problems.iter().find(|problem| problem.file.ends_with("user_item.sql")).unwrap();
    assert!(unknown.message.contains("behaviour"), "{problems}");
}

#[test]
fn a_model_for_another_vector_is_refused_with_both_shapes() {
    let folder = tempfile::tempdir().unwrap();
    copy(&root().join("schemas"), &folder.path().join("schemas"));
    let intent = folder.path().join("intent");
    copy(&root().join("pipelines/intent"), &intent);
    let columns = (0..22).map(|column| format!("c{column}")).collect();
    let spec = MlpSpec { columns, hidden: vec![4], dropout: 0.0, seed: 1, fingerprint: "8a21".to_owned() };
    fs::write(intent.join("model/intent.onnx"), build_mlp(&spec).unwrap()).unwrap();
    let problems = Folder::check(&intent).err().unwrap().to_string();
    assert!(problems.contains("25") && problems.contains("22"), "{problems}");
}
