//! The broker of a verb: one that runs somewhere, or one of our own for as long as the verb runs.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::BrokerArguments;
use crate::bus::{Bus, ConnectSettings, EmbeddedServer, ServerBinary, TlsSettings};

/// The file in the state folder that tells other commands where a pipeline's own broker is.
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
        if let Some(url) = &arguments.nats {
            return Ok(Self { bus: connect(arguments, url).await?, server: None, address_file: None });
        }
        let binary = ServerBinary::find()?;
        std::fs::create_dir_all(state).with_context(|| format!("state folder {}", state.display()))?;
        let server = EmbeddedServer::start(&binary, state).await?;
        let url = server.url();
        let address_file = state.join(ADDRESS);
        std::fs::write(&address_file, &url).with_context(|| address_file.display().to_string())?;
        let bus = Bus::connect(&ConnectSettings::to_url(&url)).await?;
        Ok(Self { bus, server: Some(server), address_file: Some(address_file) })
    }

    /// Connects to the server that a running pipeline uses.
    pub(super) async fn find(arguments: &BrokerArguments, state: &Path) -> anyhow::Result<Bus> {
        if let Some(url) = &arguments.nats {
            return connect(arguments, url).await;
        }
        let file = state.join(ADDRESS);
        let url = std::fs::read_to_string(&file).with_context(|| {
            format!(
                "no broker of its own is running below {}: start `tidewheel run`, or name one with --nats",
                state.display()
            )
        })?;
        Ok(Bus::connect(&ConnectSettings::to_url(url.trim())).await?)
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

async fn connect(arguments: &BrokerArguments, url: &str) -> anyhow::Result<Bus> {
    let settings = ConnectSettings {
        credentials_file: arguments.creds.clone(),
        tls: TlsSettings {
            ca: arguments.tls_ca.clone(),
            certificate: arguments.tls_cert.clone(),
            key: arguments.tls_key.clone(),
        },
        ..ConnectSettings::to_url(url)
    };
    Ok(Bus::connect(&settings).await?)
}
