//! Finds ONNX Runtime and starts it, once per process.
//!
//! The library is loaded from a path that is known to exist and never by `ort`'s own search, which panics when there
//! is none. Its oldest usable version is that of the interface `ort` was built for.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError},
};

use ort::{LoadDynamicError, environment::Environment, logging::LogLevel};

use super::RuntimeError;

/// The variable that overrides the search, the one that `ort` itself would read.
const VARIABLE: &str = "ORT_DYLIB_PATH";
/// The folder that `scripts/fetch-runtime.sh` fills.
const FOLDER: &str = ".runtime";

/// Where ONNX Runtime is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RuntimeLibrary {
    /// The library file.
    pub path: PathBuf,
    /// Why this one.
    pub origin: RuntimeOrigin,
}

/// What led to a library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RuntimeOrigin {
    /// The environment variable `ORT_DYLIB_PATH`.
    Variable,
    /// A `.runtime` folder beside the program or in a folder above it.
    Program,
    /// A `.runtime` folder in the working folder or in a folder above it.
    WorkingFolder,
}

/// Finds the library: `ORT_DYLIB_PATH`, else a `.runtime` folder at or above the program, else at or above the working
/// folder. The program comes first so that a folder someone else left above the working folder does not win.
///
/// # Errors
/// [`RuntimeError::Variable`] when the variable names no file, [`RuntimeError::Missing`] when there is none.
pub(crate) fn find_runtime() -> Result<RuntimeLibrary, RuntimeError> {
    let program = env::current_exe().ok();
    let folder = env::current_dir().ok();
    let starts = [(program, RuntimeOrigin::Program), (folder, RuntimeOrigin::WorkingFolder)];
    find(env::var_os(VARIABLE), &starts)
}

/// The version of the library that this process uses, such as `1.32.0`; `unknown` where the file does not say.
/// Starts the library, so an answer means that it works.
pub(crate) fn runtime_version() -> Result<String, RuntimeError> {
    let runtime = runtime()?;
    let path = &runtime.library.path;
    let bytes =
        fs::read(path).map_err(|error| RuntimeError::Unusable { path: path.clone(), reason: error.to_string() })?;
    Ok(version_in(&bytes).unwrap_or("unknown").to_owned())
}

/// The process's one ONNX Runtime environment, started on first use; a failed start is tried again on the next use.
pub(super) fn environment() -> Result<&'static Environment, RuntimeError> {
    runtime().map(|runtime| &runtime.environment)
}

struct Runtime {
    library: RuntimeLibrary,
    environment: Environment,
}

fn runtime() -> Result<&'static Runtime, RuntimeError> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    static STARTING: Mutex<()> = Mutex::new(());
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let _one_at_a_time = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let library = find_runtime()?;
    let environment = start(&library.path)?;
    Ok(RUNTIME.get_or_init(|| Runtime { library, environment }))
}

fn start(path: &Path) -> Result<Environment, RuntimeError> {
    let unusable = |reason: String| RuntimeError::Unusable { path: path.to_owned(), reason };
    let builder = ort::init_from(path).map_err(|error| match error {
        LoadDynamicError::BadVersion { version_str, path } => {
            RuntimeError::TooOld { path, found: version_str, needed: ort::MINOR_VERSION }
        }
        other => unusable(other.to_string()),
    })?;
    let environment =
        builder.with_name("tidewheel").with_telemetry(false).build().map_err(|error| unusable(error.to_string()))?;
    // `ort` asks the library for its most verbose log and filters afterwards: that is paid on every run.
    environment.set_log_level(LogLevel::Warning);
    Ok(environment)
}

