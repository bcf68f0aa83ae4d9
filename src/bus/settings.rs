//! How to reach a server: address, credentials, TLS.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_nats::ConnectOptions;

/// The server is asked so often whether it is still there; without three answers the connection is given up. The client's
/// own default of a minute would leave a pipeline silent for minutes when a connection dies without a word.
const ASK_EVERY: Duration = Duration::from_secs(4);

use super::error::BusError;

/// Where a server is and how to prove who we are.
#[derive(Clone, Default)]
pub struct ConnectSettings {
    /// `nats://host:port` or `tls://host:port`; several, separated by commas, are the members of one cluster. A user with its
    /// password, or a token, stands before the host: `nats://user:password@host`.
    pub url: String,
    /// A `.creds` file (JWT and key).
    pub credentials_file: Option<PathBuf>,
    /// With any of its files given, a connection without TLS is refused.
    pub tls: TlsSettings,
    /// The name the server shows for this connection.
    pub name: String,
}

/// PEM files for TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// Certificates of the authorities to trust; the system's own when absent.
    pub ca: Option<PathBuf>,
    /// Our certificate, if the server asks for one. Goes with `key`.
    pub certificate: Option<PathBuf>,
    /// The key of `certificate`.
    pub key: Option<PathBuf>,
}

impl ConnectSettings {
    /// Settings for a server that asks for nothing but the address.
    #[must_use]
    pub fn to_url(url: impl Into<String>) -> Self {
        Self { url: url.into(), name: "tidewheel".to_owned(), ..Self::default() }
    }

    /// The address without user name and password, for people to read.
    pub(super) fn shown_url(&self) -> String {
        let shown: Vec<String> = self.url.split(',').map(without_user).collect();
        shown.join(",")
    }

    /// The addresses, one for each member of the cluster.
    pub(super) fn addresses(&self) -> Vec<String> {
        self.url.split(',').map(|address| address.trim().to_owned()).collect()
    }

    /// The user and password, or the token alone, of the first address that has one.
    fn user(&self) -> Option<(String, Option<String>)> {
        let named = self.url.split(',').find_map(|address| {
            let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
            rest.rsplit_once('@').map(|(user, _)| user.trim())
        })?;
        match named.split_once(':') {
            Some((user, password)) => Some((without_percents(user), Some(without_percents(password)))),
            None => Some((without_percents(named), None)),
        }
    }

    /// The client's options.
    ///
    /// # Errors
    /// [`BusError::Tls`], [`BusError::TlsHalf`] or [`BusError::Credentials`] when a file can't be used.
    pub(super) async fn to_options(&self) -> Result<ConnectOptions, BusError> {
        let mut options = self.tls.apply(ConnectOptions::new().name(&self.name).ping_interval(ASK_EVERY))?;
        // The client reads them in an address and does not use them.
        match self.user() {
            Some((user, Some(password))) => options = options.user_and_password(user, password),
            Some((token, None)) => options = options.token(token),
            None => {}
        }
        if let Some(path) = &self.credentials_file {
            options = options
                .credentials_file(path)
                .await
                .map_err(|source| BusError::Credentials { path: path.clone(), source })?;
        }
        Ok(options)
    }
}

impl fmt::Debug for ConnectSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectSettings")
            .field("url", &self.shown_url())
            .field("credentials_file", &self.credentials_file)
            .field("tls", &self.tls)
            .field("name", &self.name)
            .finish()
    }
}

impl TlsSettings {
    /// The client skips a PEM file that holds nothing it looks for, so each file is looked into here first.
    fn apply(&self, mut options: ConnectOptions) -> Result<ConnectOptions, BusError> {
        if let Some(ca) = &self.ca {
            require_pem("ca", ca, &["CERTIFICATE"])?;
            options = options.add_root_certificates(ca.clone()).require_tls(true);
        }
        match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => {
                require_pem("certificate", certificate, &["CERTIFICATE"])?;
                require_pem("key", key, &["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"])?;
                options = options.add_client_certificate(certificate.clone(), key.clone()).require_tls(true);
            }
            (Some(_), None) => return Err(BusError::TlsHalf { given: "certificate", missing: "key" }),
            (None, Some(_)) => return Err(BusError::TlsHalf { given: "key", missing: "certificate" }),
            (None, None) => {}
        }
        Ok(options)
    }
}

fn require_pem(role: &'static str, path: &Path, labels: &[&str]) -> Result<(), BusError> {
    let refuse = |reason: String| BusError::Tls { role, path: path.to_owned(), reason };
    let text = fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
    let present = labels.iter().any(|label| text.contains(&format!("-----BEGIN {label}-----")));
    if present { Ok(()) } else { Err(refuse(format!("holds no PEM block {}", labels.join(" or ")))) }
}

/// Signs that an address can't have as they are are written `%40`.
fn without_percents(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let written = after.get(..2).filter(|_| *first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match written.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn without_user(address: &str) -> String {
    let address = address.trim();
    let (scheme, rest) = match address.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), address),
    };
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    format!("{scheme}{host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        let settings = ConnectSettings::to_url("nats://ann:s3cret@one:4222, tls://bob:pw@two:4222");
        assert_eq!(settings.shown_url(), "nats://one:4222,tls://two:4222");
        assert!(!format!("{settings:?}").contains("s3cret"));
    }

    #[test]
    fn a_user_or_a_token_is_taken_from_the_first_address_that_has_one() {
        let user = |url: &str| ConnectSettings::to_url(url).user();
        let both = |user: &str, password: &str| Some((user.to_owned(), Some(password.to_owned())));
        assert_eq!(user("nats://one:4222,tls://two:4222"), None);
        assert_eq!(user("nats://ann:s3cret@one:4222, tls://bob:pw@two:4222"), both("ann", "s3cret"));
        assert_eq!(user("one:4222, bob:pw@two:4222"), both("bob", "pw"));
        assert_eq!(user("nats://s3cr3t@one:4222"), Some(("s3cr3t".to_owned(), None)));
        assert_eq!(user("nats://ann%40shop:a%3Ab%2@one"), both("ann@shop", "a:b%2"));
    }

    #[test]
    fn a_certificate_without_its_key_is_refused() {
        let tls = TlsSettings { certificate: Some("cert.pem".into()), ..TlsSettings::default() };
        assert!(matches!(tls.apply(ConnectOptions::new()), Err(BusError::TlsHalf { missing: "key", .. })));
    }

    #[test]
    fn tls_files_without_the_block_they_are_for_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty.pem");
        fs::write(&empty, "not a certificate\n").unwrap();
        for ca in [empty, folder.path().join("missing.pem")] {
            let tls = TlsSettings { ca: Some(ca), ..TlsSettings::default() };
            assert!(matches!(tls.apply(ConnectOptions::new()), Err(BusError::Tls { role: "ca", .. })));
        }
    }
}
