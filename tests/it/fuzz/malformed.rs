//! A malformed model never reaches serving: files are mutated wherever a worker takes a model from.
//!
//! A model with a version in its settings, and every version of the registry, is known by its digest, so what was changed
//! is never run. Of another file in a folder nothing is known but that it can be read: it is run by a child process here,
//! because what ONNX Runtime does with broken files is not this program's to promise.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidewheel::bus::{ContentDigest, ObjectStoreSpec};
use tidewheel::config::Folder;
use tidewheel::model::ModelVersion;
use tidewheel::pipeline::Names;
use tidewheel::registry::{ModelRecord, Registry, RegistryError};

use super::mutate::mutate;
use super::targets::shipped;
use crate::broker::server;
use crate::taobao::root;
use crate::training::copy;

const MODEL: &str = "pipelines/intent/model/intent.onnx";

/// Other bytes than those of the model.
fn changed(model: &[u8], seed: u64) -> Vec<u8> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut bytes = model.to_vec();
    while bytes == model {
        for _ in 0..random.random_range(1..4) {
            mutate(&mut bytes, model, &["Loop", "Gemm", "location"], &mut random);
        }
    }
    bytes
}

/// The pipeline `intent` below a folder.
fn intent(folder: &Path) -> std::path::PathBuf {
    copy(&root().join("schemas"), &folder.join("schemas"));
    let intent = folder.join("intent");
    copy(&root().join("pipelines/intent"), &intent);
    intent
}

#[test]
fn a_changed_file_of_a_model_with_a_version_is_refused_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let intent = intent(folder.path());
    let model = shipped(MODEL);
    let settings = fs::read_to_string(intent.join("pipeline.toml")).unwrap();
    let version = format!("[model]\nversion = \"{}\"", ModelVersion::of(&model));
    fs::write(intent.join("pipeline.toml"), settings.replace("[model]", &version)).unwrap();
    assert!(Folder::check(&intent).is_ok());
    for seed in 0..200 {
        fs::write(intent.join("model/intent.onnx"), changed(&model, seed)).unwrap();
        let problems = Folder::check(&intent).err().unwrap_or_else(|| panic!("seed {seed} was accepted")).to_string();
        assert!(problems.contains("intent.onnx is version"), "seed {seed}: {problems}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_version_is_never_what_the_registry_gives() {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus) = server(folder.path()).await;
    let (model, copies) = (bytes::Bytes::from(shipped(MODEL)), folder.path().join("models"));
    let names = Names::of("shop").registry();
    let registry = Registry::open(&bus, names.clone(), Some(copies.clone())).await.unwrap();
    let record = ModelRecord::initial(&model, "f00d", 1);
    registry.store(model.clone(), &record).await.unwrap();
    let copy = copies.join(format!("{}.onnx", record.version));
    for seed in 0..300 {
        fs::write(&copy, changed(&model, seed)).unwrap();
        assert_eq!(registry.fetch(&record.version).await.unwrap(), model, "seed {seed}");
    }

    // In the store itself, where the bytes have the digest of an object of their own.
    let objects = ObjectStoreSpec { bucket: "SHOP_MODELS".to_owned(), max_bytes: None, replicas: 1 };
    let objects = bus.object_store(&objects).await.unwrap();
    let name = format!("model.{}", record.version);
    let metadata = objects.info(&name).await.unwrap().unwrap().metadata;
    let registry = Registry::open(&bus, names, None).await.unwrap();
    for seed in 0..50 {
        let bytes = changed(&model, seed);
        objects.put(&name, bytes.clone().into(), metadata.clone()).await.unwrap();
        match registry.fetch(&record.version).await {
            Err(RegistryError::Digest { version, found, .. }) => {
                assert_eq!((version, found), (record.version.clone(), ContentDigest::of(&bytes)));
            }
            other => panic!("seed {seed}: {other:?}"),
        }
        assert!(registry.promote(&record.version, tidewheel::bus::Revision(0), "", 1).await.is_err());
    }
    server.stop().await.unwrap();
}

#[test]
fn a_changed_file_without_a_version_is_taken_or_refused_and_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let intent = intent(folder.path());
    let model = shipped(MODEL);
    let seeds = std::env::var("FUZZ_MODELS").map_or(30, |text| text.parse().unwrap());
    let mut accepted = 0;
    for seed in 0..seeds {
        fs::write(intent.join("model/intent.onnx"), changed(&model, seed)).unwrap();
        let mut check = Command::new(env!("CARGO_BIN_EXE_tidewheel"));
        check.arg("check").arg(&intent).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut check = check.spawn().unwrap();
        let since = Instant::now();
        while check.try_wait().unwrap().is_none() {
            if since.elapsed() > Duration::from_secs(30) {
                check.kill().unwrap();
                panic!("seed {seed}: no end");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let output = check.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0) => accepted += 1,
            Some(_) => assert!(said.contains("intent.onnx"), "seed {seed}: {said}"),
            None => panic!("seed {seed}: {}: {said}", output.status),
        }
    }
    println!("{accepted} of {seeds} changed files were accepted: give a model a version");
}
