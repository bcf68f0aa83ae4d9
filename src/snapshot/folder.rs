//! A local folder whose files survive a power cut: written aside, put onto the disk, then given their name.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;

/// A folder, its files and the folders in it.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    root: PathBuf,
}

impl Folder {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Makes a folder in it, and puts onto the disk that it is there.
    pub(super) fn make(&self, name: &str) -> io::Result<()> {
        let path = self.root.join(name);
        if path.is_dir() {
            return Ok(());
        }
        let there = self.root.ancestors().find(|above| above.is_dir()).unwrap_or(Path::new("/")).to_owned();
        fs::create_dir_all(&path)?;
        let made =
            path.ancestors().skip(1).take_while(|above| above.starts_with(&there) && !above.as_os_str().is_empty());
        made.map(Path::to_owned).try_for_each(|folder| sync(&folder))
    }

    /// Writes a file, in place of any of this name.
    pub(super) fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.write(name, bytes, |aside, path| fs::rename(aside, path))
    }

    /// Writes a file that is not there yet.
    pub(super) fn create(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.write(name, bytes, |aside, path| match fs::hard_link(aside, path) {
            Ok(()) => fs::remove_file(aside),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
            // Some network and container file systems have no links.
            Err(_) if !path.try_exists()? => fs::rename(aside, path),
            Err(_) => Err(io::ErrorKind::AlreadyExists.into()),
        })
    }

    fn write(&self, name: &str, bytes: &[u8], place: impl Fn(&Path, &Path) -> io::Result<()>) -> io::Result<()> {
        let path = self.root.join(name);
        let aside = self.root.join(format!("{name}.{}.unfinished", std::process::id()));
        let written = File::create(&aside).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
        if let Err(error) = written.and_then(|()| place(&aside, &path)) {
            // A full disk needs the space; if this fails, too, the next prune removes it.
            fs::remove_file(&aside).ok();
            return Err(error);
        }
        path.parent().map_or(Ok(()), sync)
    }

    pub(super) fn get(&self, name: &str) -> io::Result<Bytes> {
        fs::read(self.root.join(name)).map(Bytes::from)
    }

    /// Exactly these bytes of a file.
    pub(super) fn read(&self, name: &str, range: Range<u64>) -> io::Result<Bytes> {
        let mut file = File::open(self.root.join(name))?;
        file.seek(SeekFrom::Start(range.start))?;
        let length = range.end.saturating_sub(range.start);
        let mut bytes = Vec::with_capacity(length as usize);
        file.take(length).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(bytes.into())
    }

    /// The names of the files in one of its folders.
    pub(super) fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.root.join(folder))? {
            // A name that is not Unicode is not one of ours.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    /// Removes a file; one that is not there has been removed already.
    pub(super) fn delete(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.root.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_whole_or_not_there() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::new(place.path().join("a/b"));
        folder.make("packs").unwrap();
        folder.put("packs/1", b"first").unwrap();
        folder.put("packs/1", b"again").unwrap();
        assert_eq!(folder.get("packs/1").unwrap(), "again");
        assert_eq!(folder.read("packs/1", 1..4).unwrap(), "gai");
        assert_eq!(folder.list("packs").unwrap(), ["1"]);
        folder.delete("packs/1").unwrap();
        folder.delete("packs/1").unwrap();
        assert!(folder.list("packs").unwrap().is_empty());
    }

    #[test]
    fn what_is_there_is_not_created_again() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::new(place.path().to_owned());
        folder.make("manifests").unwrap();
        folder.create("manifests/1", b"first").unwrap();
        let error = folder.create("manifests/1", b"second").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(folder.get("manifests/1").unwrap(), "first");
        assert_eq!(folder.list("manifests").unwrap(), ["1"]);
    }

    #[test]
    fn bytes_past_the_end_are_an_error() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::new(place.path().to_owned());
        folder.put("short", b"12345").unwrap();
        for range in [3..6, 5..6, 9..10] {
            assert_eq!(folder.read("short", range).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}
