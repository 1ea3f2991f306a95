//! Who is answered: on loopback everybody, from elsewhere whoever has the token, over TLS.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use axum::http::{HeaderMap, header::AUTHORIZATION};
use axum_server::tls_rustls::RustlsConfig;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::{
    sink::{
        credential::{CredentialError, Source},
        tls,
    },
    yaml::{
        self, Guard, Node, Problems,
        fields::{Fields, FromNode, Reading},
    },
};

/// Shortest token, in bytes: one that cannot be guessed has 128 bits, which are 22 characters in base64.
const SHORTEST: usize = 22;

/// `listen_tls` in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenTls {
    /// PEM file with the certificate and those between it and its authority.
    pub certificate: PathBuf,
    /// Its private key, as PEM.
    pub key: Source,
}

impl FromNode for ListenTls {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let mut fields = Fields::of(node, reading)?;
        let certificate: Option<String> = fields.required("certificate", reading);
        let key = Source::of("key_file", "key_credential", &mut fields, reading);
        fields.finish(reading);
        let certificate = PathBuf::from(certificate?);
        if !certificate.is_absolute() {
            reading
                .error(node.place, format!("\"certificate\" must be an absolute path, not {}", certificate.display()));
            return None;
        }
        let Some(key) = key else {
            reading.error(node.place, "\"listen_tls\" needs \"key_file\" or \"key_credential\"");
            return None;
        };
        Some(Self { certificate, key })
    }
}

/// Why nobody can be answered like that.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// Others than this machine could ask, and one of the two is missing.
    #[error(
        "listen on {0}: other than loopback is served over TLS and with a token only; set \"listen_tls\" and \
         \"listen_token_file\" in the configuration"
    )]
    Open(SocketAddr),
    /// The file with the certificate.
    #[error("{0}")]
    Certificate(Problems),
    /// It holds none.
    #[error("{}: no certificate in PEM form (BEGIN CERTIFICATE)", .0.display())]
    NoCertificate(PathBuf),
    /// Key or token cannot be had.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The key is none.
    #[error("the key of \"listen_tls\" is no private key in PEM form (PKCS #8, PKCS #1 or SEC 1, not encrypted)")]
    NoKey,
    /// The token could be guessed.
    #[error("the token in \"listen_token_file\" is shorter than {SHORTEST} bytes; make one: openssl rand -base64 32")]
    Short,
    /// Certificate and key do not belong together, or cannot be used.
    #[error("certificate and key of \"listen_tls\": {0}")]
    Tls(#[from] rustls::Error),
}

/// Decides who is answered.
#[derive(Clone, Default)]
pub struct Door {
    tls: Option<RustlsConfig>,
    /// The token itself is not kept. Digests are compared in constant time.
    token: Option<blake3::Hash>,
}

impl Door {
    /// For that address.
    ///
    /// # Errors
    /// When it is not loopback and TLS or token are missing, or something of them cannot be used.
    pub fn new(address: SocketAddr, tls: Option<&ListenTls>, token: Option<&Source>) -> Result<Self, DoorError> {
        if !address.ip().is_loopback() && (tls.is_none() || token.is_none()) {
            return Err(DoorError::Open(address));
        }
        let token = match token.map(Source::load).transpose()? {
            Some(token) if token.expose().len() < SHORTEST => return Err(DoorError::Short),
            token => token.map(|token| blake3::hash(token.expose())),
        };
        let tls = tls.map(ListenTls::server).transpose()?;
        Ok(Self { tls: tls.map(|tls| RustlsConfig::from_config(Arc::new(tls))), token })
    }

    /// The configuration of TLS, where it is spoken.
    pub(super) fn tls(&self) -> Option<RustlsConfig> {
        self.tls.clone()
    }

    /// Does the request bring the token, if one is asked for (RFC 6750, section 2.1)?
    pub(super) fn lets_in(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        let given = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().split_at_checked(7));
        given.is_some_and(|(scheme, given)| scheme.eq_ignore_ascii_case(b"bearer ") && blake3::hash(given) == *token)
    }
}

impl ListenTls {
    fn server(&self) -> Result<ServerConfig, DoorError> {
        let text = yaml::read(&self.certificate, Guard::Trusted).map_err(DoorError::Certificate)?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty());
        let chain = chain.ok_or_else(|| DoorError::NoCertificate(self.certificate.clone()))?;
        let key = self.key.load()?;
        let key = PrivateKeyDer::from_pem_slice(key.expose()).map_err(|_| DoorError::NoKey)?;
        let mut server = ServerConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(server)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    const MADE_UP: &str = "th-made-up-4711-token-of-32-bytes";

    fn token(text: &str) -> (tempfile::TempDir, Source) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        (directory, Source::File(path))
    }

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())])
    }

    #[test]
    fn nobody_else_is_answered_without_tls_and_token() {
        let (_keep, source) = token(MADE_UP);
        let everywhere: SocketAddr = "0.0.0.0:1".parse().unwrap();
        for given in [None, Some(&source)] {
            assert!(matches!(Door::new(everywhere, None, given), Err(DoorError::Open(_))));
        }
        for address in ["127.0.0.1:1", "127.8.8.8:1", "[::1]:1"] {
            assert!(Door::new(address.parse().unwrap(), None, None).is_ok(), "{address}");
        }
    }

    #[test]
    fn the_token_opens_and_nothing_else_does() {
        let (_keep, source) = token(&format!("{MADE_UP}\n"));
        let door = Door::new("127.0.0.1:1".parse().unwrap(), None, Some(&source)).unwrap();
        for right in [format!("Bearer {MADE_UP}"), format!("bearer {MADE_UP}")] {
            assert!(door.lets_in(&headers(&right)), "{right}");
        }
        let half = &MADE_UP[..20];
        for wrong in
            [format!("Bearer {half}"), format!("Basic {MADE_UP}"), MADE_UP.into(), "Bearer ".into(), "x".into()]
        {
            assert!(!door.lets_in(&headers(&wrong)), "{wrong}");
        }
        assert!(!door.lets_in(&HeaderMap::new()) && Door::default().lets_in(&HeaderMap::new()));
    }

    #[test]
    fn a_token_that_could_be_guessed_is_refused_and_not_shown() {
        let (_keep, source) = token("made-up-4711");
        let error = Door::new("127.0.0.1:1".parse().unwrap(), None, Some(&source)).err().unwrap();
        assert!(matches!(error, DoorError::Short) && !format!("{error} {error:?}").contains("4711"));
    }
}
