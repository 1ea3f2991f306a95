//! TLS for the sinks: whom to trust and what to prove oneself with. `rustls` with `ring`; TLS 1.2 and 1.3.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use super::{
    credential::{CredentialError, Source},
    keys::absolute,
};
use crate::{
    token::secret::Secret,
    yaml::fields::{Fields, Reading},
};

/// Largest file with certificates, in bytes. All roots of a distribution are a quarter of a MiB.
const MAX_BYTES: u64 = 2 << 20;

/// As it is configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// PEM file with the authorities to trust, in place of the machine's.
    pub ca: Option<PathBuf>,
    /// PEM file with the client's certificate and those between it and its authority.
    pub certificate: Option<PathBuf>,
    /// Its private key, as PEM.
    pub key: Option<Source>,
}

/// What is wrong with certificates or keys.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("read the certificates in {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file holds no certificates.
    #[error("{} holds no certificate in PEM form (BEGIN CERTIFICATE)", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The private key.
    #[error(transparent)]
    Key(#[from] CredentialError),
    /// The key is none.
    #[error("\"key_file\" holds no private key in PEM form (PKCS #8, PKCS #1 or SEC 1, not encrypted)")]
    NoKey,
    /// The machine has no authorities.
    #[error("this machine has no certificates of authorities; install ca-certificates or name a file with \"ca\"")]
    NoRoots,
    /// The name that the receiver's certificate must have.
    #[error("\"{0}\" is no name that a certificate can have; give server_name")]
    Name(String),
    /// What `rustls` says.
    #[error("certificate and key of the sink: {0}")]
    Rustls(#[from] rustls::Error),
}

impl Tls {
    /// Reads the keys `ca`, `certificate` and `key_file` or `key_credential`.
    pub fn read(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Self {
        let place = fields.place();
        let tls = Self {
            ca: absolute("ca", fields, reading),
            certificate: absolute("certificate", fields, reading),
            key: Source::of("key_file", "key_credential", fields, reading),
        };
        if tls.certificate.is_some() != tls.key.is_some() {
            reading.error(place, "\"certificate\" and \"key_file\" (or \"key_credential\") belong together");
        }
        tls
    }

    /// Reads the files.
    ///
    /// # Errors
    /// What is missing or no certificate or key.
    pub fn load(&self) -> Result<Material, TlsError> {
        let roots = match &self.ca {
            Some(path) => certificates(path)?,
            // Files that cannot be read beside others that can are no reason to trust nobody.
            None => rustls_native_certs::load_native_certs().certs,
        };
        if roots.is_empty() {
            return Err(TlsError::NoRoots);
        }
        let identity = match (&self.certificate, &self.key) {
            (Some(path), Some(key)) => Some((certificates(path)?, key.load()?)),
            _ => None,
        };
        Ok(Material { roots, identity })
    }
}

fn certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |source| TlsError::Read { path: path.clone(), source };
    if std::fs::metadata(path).map_err(failed)?.len() > MAX_BYTES {
        return Err(TlsError::Read { path: path.clone(), source: std::io::ErrorKind::FileTooLarge.into() });
    }
    let text = std::fs::read(path).map_err(failed)?;
    match CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>() {
        Ok(all) if !all.is_empty() => Ok(all),
        _ => Err(TlsError::NoCertificate { path: path.clone() }),
    }
}

/// Certificates and key, read.
#[derive(Debug)]
pub struct Material {
    /// The authorities to trust.
    pub roots: Vec<CertificateDer<'static>>,
    /// The client's certificates and its key in PEM form.
    pub identity: Option<(Vec<CertificateDer<'static>>, Secret)>,
}

/// The cryptography of every connection.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

impl Material {
    /// For connections that are made here.
    ///
    /// # Errors
    /// A certificate or key that cannot be used.
    pub fn client(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let mut roots = RootCertStore::empty();
        // Distributions ship a few that are too old in form; what is left decides.
        roots.add_parsable_certificates(self.roots.iter().cloned());
        if roots.is_empty() {
            return Err(TlsError::NoRoots);
        }
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let config = match &self.identity {
            Some((chain, key)) => {
                let key = PrivateKeyDer::from_pem_slice(key.expose()).map_err(|_| TlsError::NoKey)?;
                builder.with_client_auth_cert(chain.clone(), key)?
            }
            None => builder.with_no_client_auth(),
        };
        Ok(Arc::new(config))
    }

    /// For the HTTP client.
    ///
    /// # Errors
    /// A certificate or key that cannot be used.
    pub fn http(&self) -> Result<ureq::tls::TlsConfig, TlsError> {
        use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
        // Seen here and not at the first delivery.
        self.client()?;
        let owned = |all: &[CertificateDer<'_>]| -> Vec<Certificate<'static>> {
            all.iter().map(|der| Certificate::from_der(der).to_owned()).collect()
        };
        let identity = match &self.identity {
            Some((chain, key)) => {
                let key = PrivateKey::from_pem(key.expose()).map_err(|_| TlsError::NoKey)?;
                Some(ClientCert::new_with_certs(&owned(chain), key))
            }
            None => None,
        };
        Ok(TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&owned(&self.roots)))
            .client_cert(identity)
            .unversioned_rustls_crypto_provider(provider())
            .build())
    }

    /// For gRPC.
    ///
    /// # Errors
    /// A certificate or key that cannot be used.
    pub fn grpc(&self) -> Result<tonic::transport::ClientTlsConfig, TlsError> {
        use tonic::transport::{Certificate, ClientTlsConfig, Identity};
        self.client()?;
        let roots = self.roots.iter().map(|der| Certificate::from_pem(pem(der)));
        let config = ClientTlsConfig::new().ca_certificates(roots).assume_http2(true);
        Ok(match &self.identity {
            Some((chain, key)) => {
                let chain: String = chain.iter().map(|der| pem(der)).collect();
                config.identity(Identity::from_pem(chain, key.expose()))
            }
            None => config,
        })
    }
}

/// A certificate as PEM (RFC 7468).
fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut out = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = more;
    }
    out.push_str("-----END CERTIFICATE-----\n");
    out
}
