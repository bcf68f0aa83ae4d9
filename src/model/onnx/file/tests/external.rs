use std::fs::File;

use prost::Message;

use super::doubling;
use crate::model::{
    ModelError,
    onnx::{
        Document, MAX_FILE_BYTES,
        proto::{
            DATA_LOCATION_EXTERNAL, StringStringEntryProto, TensorProto,
            data_type::{FLOAT, FLOAT16},
        },
        read_file,
    },
};

fn outside(entries: &[(&str, &str)]) -> TensorProto {
    let entry = |(key, value): &(&str, &str)| StringStringEntryProto {
        key: Some((*key).to_owned()),
        value: Some((*value).to_owned()),
    };
    TensorProto {
        name: Some("w".to_owned()),
        dims: vec![2],
        data_type: Some(FLOAT),
        data_location: Some(DATA_LOCATION_EXTERNAL),
        external_data: entries.iter().map(entry).collect(),
        ..Default::default()
    }
}

/// What is said of a tensor of two float32 values in another file, in a folder with files `w.bin` of 12 bytes, `inner/v.bin`,
/// and links.
fn refusal(tensor: TensorProto) -> Result<Vec<u8>, String> {
    let around = tempfile::tempdir().unwrap();
    let folder = around.path().join("model");
    std::fs::create_dir_all(folder.join("inner")).unwrap();
    std::fs::write(folder.join("w.bin"), [0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
    std::fs::write(folder.join("inner/v.bin"), [7; 8]).unwrap();
    std::fs::write(around.path().join("secret"), [9; 64]).unwrap();
    std::os::unix::fs::symlink("../secret", folder.join("out")).unwrap();
    std::os::unix::fs::symlink("inner/v.bin", folder.join("in")).unwrap();
    let path = folder.join("m.onnx");
    std::fs::write(&path, doubling(vec![tensor]).encode_to_vec()).unwrap();
    let bytes = read_file(&path).map_err(|error| error.to_string())?;
    let document = Document::read(&bytes).unwrap();
    let tensor = document.graph().initializer.last().unwrap();
    assert!(tensor.external_data.is_empty() && tensor.data_location.is_none());
    Ok(tensor.raw_data().to_vec())
}

#[test]
fn values_come_from_files_below_the_models_folder_and_from_nowhere_else() {
    assert_eq!(
        refusal(outside(&[("location", "w.bin"), ("offset", "4"), ("length", "8")])).unwrap(),
        [1, 2, 3, 4, 5, 6, 7, 8]
    );
    assert_eq!(
        refusal(outside(&[("location", "w.bin"), ("checksum", "0"), ("length", "8")])).unwrap(),
        [0, 0, 0, 0, 1, 2, 3, 4]
    );
    assert_eq!(refusal(outside(&[("location", "./inner/v.bin")])).unwrap(), [7; 8]);
    assert_eq!(refusal(outside(&[("location", "in")])).unwrap(), [7; 8]);
    insta::assert_snapshot!(
        refusal(outside(&[("location", "../secret")])).unwrap_err(),
        @r#"tensor "w" has its values in "../secret": only files below the model's folder are read: put it beside the model and name it so; or save the model in one file, with external_data=False in torch.onnx.export or save_as_external_data=False in onnx.save_model"#
    );
    for location in ["/etc/passwd", "inner/../../secret", "", "..", "/"] {
        let refused = refusal(outside(&[("location", location)])).unwrap_err();
        assert!(refused.contains("only files below the model's folder are read"), "{refused}");
    }
    let refused = refusal(outside(&[])).unwrap_err();
    assert!(refused.contains("only files below the model's folder are read"), "{refused}");
    for (location, what) in [
        ("out", "it is a link out of the model's folder"),
        ("inner", "that is no regular file"),
        ("none.bin", "copy it beside the model"),
    ] {
        let refused = refusal(outside(&[("location", location)])).unwrap_err();
        assert!(refused.contains(&format!("in {location:?}: ")) && refused.contains(what), "{refused}");
    }
}

#[test]
fn values_that_do_not_fit_their_shape_or_their_file_are_refused() {
    let at = |entries: &[(&str, &str)]| {
        let entries: Vec<_> = [("location", "w.bin")].iter().chain(entries).copied().collect();
        refusal(outside(&entries)).unwrap_err()
    };
    for (entries, what) in [
        (&[("length", "12")][..], "its shape [2] makes 8 bytes, length says 12"),
        (&[("offset", "8")], "it has 12 bytes, the values are the 8 from 8 on"),
        (&[("offset", "18446744073709551615")], "it has 12 bytes"),
        (&[("offset", "-1")], "its offset \"-1\" is no number"),
        (&[("length", "")], "its length \"\" is no number"),
    ] {
        let refused = at(entries);
        assert!(refused.contains(what), "{refused}");
    }
    let location = [("location", "w.bin")];
    for tensor in [
        TensorProto { dims: vec![-1], ..outside(&location) },
        TensorProto { dims: vec![i64::MAX, i64::MAX], ..outside(&location) },
        TensorProto { data_type: Some(8), ..outside(&location) },
    ] {
        assert!(refusal(tensor).is_err());
    }
    let large = refusal(TensorProto { dims: vec![1 << 26], ..outside(&location) }).unwrap_err();
    assert!(large.contains("it has 12 bytes, the values are the 268435456"), "{large}");
    let none = TensorProto { dims: vec![0], ..outside(&location) };
    assert_eq!(refusal(none), Ok(Vec::new()));
}

/// Each file is small enough; together they are not. Sparse, so that no disk fills.
#[test]
fn a_model_and_its_other_files_are_bounded_together() {
    let folder = tempfile::tempdir().unwrap();
    let half = MAX_FILE_BYTES / 2;
    File::create(folder.path().join("w.bin")).unwrap().set_len(half).unwrap();
    let tensor = || TensorProto { dims: vec![half as i64 / 4], ..outside(&[("location", "w.bin")]) };
    let path = folder.path().join("m.onnx");
    std::fs::write(&path, doubling(vec![tensor(), tensor()]).encode_to_vec()).unwrap();
    assert!(matches!(read_file(&path), Err(ModelError::TooLarge { limit: MAX_FILE_BYTES })));
}

#[test]
fn halves_pass_through_unharmed_in_either_form() {
    let bits = [0x3c00_u16, 0x7e01, 0x8000, 0x0001];
    let raw = bits.iter().flat_map(|bits| bits.to_le_bytes()).collect();
    let half = |name: &str| TensorProto {
        name: Some(name.to_owned()),
        dims: vec![4],
        data_type: Some(FLOAT16),
        ..Default::default()
    };
    let packed = TensorProto { raw_data: Some(raw), ..half("raw") };
    let listed = TensorProto { int32_data: bits.iter().map(|bits| i32::from(*bits)).collect(), ..half("listed") };
    let bytes = doubling(vec![packed.clone(), listed.clone()]).encode_to_vec();
    let document = Document::read(&bytes).unwrap();
    assert_eq!(document.graph().initializer[1..], [packed, listed]);
    assert_eq!(document.write(), bytes);
}
