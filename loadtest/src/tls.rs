//! TLS between generator and hub, for `--tls`: the certificate of a started hub, and the client's
//! side of a connection. Its cryptography uses the generator's time, which is not a figure of the
//! hub.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::net;

/// The name in the certificate.
const NAME: &str = "localhost";
/// The files of the certificate and its key.
pub(crate) const CERTIFICATE_FILE: &str = "cert.pem";
/// See [`CERTIFICATE_FILE`].
pub(crate) const KEY_FILE: &str = "key.pem";
/// Plaintext given to rustls at once; the encrypted bytes wait for the socket.
const RECORD_BYTES: usize = 16 << 10;

/// Why there is no certificate for a hub.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateError {
    #[error("a certificate cannot be made")]
    Make(#[from] rcgen::Error),
    #[error("{}", .0.display())]
    Write(PathBuf, #[source] io::Error),
    #[error("TLS")]
    Trust(#[from] rustls::Error),
}

/// Writes a certificate and its key to two files in `folder`. Returns a client configuration that
/// trusts it and offers only HTTP/2, or only HTTP/1.1.
pub(crate) fn prepare(folder: &Path, http2: bool) -> Result<Arc<ClientConfig>, CertificateError> {
    let made = rcgen::generate_simple_self_signed(vec![NAME.to_owned()])?;
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|error| CertificateError::Write(path, error))
    };
    write(CERTIFICATE_FILE, made.cert.pem())?;
    write(KEY_FILE, made.signing_key.serialize_pem())?;
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone())?;
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![if http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    // Every connection makes a full handshake, as new clients do.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// The client's side of one connection.
#[derive(Debug)]
pub(crate) struct Session(Box<ClientConnection>);

/// A non-blocking socket, as rustls reads and writes it.
struct Io<'s>(&'s OwnedFd);

impl io::Read for Io<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        net::receive(self.0, buffer)?.ok_or_else(|| ErrorKind::WouldBlock.into())
    }
}

impl io::Write for Io<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match net::send(self.0, bytes)? {
            0 if !bytes.is_empty() => Err(ErrorKind::WouldBlock.into()),
            sent => Ok(sent),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Session {
    /// A session that has sent nothing.
    pub(crate) fn new(config: &Arc<ClientConfig>) -> Result<Self, Errno> {
        let name = NAME.try_into().map_err(|_| Errno::INVAL)?;
        let connection = ClientConnection::new(Arc::clone(config), name).map_err(|_| Errno::INVAL)?;
        Ok(Self(Box::new(connection)))
    }

    /// Reads available bytes, as [`net::receive`] does.
    pub(crate) fn receive(&mut self, socket: &OwnedFd, buffer: &mut [u8]) -> Result<Option<usize>, Errno> {
        let read = self.0.read_tls(&mut Io(socket));
        match read {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(_) => return Err(Errno::CONNRESET),
        }
        self.0.process_new_packets().map_err(|_| Errno::PROTO)?;
        self.flush(socket)?;
        match self.0.reader().read(buffer) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            // The peer closed without a close_notify.
            Err(_) => Err(Errno::CONNRESET),
        }
    }

    /// Takes bytes, unless earlier ones wait for the socket; 0 if it takes nothing now.
    pub(crate) fn send(&mut self, socket: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
        self.flush(socket)?;
        if self.is_holding() {
            return Ok(0);
        }
        let record = &bytes[..bytes.len().min(RECORD_BYTES)];
        let taken = self.0.writer().write(record).map_err(|_| Errno::PROTO)?;
        self.flush(socket)?;
        Ok(taken)
    }

    /// Whether accepted bytes wait for the socket.
    pub(crate) fn is_holding(&self) -> bool {
        self.0.wants_write()
    }

    /// Whether the handshake is in progress.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.0.is_handshaking()
    }

    fn flush(&mut self, socket: &OwnedFd) -> Result<(), Errno> {
        while self.0.wants_write() {
            match self.0.write_tls(&mut Io(socket)) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(_) => return Err(Errno::PIPE),
            }
        }
        Ok(())
    }
}