fn find(
    variable: Option<OsString>,
    starts: &[(Option<PathBuf>, RuntimeOrigin)],
) -> Result<RuntimeLibrary, RuntimeError> {
    if let Some(value) = variable.filter(|value| !value.is_empty()) {
        let path = PathBuf::from(value);
        if !path.is_file() {
            return Err(RuntimeError::Variable { path });
        }
        return Ok(RuntimeLibrary { path, origin: RuntimeOrigin::Variable });
    }
    let file = format!("{}onnxruntime{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX);
    for (start, origin) in starts {
        for folder in start.iter().flat_map(|start| start.ancestors()) {
            let path = folder.join(FOLDER).join(&file);
            if path.is_file() {
                return Ok(RuntimeLibrary { path, origin: *origin });
            }
        }
    }
    Err(RuntimeError::Missing { file })
}

/// The version in the name under which a Linux build of ONNX Runtime exports its functions, such as `VERS_1.32.0`.
/// `ort` reads the version through the interface but does not pass it on, and the build information lacks it.
fn version_in(library: &[u8]) -> Option<&str> {
    const MARK: &[u8] = b"VERS_";
    library.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK).find_map(|(at, _)| {
        let rest = library.get(at + MARK.len()..)?;
        let length = rest.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
        let version = std::str::from_utf8(rest.get(..length)?).ok()?;
        (version.matches('.').count() == 2).then_some(version)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place_library(folder: &Path) -> PathBuf {
        let file = format!("{}onnxruntime{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX);
        fs::create_dir_all(folder.join(FOLDER)).unwrap();
        let path = folder.join(FOLDER).join(file);
        fs::write(&path, b"").unwrap();
        path
    }

    #[test]
    fn the_nearest_folder_above_the_program_wins_over_the_working_folder() {
        let root = tempfile::tempdir().unwrap();
        let (program, work) = (root.path().join("a/target/release/tidewheel"), root.path().join("b"));
        let (beside, below) = (place_library(&root.path().join("a")), place_library(&work));
        let starts = [(Some(program), RuntimeOrigin::Program), (Some(work), RuntimeOrigin::WorkingFolder)];

        let found = find(None, &starts).unwrap();
        assert_eq!(found, RuntimeLibrary { path: beside, origin: RuntimeOrigin::Program });
        let found = find(Some(OsString::new()), &starts[1..]).unwrap();
        assert_eq!(found, RuntimeLibrary { path: below, origin: RuntimeOrigin::WorkingFolder });
    }

    #[test]
    fn the_variable_wins_and_is_never_ignored() {
        let root = tempfile::tempdir().unwrap();
        let path = place_library(root.path());
        let starts = [(Some(root.path().to_owned()), RuntimeOrigin::WorkingFolder)];
        let found = find(Some(path.clone().into()), &starts).unwrap();
        assert_eq!(found, RuntimeLibrary { path, origin: RuntimeOrigin::Variable });
        insta::assert_snapshot!(
            find(Some("/nowhere/lib.so".into()), &starts).unwrap_err(),
            @r#"ORT_DYLIB_PATH is "/nowhere/lib.so", which is not a file: correct it, or unset it and run scripts/fetch-runtime.sh"#
        );
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_missing_library_says_what_to_run() {
        let root = tempfile::tempdir().unwrap();
        insta::assert_snapshot!(
            find(None, &[(Some(root.path().to_owned()), RuntimeOrigin::Program)]).unwrap_err(),
            @"no ONNX Runtime found: libonnxruntime.so is in no .runtime folder at or above the program or the working folder: run scripts/fetch-runtime.sh, or set ORT_DYLIB_PATH to the library"
        );
    }

    #[test]
    fn the_runtime_starts_once_and_tells_its_version() {
        let first: *const Environment = environment().unwrap();
        assert_eq!(first, std::ptr::from_ref::<Environment>(environment().unwrap()));
        let version = runtime_version().unwrap();
        assert!(version.starts_with("1."), "{version}");
    }

    #[test]
    fn the_version_is_read_from_the_symbol_names_only() {
        assert_eq!(version_in(b"\0VERS_x\0OrtGetApiBase\0VERS_1.32.0\0"), Some("1.32.0"));
        assert_eq!(version_in(b"\0VERS_1.32"), None);
        assert_eq!(version_in(b""), None);
    }
}
