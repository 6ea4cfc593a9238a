//! The same client over TLS.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::LIMIT;
use super::http::{Answer, exchange};

/// Who a client is and whom it trusts.
#[derive(Clone, Debug)]
pub struct Client {
    config: Arc<ClientConfig>,
}

impl Client {
    /// A client that trusts `roots` (PEM) and shows a certificate with its key
    /// (PEM), if it has one. It speaks one version of TLS if that is given.
    ///
    /// # Panics
    /// If the PEM is none.
    pub fn new(
        roots: &str,
        identity: Option<(&str, &str)>,
        version: Option<&'static rustls::SupportedProtocolVersion>,
    ) -> Self {
        let mut store = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(roots.as_bytes()) {
            store.add(certificate.expect("PEM")).expect("a root");
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = match version {
            Some(version) => builder.with_protocol_versions(&[version]),
            None => builder.with_safe_default_protocol_versions(),
        };
        let builder = builder.expect("a version").with_root_certificates(store);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let chain: Result<Vec<_>, _> =
                    CertificateDer::pem_slice_iter(chain.as_bytes()).collect();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
                builder
                    .with_client_auth_cert(chain.expect("PEM"), key)
                    .expect("a client")
            }
        };
        Self {
            config: Arc::new(config),
        }
    }

    /// The protocol that a server chooses when it is offered these.
    ///
    /// # Errors
    /// If there is no handshake.
    pub fn negotiate(&self, server: SocketAddr, offer: &[&str]) -> Result<Option<String>, String> {
        let mut config = (*self.config).clone();
        config.alpn_protocols = offer.iter().map(|it| it.as_bytes().to_vec()).collect();
        let mut stream = connect(server, Arc::new(config))?;
        while stream.conn.is_handshaking() {
            let (conn, socket) = (&mut stream.conn, &mut stream.sock);
            conn.complete_io(socket)
                .map_err(|error| error.to_string())?;
        }
        let chosen = stream.conn.alpn_protocol();
        Ok(chosen.map(|it| String::from_utf8_lossy(it).into_owned()))
    }

    /// GET.
    ///
    /// # Errors
    /// If there is no answer.
    pub fn get(
        &self,
        server: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Answer, String> {
        let mut stream = connect(server, Arc::clone(&self.config))?;
        exchange(&mut stream, server, "GET", path, headers)
    }
}

fn connect(
    server: SocketAddr,
    config: Arc<ClientConfig>,
) -> Result<StreamOwned<ClientConnection, TcpStream>, String> {
    let stream = TcpStream::connect_timeout(&server, LIMIT).map_err(|error| error.to_string())?;
    let limited = stream.set_read_timeout(Some(LIMIT));
    limited.map_err(|error| error.to_string())?;
    let name = ServerName::IpAddress(server.ip().into());
    let connection = ClientConnection::new(config, name).map_err(|error| error.to_string())?;
    Ok(StreamOwned::new(connection, stream))
}
