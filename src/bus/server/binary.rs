//! Finding a nats-server program that is new enough.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::ServerError;

/// Subject transforms in streams, atomic batches and priority groups are all there from this version on.
const LEAST: ServerVersion = ServerVersion { major: 2, minor: 12, patch: 0 };

/// Where the fetching script puts it, below the project's root.
const FETCHED: &str = ".runtime/nats-server";

/// A nats-server program that runs and is new enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerBinary {
    path: PathBuf,
    version: ServerVersion,
    origin: BinaryOrigin,
}

/// How the program was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOrigin {
    /// Named by the environment variable `NATS_SERVER`.
    Environment,
    /// Fetched into `.runtime/`.
    Runtime,
    /// On the `PATH`.
    Path,
}

/// A version of nats-server, without what may follow the three numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerVersion {
    /// The first number.
    pub major: u32,
    /// The second.
    pub minor: u32,
    /// The third.
    pub patch: u32,
}

/// Where to look.
#[derive(Default)]
struct Places {
    environment: Option<OsString>,
    current_folder: Option<PathBuf>,
    executable: Option<PathBuf>,
    path: Option<OsString>,
}

impl ServerBinary {
    /// Finds the program: `NATS_SERVER` if it is set, else `.runtime/nats-server` in the current folder, in a folder above
    /// it, or in one above this executable, else `nats-server` on the `PATH`.
    ///
    /// # Errors
    /// [`ServerError::NotFound`], [`ServerError::TooOld`] or [`ServerError::NotRunnable`], each with what to do about it.
    pub fn find() -> Result<Self, ServerError> {
        Self::find_in(&Places {
            environment: env::var_os("NATS_SERVER").filter(|value| !value.is_empty()),
            current_folder: env::current_dir().ok(),
            executable: env::current_exe().ok(),
            path: env::var_os("PATH"),
        })
    }

    /// The program's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> ServerVersion {
        self.version
    }

    /// How it was found.
    #[must_use]
    pub fn origin(&self) -> BinaryOrigin {
        self.origin
    }

    fn find_in(places: &Places) -> Result<Self, ServerError> {
        let (path, origin) = places.first().ok_or(ServerError::NotFound { least: LEAST })?;
        let version = ask_version(&path)?;
        if version < LEAST {
            return Err(ServerError::TooOld { path, found: version, least: LEAST });
        }
        Ok(Self { path, version, origin })
    }
}

impl Places {
    fn first(&self) -> Option<(PathBuf, BinaryOrigin)> {
        if let Some(path) = &self.environment {
            return Some((PathBuf::from(path), BinaryOrigin::Environment));
        }
        for start in [&self.current_folder, &self.executable].into_iter().flatten() {
            let fetched = start.ancestors().map(|folder| folder.join(FETCHED)).find(|path| path.is_file());
            if let Some(path) = fetched {
                return Some((path, BinaryOrigin::Runtime));
            }
        }
        let folders = self.path.as_ref()?;
        let found = env::split_paths(folders).map(|folder| folder.join("nats-server")).find(|path| path.is_file())?;
        Some((found, BinaryOrigin::Path))
    }
}

impl ServerVersion {
    /// Reads what `nats-server --version` prints: `nats-server: v2.15.1`.
    fn parse(printed: &str) -> Option<Self> {
        let version = printed.trim().strip_prefix("nats-server:")?.trim().trim_start_matches('v');
        let mut numbers = version.split(['.', '-', '+']).map(str::parse);
        let mut next = || numbers.next()?.ok();
        Some(Self { major: next()?, minor: next()?, patch: next()? })
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

fn ask_version(path: &Path) -> Result<ServerVersion, ServerError> {
    let refuse = |reason: String| ServerError::NotRunnable { path: path.to_owned(), reason };
    let output = Command::new(path).arg("--version").output().map_err(|error| refuse(error.to_string()))?;
    let printed = String::from_utf8_lossy(&output.stdout);
    ServerVersion::parse(&printed).ok_or_else(|| refuse(format!("it answers {:?} to --version", printed.trim())))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A program that says it is nats-server of the given version, in `folder`.
    fn pretend(folder: &Path, prints: &str) -> PathBuf {
        fs::create_dir_all(folder).unwrap();
        let path = folder.join("nats-server");
        fs::write(&path, format!("#!/bin/sh\necho '{prints}'\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn the_environment_goes_before_the_fetched_one_and_that_before_the_path() {
        let root = tempfile::tempdir().unwrap();
        let named = pretend(&root.path().join("named"), "nats-server: v2.14.0");
        let fetched = pretend(&root.path().join("project/.runtime"), "nats-server: v2.15.1");
        let on_path = pretend(&root.path().join("bin"), "nats-server: v2.12.0");
        let below = root.path().join("project/deep/below");
        let mut places = Places {
            environment: Some(named.clone().into()),
            current_folder: Some(below.clone()),
            executable: None,
            path: Some(env::join_paths(["/nowhere".into(), root.path().join("bin")]).unwrap()),
        };
        let found = |places: &Places| {
            let binary = ServerBinary::find_in(places).unwrap();
            (binary.path, binary.origin)
        };
        assert_eq!(found(&places), (named, BinaryOrigin::Environment));
        places.environment = None;
        assert_eq!(found(&places), (fetched.clone(), BinaryOrigin::Runtime));
        places.executable = places.current_folder.take().map(|folder| folder.join("tidewheel"));
        assert_eq!(found(&places), (fetched, BinaryOrigin::Runtime));
        places.executable = None;
        assert_eq!(found(&places), (on_path, BinaryOrigin::Path));
    }

    #[test]
    fn a_missing_an_old_and_a_strange_program_are_told_apart() {
        let root = tempfile::tempdir().unwrap();
        let settings = |path: &Path| Places { environment: Some(path.into()), ..Places::default() };
        let say = |places: Places| ServerBinary::find_in(&places).unwrap_err().to_string();
        let old = pretend(&root.path().join("old"), "nats-server: v2.9.10");
        let strange = pretend(&root.path().join("strange"), "hello");
        let said = [say(Places::default()), say(settings(&old)), say(settings(&strange))].join("\n");
        insta::assert_snapshot!(said.replace(&root.path().display().to_string(), "ROOT"), @r#"
        nats-server not found: run `scripts/fetch-runtime.sh` (or `make demo`), or set NATS_SERVER to one of version 2.12.0 or newer
        nats-server at ROOT/old/nats-server is version 2.9.10, but 2.12.0 or newer is needed: run `scripts/fetch-runtime.sh` (or `make demo`), or set NATS_SERVER
        ROOT/strange/nats-server does not run as nats-server (it answers "hello" to --version): run `scripts/fetch-runtime.sh` (or `make demo`), or set NATS_SERVER
        "#);
    }

    #[test]
    fn versions_are_read_with_and_without_a_suffix() {
        let version = |major, minor, patch| Some(ServerVersion { major, minor, patch });
        assert_eq!(ServerVersion::parse("nats-server: v2.15.1\n"), version(2, 15, 1));
        assert_eq!(ServerVersion::parse("nats-server: v2.12.0-RC.3"), version(2, 12, 0));
        assert_eq!(ServerVersion::parse("nats-server: v2"), None);
        assert_eq!(ServerVersion::parse("go version go1.24"), None);
    }
}
