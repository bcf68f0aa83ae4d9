mod external;
mod functions;
mod zip_map;

use super::*;
use crate::model::{
    ModelVersion,
    onnx::{
        Document, GraphBuilder, golden,
        proto::{ModelProto, TensorProto, data_type::FLOAT},
    },
};

fn golden_file(name: &str) -> (Vec<u8>, Vec<u8>) {
    let path = golden::folder().join(format!("{name}.onnx"));
    (std::fs::read(&path).unwrap(), read_file(&path).unwrap())
}

/// The version of a model is the digest of what its file is rewritten to. Were it another one day, every pipeline with such a file
/// would begin a new lineage.
#[test]
fn rewritten_files_compute_the_same_and_keep_their_version() {
    let mut versions = Vec::new();
    for name in ["external", "functions", "zip_map", "zip_map_texts"] {
        let (before, after) = golden_file(name);
        let document = Document::read(&after).unwrap();
        golden::agrees(&document, name);
        assert!(before != after && document.model.functions.is_empty());
        assert_eq!(document.write(), after);
        versions.push(format!("{name} {}", ModelVersion::of(&after)));
    }
    insta::assert_snapshot!(versions.join("\n"), @r"
    external e3731ad70655
    functions 77e8c49a1205
    zip_map 7f861f0f2f71
    zip_map_texts 84f10b9efe04
    ");
}

#[test]
fn a_file_that_needs_no_rewriting_keeps_its_bytes() {
    let (before, after) = golden_file("set_7");
    assert_eq!(before, after);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    // Written by another writer: a version of the format after the graph, and dims that are packed.
    let mut bytes = doubling(Vec::new()).encode_to_vec();
    bytes.extend([1 << 3, 9]);
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(read_file(&path).unwrap(), bytes);
}

/// With a version in its settings, a pipeline says of a damaged file that it has another one.
#[test]
fn a_file_that_is_no_model_keeps_its_bytes_and_is_refused_when_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    std::fs::write(&path, b"PK\x03\x04").unwrap();
    let bytes = read_file(&path).unwrap();
    assert_eq!(bytes, b"PK\x03\x04");
    assert!(Document::read(&bytes).is_err());
    File::create(&path).unwrap().set_len(MAX_FILE_BYTES + 1).unwrap();
    assert!(matches!(read_file(&path), Err(ModelError::TooLarge { .. })));
}

#[test]
fn the_file_itself_is_missed_before_anything_else() {
    let error = read_file(Path::new("/nowhere/m.onnx")).unwrap_err();
    assert!(matches!(error, ModelError::File(FileError::Unreadable(_))), "{error}");
    let error = read_file(&std::env::temp_dir()).unwrap_err();
    assert!(matches!(error, ModelError::File(FileError::Unreadable(_))), "{error}");
}

/// `y = 2 x`, with these initializers more.
fn doubling(initializer: Vec<TensorProto>) -> ModelProto {
    let mut graph = GraphBuilder::new("double");
    graph.input("x", FLOAT, &[]);
    graph.initializer("two", &[1], &[2.0]);
    graph.node("Mul", &["x", "two"], "y");
    graph.output("y", FLOAT, &[]);
    let mut graph = graph.finish();
    graph.initializer.extend(initializer);
    Document::new(graph).model
}

proptest::proptest! {
    #[test]
    fn damaged_files_never_panic(file in 0_usize..3, position in 0_usize..2_000, value: u8) {
        let (mut bytes, _) = golden_file(["external", "functions", "zip_map"][file]);
        let position = position % bytes.len();
        bytes[position] = value;
        if let Ok(bytes) = self_contained(bytes, &golden::folder()) {
            // What has been brought in needs nothing more.
            proptest::prop_assert_eq!(self_contained(bytes.clone(), Path::new("/nowhere")).unwrap(), bytes);
        }
    }
}
