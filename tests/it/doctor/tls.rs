//! TLS in front of a server of canned answers, as a proxy would terminate it.

use std::sync::Arc;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

use super::world::Server;

/// A certificate and its key, in PEM.
pub(crate) type Pair = (&'static [u8], &'static [u8]);

/// Nobody signed it.
pub(crate) const SELF_SIGNED: Pair = (
    include_bytes!("../../keys/self-signed.cert.pem"),
    include_bytes!("../../keys/self-signed.pem"),
);
/// Signed by the one above.
pub(crate) const SIGNED: Pair = (
    include_bytes!("../../keys/localhost.cert.pem"),
    include_bytes!("../../keys/localhost.pem"),
);

/// The `https://localhost:…/mcp` under which the server can now be reached too.
pub(crate) async fn in_front_of(server: &Server, (certificate, key): Pair) -> String {
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(certificate).unwrap()],
            PrivateKeyDer::from_pem_slice(key).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let to = server.url.trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, to) = (acceptor.clone(), to.clone());
            tokio::spawn(async move {
                // A client that refuses the certificate is what some tests are about.
                if let Ok(mut client) = acceptor.accept(stream).await {
                    let mut server = TcpStream::connect(to).await.unwrap();
                    drop(copy_bidirectional(&mut client, &mut server).await);
                }
            });
        }
    });
    format!("https://localhost:{port}/mcp")
}
