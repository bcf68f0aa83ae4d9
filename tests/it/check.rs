//! `check` reports everything that is wrong with a folder at once.

use std::fs;
use std::path::{Path, PathBuf};

use prost::Message;
use tempfile::TempDir;
use tidewheel::config::Folder;
use tidewheel::model::onnx::proto::{
    AttributeProto, DATA_LOCATION_EXTERNAL, ModelProto, OperatorSetIdProto, StringStringEntryProto, TypeProto,
    data_type::FLOAT, type_proto,
};
use tidewheel::model::onnx::{Dimension, Document, GraphBuilder, class_labels};
use tidewheel::model::{MlpSpec, ModelVersion, build_mlp};

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

/// The shipped pipeline `intent`, whose model is `z`, the product of its 25 columns and weights with a bias, and what `build`
/// makes of that.
fn intent_with(shape: &[Dimension<'_>], build: impl Fn(&mut GraphBuilder)) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    copy(&root().join("schemas"), &folder.path().join("schemas"));
    let intent = folder.path().join("intent");
    copy(&root().join("pipelines/intent"), &intent);
    let mut graph = GraphBuilder::new("intent");
    graph.input("x", FLOAT, &[Dimension::Named("batch"), Dimension::Fixed(25)]);
    let weights: Vec<f32> = (0..25).map(|column| 0.1 - 0.01 * column as f32).collect();
    graph.initializer("w", &[25, 1], &weights);
    graph.initializer("bias", &[1], &[0.25]);
    graph.initializer("temperature", &[], &[0.5]);
    graph.node("Gemm", &["x", "w", "bias"], "z");
    build(&mut graph);
    graph.output("probability", FLOAT, shape);
    fs::write(intent.join("model/intent.onnx"), Document::new(graph.finish()).write()).unwrap();
    (folder, intent)
}

const COLUMN: [Dimension<'static>; 2] = [Dimension::Named("batch"), Dimension::Fixed(1)];

/// It had no problems, and training stopped at the first batch.
#[test]
fn a_logit_is_refused_for_training_with_the_setting_that_makes_it_a_probability() {
    let (_folder, intent) = intent_with(&COLUMN, |graph| graph.node("Mul", &["z", "temperature"], "probability"));
    let problems = Folder::check(&intent).err().unwrap();
    let problem = problems.iter().next().unwrap();
    assert!(problem.message.contains("output \"probability\" is no probability"), "{problems}");
    assert!(problem.suggestion.as_ref().unwrap().contains("activation = \"sigmoid\""), "{problems}");
    let settings = intent.join("pipeline.toml");
    edit(&settings, "output = \"probability\"", "output = \"probability\"\nactivation = \"sigmoid\"");
    let pipeline = Folder::check(&intent).unwrap();
    insta::assert_snapshot!(pipeline.train.unwrap().inventory, @r#"
    training of "probability" moves 26 number(s) in 2 tensor(s):
      w            [25, 1]
      bias         [1]
    and keeps 1 number(s) in 1 tensor(s):
      temperature  []       a single number
    "#);
    // Amounts need no activation.
    edit(&settings, "activation = \"sigmoid\"", "");
    edit(&settings, "[train]", "[train]\nloss = \"mean_squared_error\"");
    Folder::check(&intent).unwrap();
}

#[test]
fn an_activation_on_a_probability_is_refused_at_its_place() {
    let (_folder, intent) = intent_with(&COLUMN, |graph| graph.node("Sigmoid", &["z"], "probability"));
    Folder::check(&intent).unwrap();
    let settings = intent.join("pipeline.toml");
    edit(&settings, "output = \"probability\"", "activation = \"sigmoid\"");
    let problems = Folder::check(&intent).err().unwrap();
    let problem = problems.iter().next().unwrap();
    assert!(problem.message.contains("is a probability already, made by Sigmoid"), "{problems}");
    let text = fs::read_to_string(&settings).unwrap();
    let line = text.lines().position(|line| line.starts_with("activation")).unwrap() + 1;
    assert_eq!(problem.line, Some(line));
}

/// It had no problems, and the first ranking of one item ended the worker.
#[test]
fn a_model_that_squeezes_its_batch_away_is_refused() {
    let (_folder, intent) = intent_with(&[Dimension::Named("batch")], |graph| {
        graph.node("Sigmoid", &["z"], "p");
        graph.node("Squeeze", &["p"], "probability");
    });
    let problems = Folder::check(&intent).err().unwrap().to_string();
    assert!(problems.contains("has shape [] for 1 row(s)"), "{problems}");
}

/// Moves the weights of the model of `intent` into a file beside it.
fn move_weights_out(intent: &Path) {
    let file = intent.join("model/intent.onnx");
    let mut model = ModelProto::decode(&fs::read(&file).unwrap()[..]).unwrap();
    let weights = &mut model.graph.initializer[0];
    fs::write(intent.join("model/intent.onnx.data"), weights.raw_data.take().unwrap()).unwrap();
    let location = StringStringEntryProto { key: Some("location".into()), value: Some("intent.onnx.data".into()) };
    weights.external_data.push(location);
    weights.data_location = Some(DATA_LOCATION_EXTERNAL);
    fs::write(&file, model.encode_to_vec()).unwrap();
}

/// A model with its weights beside it was refused.
#[test]
fn weights_beside_the_file_are_part_of_the_model_and_of_its_version() {
    let (_folder, intent) = intent_with(&COLUMN, |graph| graph.node("Sigmoid", &["z"], "probability"));
    let bytes = |intent: &Path| Folder::check(intent).unwrap().model.unwrap().bytes;
    let whole = bytes(&intent);
    move_weights_out(&intent);
    let brought_in = bytes(&intent);
    let read = |bytes: &[u8]| Document::read(bytes).unwrap();
    assert_eq!(read(&brought_in).graph(), read(&whole).graph());

    let settings = intent.join("pipeline.toml");
    let version = ModelVersion::of(&brought_in);
    edit(&settings, "output = \"probability\"", &format!("output = \"probability\"\nversion = \"{version}\""));
    Folder::check(&intent).unwrap();
    let weights = intent.join("model/intent.onnx.data");
    fs::write(&weights, [0; 100]).unwrap();
    let problems = Folder::check(&intent).err().unwrap().to_string();
    assert!(problems.contains(&format!("not {version}")), "{problems}");
    fs::remove_file(&weights).unwrap();
    let problems = Folder::check(&intent).err().unwrap();
    let problem = problems.iter().next().unwrap();
    assert!(problem.message.contains("tensor \"w\" has its values in \"intent.onnx.data\""), "{problems}");
    assert_eq!(problem.suggestion, None, "another model is no help");
}

/// Converters of classifiers end them in a list of maps, which was refused.
#[test]
fn a_classifier_that_ends_in_a_list_of_maps_is_scored_and_trained_by_the_columns_behind_it() {
    let (_folder, intent) = intent_with(&[Dimension::Named("batch")], |graph| {
        graph.node("Neg", &["z"], "against");
        graph.node_with("Concat", &["against", "z"], "both", &[("axis", 1)]);
        graph.node("Softmax", &["both"], "columns");
        graph.node("ZipMap", &["columns"], "probability");
    });
    let file = intent.join("model/intent.onnx");
    let mut model = ModelProto::decode(&fs::read(&file).unwrap()[..]).unwrap();
    let zip_map = model.graph.node.last_mut().unwrap();
    zip_map.domain = Some("ai.onnx.ml".into());
    let ints = vec![0, 1];
    zip_map.attribute =
        vec![AttributeProto { name: Some("classlabels_int64s".into()), ints, r#type: Some(7), ..Default::default() }];
    model.opset_import.push(OperatorSetIdProto { domain: Some("ai.onnx.ml".into()), version: Some(1) });
    let map = type_proto::Map { key_type: Some(7), value_type: model.graph.output[0].r#type.take().map(Box::new) };
    let elem_type = Some(Box::new(TypeProto { value: Some(type_proto::Value::MapType(map)), denotation: None }));
    let maps = type_proto::Value::SequenceType(type_proto::Sequence { elem_type });
    model.graph.output[0].r#type = Some(TypeProto { value: Some(maps), denotation: None });
    fs::write(&file, model.encode_to_vec()).unwrap();

    let pipeline = Folder::check(&intent).unwrap();
    let document = Document::read(&pipeline.model.unwrap().bytes).unwrap();
    assert_eq!(class_labels(&document, "probability").unwrap(), ["0", "1"]);
    assert!(pipeline.train.unwrap().inventory.to_string().contains("moves 26 number(s) in 2 tensor(s)"));
}
