//! TLS: certificate files that are read again when they change, or a certificate of one's own.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};

use super::headers::Transport;

/// Largest file of certificates or of a key, in bytes.
const LARGEST_FILE: u64 = 1 << 20;
/// Days that a certificate of one's own is good for, the most that browsers take.
const DAYS: i64 = 397;
/// Days before its end from which a kept one is made anew.
const DAYS_BEFORE: i64 = 30;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file can't be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file has no certificate or key in PEM.
    #[error("{}: {problem}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The certificate and the key don't belong together, or are of a kind that isn't spoken.
    #[error("the certificate can't be used: {0}")]
    Unusable(#[from] rustls::Error),
    /// None of one's own can be made.
    #[error("a certificate can't be made: {0}")]
    Make(#[from] rcgen::Error),
}

/// The certificate that is shown to browsers.
#[derive(Debug)]
pub struct Certificate {
    current: RwLock<Arc<CertifiedKey>>,
    files: Option<Files>,
}

#[derive(Debug)]
struct Files {
    chain: PathBuf,
    key: PathBuf,
    seen: Mutex<[Option<Stamp>; 2]>,
}

/// What changes when a file does.
type Stamp = (SystemTime, u64);

impl Certificate {
    /// The certificate, with its chain, and the key of two files in PEM.
    ///
    /// # Errors
    /// Any [`TlsError`].
    pub fn from_files(chain: &Path, key: &Path) -> Result<Self, TlsError> {
        let seen = Mutex::new([stamp(chain), stamp(key)]);
        let current = RwLock::new(Arc::new(read(chain, key)?));
        let files = Files { chain: chain.to_owned(), key: key.to_owned(), seen };
        Ok(Self { current, files: Some(files) })
    }

    /// A certificate of one's own, for these names and addresses. With a folder it is kept there, so
    /// that its fingerprint stays the same; it is made anew for other names, and before it ends.
    ///
    /// # Errors
    /// Any [`TlsError`].
    pub fn own(names: &[String], folder: Option<&Path>) -> Result<Self, TlsError> {
        let pem = match folder {
            None => make(names)?,
            Some(folder) => {
                let tag = Sha256::digest(names.join("\n").as_bytes());
                let path = folder.join(format!("own-{}.pem", super::secret::hex(&tag[..8])));
                match kept(&path) {
                    Some(pem) => pem,
                    None => {
                        let pem = make(names)?;
                        let write = || {
                            let mut file = super::private_file(&path)?;
                            io::Write::write_all(&mut file, pem.as_bytes())
                        };
                        write().map_err(|source| TlsError::File { path: path.clone(), source })?;
                        pem
                    }
                }
            }
        };
        let own = Path::new("our own certificate");
        let current =
            certified(parse_chain(pem.as_bytes(), own)?, parse_key(pem.as_bytes(), own)?)?;
        Ok(Self { current: RwLock::new(Arc::new(current)), files: None })
    }

    /// Reads the files again if they have changed. What can't be used is left, with its error, and
    /// the certificate stays what it was. Whether there is a new one.
    ///
    /// # Errors
    /// Any [`TlsError`], once for each change of the files.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let Some(files) = &self.files else { return Ok(false) };
        let stamps = [stamp(&files.chain), stamp(&files.key)];
        {
            let mut seen = files.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if *seen == stamps {
                return Ok(false);
            }
            *seen = stamps;
        }
        let new = Arc::new(read(&files.chain, &files.key)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(true)
    }

    /// The SHA-256 of the certificate, as browsers show it: `AB:CD:…`.
    pub fn fingerprint(&self) -> String {
        let current = self.current();
        let hash = current.cert.first().map(|der| Sha256::digest(der.as_ref()));
        let pairs = hash.iter().flatten().map(|byte| format!("{byte:02X}"));
        pairs.collect::<Vec<_>>().join(":")
    }

    /// Whether it is one of its own, which no browser trusts by itself.
    pub fn is_own(&self) -> bool {
        self.files.is_none()
    }

    /// Whether browsers may be told to insist on TLS: not with a certificate of one's own.
    pub fn transport(&self) -> Transport {
        if self.files.is_some() { Transport::Trusted } else { Transport::Untrusted }
    }

    fn current(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

/// TLS 1.2 and 1.3, with HTTP/2 and HTTP/1.1.
///
/// # Errors
/// [`TlsError::Unusable`].
pub fn config(certificate: Arc<Certificate>) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn read(chain: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let bytes = |path: &Path| {
        let failed = |source| TlsError::File { path: path.to_owned(), source };
        if std::fs::metadata(path).map_err(failed)?.len() > LARGEST_FILE {
            return Err(failed(io::Error::other("it is larger than such a file can be")));
        }
        std::fs::read(path).map(zeroize::Zeroizing::new).map_err(failed)
    };
    certified(parse_chain(&bytes(chain)?, chain)?, parse_key(&bytes(key)?, key)?)
}

fn parse_chain(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |problem: String| TlsError::Pem { path: path.to_owned(), problem };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(error.to_string()))?;
    if chain.is_empty() {
        Err(wrong("there is no certificate in it".to_owned()))
    } else {
        Ok(chain)
    }
}

fn parse_key(pem: &[u8], path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem)
        .map_err(|error| TlsError::Pem { path: path.to_owned(), problem: error.to_string() })
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, TlsError> {
    Ok(CertifiedKey::from_der(chain, key, &provider())?)
}

/// A key and a certificate in PEM.
fn make(names: &[String]) -> Result<zeroize::Zeroizing<String>, TlsError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names.to_vec())?;
    params.distinguished_name.push(DnType::CommonName, "Quarry");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let day = |days: i64| {
        let date = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * days);
        let date = date.to_zoned(jiff::tz::TimeZone::UTC).date();
        let [month, day] = [date.month(), date.day()].map(|number| number.unsigned_abs());
        rcgen::date_time_ymd(date.year().into(), month, day)
    };
    // A day early, for browsers whose clocks are after.
    params.not_before = day(-1);
    params.not_after = day(DAYS - 1);
    let certificate = params.self_signed(&key)?;
    let pem = zeroize::Zeroizing::new(key.serialize_pem());
    Ok(zeroize::Zeroizing::new(format!("{}{}", certificate.pem(), &*pem)))
}

