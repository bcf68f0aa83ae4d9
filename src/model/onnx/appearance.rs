//! What a file is that is no ONNX model, as far as its first bytes tell.

use crate::model::ModelError;

/// Files that are given for models, by how they begin, and what to do with each.
const BEGINNINGS: [(&[u8], &str); 15] = [
    (b"version https://git-lfs", "it is a Git LFS pointer, not the file itself: run git lfs pull"),
    (b"<!DOCTYPE", "it is an HTML page: download the file itself, not the page that shows it"),
    (b"<html", "it is an HTML page: download the file itself, not the page that shows it"),
    (b"<?xml", "it is XML: export the model to ONNX"),
    (
        b"PK\x03\x04",
        "it is a zip archive, as PyTorch (.pt), Keras (.keras) and NumPy (.npz) write: unpack it if the .onnx file is inside, \
         else export the model with torch.onnx.export or tf2onnx",
    ),
    (b"\x89HDF\r\n", "it is an HDF5 file, as Keras writes (.h5): export the model with tf2onnx"),
    (b"\x1f\x8b", "it is compressed by gzip: unpack it"),
    (b"BZh", "it is compressed by bzip2: unpack it"),
    (b"\x28\xb5\x2f\xfd", "it is compressed by zstd: unpack it"),
    (b"\x93NUMPY", "it is a NumPy array: export the model to ONNX"),
    (b"GGUF", "it is a GGUF file of a language model: export a model to ONNX"),
    (b"CBM1", "it is a CatBoost model (.cbm): save it with format=\"onnx\""),
    (b"tree\n", "it is a LightGBM model as text: convert it to ONNX"),
    (b"{", "it is JSON: convert the model that it describes to ONNX"),
    (b"binf", "it is an XGBoost model of an old form: convert it to ONNX"),
];

/// Files that have their mark after 4 bytes.
const MARKS: [(&[u8], &str); 2] = [
    (b"TFL3", "it is a TensorFlow Lite model: export the model with tf2onnx"),
    (b"ORTM", "it is in ONNX Runtime's own format (.ort): give the .onnx file that it was made of"),
];

/// What the bytes look like, where that is something else than a model.
pub(super) fn look(bytes: &[u8]) -> Option<&'static str> {
    if bytes.is_empty() {
        return Some("it is empty");
    }
    let text = bytes.trim_ascii_start();
    let begins = |start: &[u8]| {
        bytes.starts_with(start) || text.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start))
    };
    if let Some((_, what)) = BEGINNINGS.iter().find(|(start, _)| begins(start)) {
        return Some(what);
    }
    if let Some((_, what)) = MARKS.iter().find(|(mark, _)| bytes.get(4..).is_some_and(|rest| rest.starts_with(mark))) {
        return Some(what);
    }
    match bytes {
        [0x80, 2..=5, ..] => Some(
            "it is a Python pickle, as joblib, pickle and torch.save write: export the model with skl2onnx or torch.onnx.export",
        ),
        // The length of a header in JSON.
        [_, _, _, _, _, 0, 0, 0, b'{', ..] => {
            Some("it is a safetensors file, weights without a graph: export the model with torch.onnx.export")
        }
        _ => None,
    }
}

/// The refusal of bytes that are no model: by what they look like, where that is something else, or by what is wrong with them.
pub(super) fn refusal(bytes: &[u8], error: ModelError) -> ModelError {
    match (look(bytes), error) {
        (Some(what), _) => ModelError::NotOnnx { reason: what.to_owned() },
        // A model has no such field, but other files have: one that has it and no graph is none.
        (None, ModelError::UnknownField { message: "ModelProto", .. }) if !has_graph(bytes) => {
            ModelError::NotOnnx { reason: NO_GRAPH.to_owned() }
        }
        (None, error) => error,
    }
}

/// Of a file without a graph.
pub(super) const NO_GRAPH: &str =
    "it has no graph with an output; a TensorFlow SavedModel (.pb) is exported with tf2onnx";

/// Whether a file has the fields that every model has: a version of the format, and a graph.
fn has_graph(mut bytes: &[u8]) -> bool {
    const VERSION: u64 = 1 << 3;
    const GRAPH: u64 = 7 << 3 | 2;
    let (mut has_version, mut has_graph) = (false, false);
    while let Ok(key) = prost::encoding::decode_varint(&mut bytes) {
        has_version |= key == VERSION;
        has_graph |= key == GRAPH;
        let skipped = match key & 7 {
            0 => prost::encoding::decode_varint(&mut bytes).is_ok().then_some(0),
            1 => Some(8),
            2 => prost::encoding::decode_varint(&mut bytes).ok().and_then(|length| usize::try_from(length).ok()),
            5 => Some(4),
            _ => None,
        };
        match skipped.and_then(|skipped| bytes.get(skipped..)) {
            Some(rest) => bytes = rest,
            None => break,
        }
    }
    has_version && has_graph
}

#[cfg(test)]
mod tests {
    use crate::model::onnx::Document;

    fn refused(bytes: &[u8]) -> String {
        Document::read(bytes).unwrap_err().to_string()
    }

    /// They were all called fields of a newer format.
    #[test]
    fn files_that_are_no_models_are_called_what_they_are() {
        for (bytes, what) in [
            (&b""[..], "it is empty"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n", "it is a Git LFS pointer"),
            (b"\n <!doctype html><title>404</title>", "it is an HTML page"),
            (b"PK\x03\x04\x14\x00", "it is a zip archive"),
            (b"\x80\x04\x95\x1c\x00", "it is a Python pickle"),
            (b"\x89HDF\r\n\x1a\n", "it is an HDF5 file"),
            (b"tree\nversion=v4\nnum_class=1\n", "it is a LightGBM model as text"),
            (b"{\"learner\": {}}", "it is JSON"),
            (b"\x1c\x00\x00\x00TFL3\x00", "it is a TensorFlow Lite model"),
            (b"\x58\x00\x00\x00\x00\x00\x00\x00{\"w\":{}}", "it is a safetensors file"),
        ] {
            let refused = refused(bytes);
            assert!(refused.starts_with(&format!("not a readable ONNX file: {what}")), "{refused}");
        }
    }

    #[test]
    fn what_has_neither_version_nor_graph_is_no_model_of_a_newer_format() {
        // "hello" is field 13 of length 101.
        insta::assert_snapshot!(
            refused(b"hello there"),
            @"not a readable ONNX file: it has no graph with an output; a TensorFlow SavedModel (.pb) is exported with tf2onnx"
        );
        insta::assert_snapshot!(
            refused(&[13 << 3 | 2, 1, 0]),
            @"not a readable ONNX file: it has no graph with an output; a TensorFlow SavedModel (.pb) is exported with tf2onnx"
        );
        // A version, an empty graph, and a field that there is not yet.
        insta::assert_snapshot!(
            refused(&[1 << 3, 12, 7 << 3 | 2, 0, 13 << 3 | 2, 1, 0]),
            @"field 13 of ModelProto is not known to this version and would be lost: export the model with an older ONNX format"
        );
    }
}
