//! Where snapshots are kept: a folder, or a prefix of a bucket.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::{ObjectStore, RetryConfig};

use super::error::SnapshotError;
use super::folder::Folder;
use super::objects::Objects;
use super::shelf::Shelf;

/// How long one request to a bucket is tried again.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder, or a prefix of a bucket in Amazon S3 and what speaks its protocol, Google Cloud Storage or Azure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location(Place);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Folder(PathBuf),
    Bucket { cloud: Cloud, bucket: String, prefix: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cloud {
    Amazon,
    Google,
    Azure,
}

impl Cloud {
    fn scheme(self) -> &'static str {
        match self {
            Self::Amazon => "s3",
            Self::Google => "gs",
            Self::Azure => "az",
        }
    }
}

impl Location {
    /// Reads `path/to/folder`, `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.
    ///
    /// Credentials and further settings of a bucket come from the environment when it is opened: `AWS_ACCESS_KEY_ID`,
    /// `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT` and `AWS_ALLOW_HTTP` (for MinIO and others), and the other
    /// `AWS_`, `GOOGLE_` and `AZURE_` variables of the `object_store` crate.
    pub fn parse(given: &str) -> Result<Self, SnapshotError> {
        let wrong = |reason: &str| SnapshotError::Location { given: given.to_owned(), reason: reason.to_owned() };
        let Some((scheme, rest)) = given.split_once("://") else {
            return match given.trim().is_empty() {
                true => Err(wrong("it is empty")),
                false => Ok(Self(Place::Folder(given.into()))),
            };
        };
        let cloud = match scheme {
            "s3" => Cloud::Amazon,
            "gs" => Cloud::Google,
            "az" => Cloud::Azure,
            _ => return Err(wrong("its scheme is unknown")),
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(wrong("it names no bucket"));
        }
        Ok(Self(Place::Bucket { cloud, bucket: bucket.to_owned(), prefix: prefix.trim_matches('/').to_owned() }))
    }

    /// A folder.
    pub fn folder(path: impl Into<PathBuf>) -> Self {
        Self(Place::Folder(path.into()))
    }

    pub(super) async fn open(&self) -> Result<Shelf, SnapshotError> {
        match &self.0 {
            Place::Folder(path) => Shelf::folder(Folder::new(path.clone())).await,
            Place::Bucket { cloud, bucket, prefix } => {
                let store = connect(*cloud, bucket);
                let store = store
                    .map_err(|error| SnapshotError::Location { given: self.to_string(), reason: error.to_string() })?;
                Ok(Shelf::objects(Objects::new(store, prefix), self.to_string()))
            }
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Folder(path) => write!(formatter, "{}", path.display()),
            Place::Bucket { cloud, bucket, prefix } if prefix.is_empty() => {
                write!(formatter, "{}://{bucket}", cloud.scheme())
            }
            Place::Bucket { cloud, bucket, prefix } => write!(formatter, "{}://{bucket}/{prefix}", cloud.scheme()),
        }
    }
}

fn connect(cloud: Cloud, bucket: &str) -> Result<Arc<dyn ObjectStore>, object_store::Error> {
    let retry = RetryConfig { retry_timeout: PATIENCE, ..RetryConfig::default() };
    Ok(match cloud {
        Cloud::Amazon => Arc::new(AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(retry).build()?),
        Cloud::Google => {
            Arc::new(GoogleCloudStorageBuilder::from_env().with_bucket_name(bucket).with_retry(retry).build()?)
        }
        Cloud::Azure => {
            Arc::new(MicrosoftAzureBuilder::from_env().with_container_name(bucket).with_retry(retry).build()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_read_back_as_they_are_shown() {
        for given in ["state/snapshots", "/var/lib/state", "s3://bucket", "s3://bucket/a/b", "gs://b/p", "az://c/p"] {
            assert_eq!(Location::parse(given).unwrap().to_string(), given);
        }
        assert_eq!(Location::parse("s3://bucket/a/").unwrap().to_string(), "s3://bucket/a");
    }

    #[test]
    fn other_schemes_are_refused_with_those_that_are_known() {
        for given in ["ftp://host/a", "s3://", "", "http://host"] {
            let message = Location::parse(given).unwrap_err().to_string();
            assert!(message.contains("s3://bucket/prefix"), "{message}");
        }
    }
}
