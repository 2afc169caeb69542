//! Connections: HTTP/1.1 and HTTP/2 over a listener, within limits, until it is stopped.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::access::Connection;
use crate::access::limits::{CONNECTIONS, HEAD_BYTES, HEAD_TIME, STREAMS};

/// How long what is being answered may take when the program stops.
const LAST: Duration = Duration::from_secs(5);

/// A page that is being served; dropping it doesn't stop it.
#[derive(Debug)]
pub struct Serving {
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Serving {
    /// Takes no more connections, and waits until those there are have been answered, 5 s at most.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        // A task that panicked has stopped as well.
        let _ = self.task.await;
    }
}

/// Serves routes on a listener, on the runtime that this is called in; over TLS where there is a
/// configuration of it. Each request has its [`Connection`] among its extensions.
pub fn serve(listener: TcpListener, tls: Option<rustls::ServerConfig>, router: Router) -> Serving {
    let (stop, stopped) = watch::channel(false);
    let tls = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
    let task = tokio::spawn(accept(listener, tls, router, stopped));
    Serving { stop, task }
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES)
        .keep_alive(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD_BYTES as u32)
        .keep_alive_interval(Some(Duration::from_secs(30)));
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let next = async {
            let room = Arc::clone(&room).acquire_owned().await.map_err(io::Error::other)?;
            Ok::<_, io::Error>((listener.accept().await?, room))
        };
        let ((stream, from), room) = tokio::select! {
            () = async { drop(stopped.wait_for(|stop| *stop).await) } => break,
            next = next => match next {
                Ok(next) => next,
                Err(error) => {
                    // No descriptors, most likely: some come back.
                    tracing::warn!(%error, "a connection can't be taken");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let router = router.clone().layer(axum::Extension(Arc::new(Connection::new(from))));
        let service = TowerToHyperService::new(router);
        let (builder, watcher, tls) = (builder.clone(), graceful.watcher(), tls.clone());
        tokio::spawn(async move {
            let connection = async {
                match tls {
                    None => {
                        let stream = TokioIo::new(stream);
                        let connection = builder.serve_connection(stream, service).into_owned();
                        watcher.watch(connection).await
                    }
                    Some(tls) => {
                        let stream = TokioIo::new(timeout(HEAD_TIME, tls.accept(stream)).await??);
                        let connection = builder.serve_connection(stream, service).into_owned();
                        watcher.watch(connection).await
                    }
                }
            };
            if let Err(error) = connection.await {
                tracing::debug!(%from, %error, "a connection ended");
            }
            drop(room);
        });
    }
    drop(listener);
    let _ = timeout(LAST, graceful.shutdown()).await;
}
