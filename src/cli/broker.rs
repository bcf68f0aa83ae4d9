//! The broker of a verb: one that runs somewhere, or one of our own for as long as the verb runs.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::{BrokerArguments, Identity};
use crate::bus::{Bus, ConnectSettings, EmbeddedServer, ServerBinary, TlsSettings};

/// The file in the state folder that tells other commands where a running pipeline's broker is.
const ADDRESS: &str = "nats.url";

/// A connection, and the server if it is ours.
pub(super) struct Broker {
    pub(super) bus: Bus,
    server: Option<EmbeddedServer>,
    address_file: Option<PathBuf>,
}

impl Broker {
    /// Connects to the server of the arguments, or starts one with its store below `state`.
    pub(super) async fn open(arguments: &BrokerArguments, state: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(state).with_context(|| format!("state folder {}", state.display()))?;
        let address_file = state.join(ADDRESS);
        if let Some(url) = &arguments.nats {
            let bus = connect(&arguments.identity, url).await?;
            write_address(&address_file, url)?;
            return Ok(Self { bus, server: None, address_file: Some(address_file) });
        }
        let binary = ServerBinary::find()?;
        let server = EmbeddedServer::start(&binary, state).await?;
        let url = server.url();
        write_address(&address_file, &url)?;
        let bus = Bus::connect(&ConnectSettings::to_url(&url)).await?;
        Ok(Self { bus, server: Some(server), address_file: Some(address_file) })
    }

    /// Connects to the server that a running pipeline uses, or opens the store of one that is not running.
    pub(super) async fn find_or_open(arguments: &BrokerArguments, state: &Path) -> anyhow::Result<Self> {
        if arguments.nats.is_none() && Self::is_noted(state) {
            // The address of a pipeline that was killed leads nowhere.
            if let Ok(bus) = Self::find(arguments, state).await {
                return Ok(Self { bus, server: None, address_file: None });
            }
        }
        if let Some(url) = &arguments.nats {
            return Ok(Self { bus: connect(&arguments.identity, url).await?, server: None, address_file: None });
        }
        Self::open(arguments, state).await
    }

    /// Whether a pipeline has noted where its server is: it runs, or was killed.
    pub(super) fn is_noted(state: &Path) -> bool {
        state.join(ADDRESS).exists()
    }

    /// Connects to the server that a running pipeline uses.
    pub(super) async fn find(arguments: &BrokerArguments, state: &Path) -> anyhow::Result<Bus> {
        if let Some(url) = &arguments.nats {
            return connect(&arguments.identity, url).await;
        }
        let file = state.join(ADDRESS);
        let url = std::fs::read_to_string(&file).with_context(|| {
            format!("no pipeline is running from {}: start `tidewheel run`, or name one with --nats", state.display())
        })?;
        Ok(Bus::connect(&ConnectSettings::to_url(url.trim())).await?)
    }

    /// Where our own server is; empty for somebody else's.
    pub(super) fn url(&self) -> String {
        self.server.as_ref().map(EmbeddedServer::url).unwrap_or_default()
    }

    /// Closes the connection and stops the server if it is ours.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        if let Some(file) = self.address_file
            && let Err(error) = std::fs::remove_file(&file)
        {
            tracing::debug!(%error, file = %file.display(), "address file already gone");
        }
        self.bus.close().await?;
        if let Some(server) = self.server {
            server.stop().await?;
        }
        Ok(())
    }
}

/// For the owner's eyes only: an address may hold a password.
fn write_address(file: &Path, url: &str) -> anyhow::Result<()> {
    let written = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file);
    written.and_then(|mut file| file.write_all(url.as_bytes())).with_context(|| file.display().to_string())
}

/// Connects to a server as somebody.
pub(super) async fn connect(identity: &Identity, url: &str) -> anyhow::Result<Bus> {
    let settings = ConnectSettings {
        credentials_file: identity.creds.clone(),
        tls: TlsSettings {
            ca: identity.tls_ca.clone(),
            certificate: identity.tls_cert.clone(),
            key: identity.tls_key.clone(),
        },
        ..ConnectSettings::to_url(url)
    };
    Ok(Bus::connect(&settings).await?)
}