/// A certificate that was kept and is good for some time still.
fn kept(path: &Path) -> Option<zeroize::Zeroizing<String>> {
    let (made, length) = stamp(path)?;
    let age = SystemTime::now().duration_since(made).ok()?;
    let longest = 24 * 60 * 60 * u64::try_from(DAYS - DAYS_BEFORE).ok()?;
    if age.as_secs() > longest || length > LARGEST_FILE {
        return None;
    }
    std::fs::read_to_string(path).ok().map(zeroize::Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::pki_types::{ServerName, UnixTime};
    use rustls::{ClientConfig, ClientConnection, ServerConnection};

    fn names() -> Vec<String> {
        vec!["logs.corp.example".to_owned(), "192.0.2.7".to_owned()]
    }

    /// Takes any certificate, and checks the handshake's signatures.
    #[derive(Debug)]
    struct Anyone;

    impl ServerCertVerifier for Anyone {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, rustls::Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &rustls::DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            let algorithms = &provider().signature_verification_algorithms;
            rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &rustls::DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            let algorithms = &provider().signature_verification_algorithms;
            rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            provider().signature_verification_algorithms.supported_schemes()
        }
    }

    /// Shakes hands in memory; gives the fingerprint, version and protocol that the client saw.
    fn shake_hands(
        server: &Arc<ServerConfig>,
        verifier: Arc<dyn ServerCertVerifier>,
    ) -> Result<(String, rustls::ProtocolVersion, Vec<u8>), rustls::Error> {
        let mut client = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        client.alpn_protocols = vec![b"h2".to_vec()];
        let name = ServerName::try_from("logs.corp.example").expect("a name");
        let mut client = ClientConnection::new(Arc::new(client), name)?;
        let mut server = ServerConnection::new(Arc::clone(server))?;
        while client.is_handshaking() || server.is_handshaking() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).expect("memory");
            server.read_tls(&mut &*wire).expect("memory");
            server.process_new_packets()?;
            let mut wire = Vec::new();
            server.write_tls(&mut wire).expect("memory");
            client.read_tls(&mut &*wire).expect("memory");
            client.process_new_packets()?;
        }
        let seen = client.peer_certificates().and_then(|chain| chain.first()).expect("one");
        let hash = Sha256::digest(seen.as_ref());
        let pairs: Vec<String> = hash.iter().map(|byte| format!("{byte:02X}")).collect();
        let version = client.protocol_version().expect("one");
        Ok((pairs.join(":"), version, client.alpn_protocol().expect("one").to_vec()))
    }

    #[test]
    fn a_certificate_of_ones_own_is_shown_with_the_fingerprint_that_is_printed() {
        let certificate = Arc::new(Certificate::own(&names(), None).expect("made"));
        let server = Arc::new(config(Arc::clone(&certificate)).expect("a configuration"));
        let (seen, version, protocol) = shake_hands(&server, Arc::new(Anyone)).expect("they agree");
        assert_eq!(seen, certificate.fingerprint());
        assert_eq!(seen.len(), 32 * 3 - 1);
        assert_eq!((version, &*protocol), (rustls::ProtocolVersion::TLSv1_3, &b"h2"[..]));
        assert_eq!(certificate.transport(), Transport::Untrusted);
        let other = Certificate::own(&names(), None).expect("made");
        assert_ne!(other.fingerprint(), seen);
    }

    #[test]
    fn a_kept_certificate_stays_for_the_same_names_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let own = |names: &[String]| {
            Certificate::own(names, Some(folder.path())).expect("made").fingerprint()
        };
        let first = own(&names());
        assert_eq!(own(&names()), first);
        assert_ne!(own(&names()[..1]), first);
        #[cfg(unix)]
        for entry in std::fs::read_dir(folder.path()).expect("the folder") {
            use std::os::unix::fs::PermissionsExt;
            let mode = entry.and_then(|entry| entry.metadata()).expect("it is there").permissions();
            assert_eq!(mode.mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn files_are_read_again_when_they_change_and_bad_ones_change_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("both.pem");
        let write = |text: &str| std::fs::write(&path, text).expect("written");
        write(&make(&names()).expect("made"));
        let certificate = Arc::new(Certificate::from_files(&path, &path).expect("read"));
        assert_eq!(certificate.transport(), Transport::Trusted);
        let server = Arc::new(config(Arc::clone(&certificate)).expect("a configuration"));
        let seen = || shake_hands(&server, Arc::new(Anyone)).expect("they agree").0;
        let first = seen();
        assert!(!certificate.reload().expect("nothing has changed"));
        write("no certificate");
        assert!(matches!(certificate.reload(), Err(TlsError::Pem { .. })));
        assert_eq!(seen(), first);
        // Said once for each change.
        assert!(!certificate.reload().expect("nothing has changed since"));
        write(&format!("{}\n# renewed\n", &*make(&names()).expect("made")));
        assert!(certificate.reload().expect("it is good"));
        assert_ne!(seen(), first);
        assert_eq!(seen(), certificate.fingerprint());
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let [one, other] = ["one.pem", "other.pem"].map(|name| folder.path().join(name));
        for path in [&one, &other] {
            std::fs::write(path, &*make(&names()).expect("made")).expect("written");
        }
        let mixed = Certificate::from_files(&one, &other);
        assert!(matches!(mixed, Err(TlsError::Unusable(_))), "{mixed:?}");
        let missing = Certificate::from_files(&one, &folder.path().join("gone"));
        assert!(matches!(missing, Err(TlsError::File { .. })));
    }

    #[test]
    fn the_certificate_is_for_the_names_that_were_given() {
        // Against webpki's own check of names and dates, with the certificate as its own root.
        let certificate = Arc::new(Certificate::own(&names(), None).expect("made"));
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate.current().cert[0].clone()).expect("a certificate");
        let verifier =
            rustls::client::WebPkiServerVerifier::builder_with_provider(roots.into(), provider())
                .build()
                .expect("a verifier");
        let server = Arc::new(config(certificate).expect("a configuration"));
        shake_hands(&server, verifier.clone()).expect("logs.corp.example is among them");
        let other = Arc::new(Certificate::own(&["other.example".to_owned()], None).expect("made"));
        let server = Arc::new(config(other).expect("a configuration"));
        shake_hands(&server, verifier).expect_err("another certificate, another name");
    }
}
