//! A listener that can be shut and opened again, and connections that can be cut at will.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::simulator::faults::{Door, Faults};

/// How a connection ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cut {
    Now,
    MidBody,
}

const OPEN: u8 = 0;
const CUT_NOW: u8 = 1;
const CUT_MID_BODY: u8 = 2;

/// One connection, as the handler of its requests sees it.
#[derive(Clone, Debug)]
pub(super) struct Line(Arc<AtomicU8>);

impl Line {
    /// Takes effect with the next bytes that are written, that is with the answer.
    pub(super) fn cut(&self, cut: Cut) {
        let code = match cut {
            Cut::Now => CUT_NOW,
            Cut::MidBody => CUT_MID_BODY,
        };
        self.0.store(code, Ordering::SeqCst);
    }
}

impl Connected<IncomingStream<'_, Listener>> for Line {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        stream.io().line.clone()
    }
}

/// A stream that can be cut.
pub(super) struct Io {
    stream: TcpStream,
    line: Line,
    gone: Pin<Box<WaitForCancellationFutureOwned>>,
}

fn reset() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "cut by the simulator")
}

impl AsyncRead for Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.gone.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(reset()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.line.0.load(Ordering::SeqCst) {
            CUT_NOW => Poll::Ready(Err(reset())),
            CUT_MID_BODY => {
                let head = bytes.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |at| at + 4);
                let keep = head + bytes.len().saturating_sub(head) / 2;
                let part = bytes.get(..keep.max(1)).unwrap_or(bytes);
                let written = ready!(Pin::new(&mut self.stream).poll_write(cx, part))?;
                if written == part.len() {
                    self.line.cut(Cut::Now);
                }
                Poll::Ready(Ok(written))
            }
            _ => Pin::new(&mut self.stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Accepts while the door is not `Refused`.
pub(super) struct Listener {
    bound: Option<TcpListener>,
    address: SocketAddr,
    door: watch::Receiver<Door>,
    faults: Faults,
    connections: CancellationToken,
    stop: CancellationToken,
}

impl Listener {
    pub(super) async fn bind(listen: SocketAddr, faults: Faults, stop: CancellationToken) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        Ok(Self {
            address: listener.local_addr()?,
            bound: Some(listener),
            door: faults.watch_door(),
            faults,
            connections: stop.child_token(),
            stop,
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl axum::serve::Listener for Listener {
    type Io = Io;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Io, SocketAddr) {
        loop {
            if *self.door.borrow_and_update() == Door::Refused {
                self.bound = None;
                self.connections.cancel();
                self.connections = self.stop.child_token();
                self.faults.report_listening(false);
                if self.door.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                continue;
            }
            let Some(listener) = &self.bound else {
                match TcpListener::bind(self.address).await {
                    Ok(listener) => {
                        self.bound = Some(listener);
                        self.faults.report_listening(true);
                    }
                    Err(error) => {
                        tracing::warn!(%error, address = %self.address, "the simulator cannot listen again yet");
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
                continue;
            };
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        if let Err(error) = stream.set_nodelay(true) {
                            tracing::debug!(%error, "TCP_NODELAY was refused");
                        }
                        let gone = Box::pin(self.connections.clone().cancelled_owned());
                        return (Io { stream, line: Line(Arc::new(AtomicU8::new(OPEN))), gone }, peer);
                    }
                    // Out of descriptors, or the peer has gone: axum's own listener waits likewise.
                    Err(error) => {
                        tracing::debug!(%error, "a connection could not be accepted");
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                },
                changed = self.door.changed() => if changed.is_err() {
                    std::future::pending::<()>().await;
                },
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}
