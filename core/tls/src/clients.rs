//! Certificates of clients, as a server of Go judges them: by the rules for those of
//! servers, but for the purpose and the name.

use std::borrow::Cow;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use crate::algorithms::ACCEPTED;
use crate::certificate::Sent;
use crate::config::{ConfigError, configured_roots};
use crate::purpose::Purpose;
use crate::rejection::{self, Rejection};
use crate::roots::Roots;
use crate::signature;
use crate::verifier::{Case, alert_for};

/// Which clients a server lets in.
#[derive(Debug)]
pub struct Clients {
    required: bool,
    /// One of which a certificate must be for, unless there are none.
    names: Option<Vec<String>>,
    /// Who must have issued them, if that matters.
    roots: Option<Arc<Roots>>,
    /// What these are called.
    hints: Vec<DistinguishedName>,
}

impl Clients {
    /// Takes any certificate, and where it is not `required` also none.
    pub const fn anybody(required: bool) -> Self {
        Self {
            required,
            names: None,
            roots: None,
            hints: Vec::new(),
        }
    }

    /// Takes those alone that lead to a certificate of `ca`, which is PEM, or are one of
    /// them. What is damaged in it is left out with a warning.
    ///
    /// # Errors
    /// If there is no certificate in it.
    pub fn issued_by(mut self, ca: &[u8], warnings: &mut Vec<String>) -> Result<Self, ConfigError> {
        let roots = configured_roots(Purpose::Client, ca, warnings)?;
        let anchors = roots.anchors().iter();
        self.hints = anchors
            .map(|anchor| DistinguishedName::in_sequence(&anchor.subject))
            .collect();
        self.roots = Some(Arc::new(roots));
        Ok(self)
    }

    /// Takes those alone that are for one of these names (DNS names, addresses of mail and
    /// of machines, URIs): of none, if there are none. Nobody comes in without a
    /// certificate then, whether it is required or not, as nobody without one has a name.
    #[must_use]
    pub fn named(mut self, names: Vec<String>) -> Self {
        self.names = Some(names);
        self
    }

    fn judge(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Rejection> {
        let sent = Sent::parse(end_entity, intermediates.iter().map(|der| &**der));
        let Some(leaf) = &sent.leaf else {
            return Err(rejection::unreadable(Purpose::Client, end_entity));
        };
        if let Some(roots) = &self.roots {
            let case = Case {
                roots,
                algorithms: ACCEPTED,
                end_entity,
                sent: &sent,
                server_name: None,
                now,
            };
            case.judge()?;
        }
        let Some(names) = &self.names else {
            return Ok(());
        };
        let is_allowed = |name: Cow<'_, str>| names.iter().any(|allowed| *allowed == name);
        match leaf.written_names().any(is_allowed) {
            true => Ok(()),
            false => Err(rejection::not_allowed(leaf)),
        }
    }
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        self.required || self.names.is_some()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.judge(end_entity, intermediates, now) {
            Ok(()) => Ok(ClientCertVerified::assertion()),
            Err(rejection) => Err(Error::InvalidCertificate(alert_for(&rejection))),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signature::verify_tls12(&ACCEPTED, message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signature::verify_tls13(&ACCEPTED, message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ACCEPTED.supported_schemes()
    }
}
