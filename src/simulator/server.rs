//! A simulator that runs: what the one of Azure and the one of SIGNL4 have in common, around their different states.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::{CancellationToken, DropGuard};

use super::faults::Faults;
use super::front::{self, Service};
use super::outbox::{Attempt, Outbox, Schedule};
use super::watched::{TimedOut, Watched};
use crate::clock::Clock;

/// A running simulator; clones are handles of the same one, which stops with the last of them.
pub struct Server<S> {
    pub(super) shared: Arc<Watched<S>>,
    pub(super) outbox: Outbox,
    faults: Faults,
    pub(super) clock: Clock,
    address: SocketAddr,
    pub(super) stop: CancellationToken,
    /// Absent in the handles that the server and its tasks hold.
    running: Option<Arc<DropGuard>>,
}

impl<S> Clone for Server<S> {
    fn clone(&self) -> Self {
        Self { running: self.running.clone(), ..self.for_task() }
    }
}

impl<S> fmt::Debug for Server<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({})", self.url())
    }
}

impl<S: Send + 'static> Server<S> {
    /// Listens on `listen` (port 0 for a free one); `record` keeps what became of a webhook in the state.
    pub(super) async fn listen(
        listen: SocketAddr,
        clock: Clock,
        state: S,
        schedule: Schedule,
        record: fn(&mut S, Attempt),
    ) -> io::Result<Self>
    where
        Self: Service,
    {
        let stop = CancellationToken::new();
        let running = Arc::new(stop.clone().drop_guard());
        let shared = Arc::new(Watched::new(state));
        let record = {
            let shared = Arc::clone(&shared);
            move |attempt| shared.change(|state| record(state, attempt))
        };
        let outbox = Outbox::new(clock.clone(), schedule, stop.clone(), record)?;
        let faults = Faults::default();
        let server = |address| Self {
            shared: Arc::clone(&shared),
            outbox: outbox.clone(),
            faults: faults.clone(),
            clock: clock.clone(),
            address,
            stop: stop.clone(),
            running: None,
        };
        let address = front::start(listen, clock.clone(), faults.clone(), stop.clone(), server).await?;
        Ok(Self { running: Some(running), ..server(address) })
    }
}

impl<S> Server<S> {
    /// Without trailing slash: Azure's authority and Resource Manager alike, or what stands in place of
    /// `https://connect.signl4.com`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops listening and sending, whatever other handles there are.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The sender of webhooks: retry schedule, losses, duplicates, reordering.
    pub fn webhooks(&self) -> &Outbox {
        &self.outbox
    }

    pub fn read<T>(&self, look: impl FnOnce(&S) -> T) -> T {
        self.shared.read(look)
    }

    /// Waits up to ten seconds of real time for a state; `what` names it in the error.
    pub async fn wait_until(&self, what: &str, mut look: impl FnMut(&S) -> bool) -> Result<(), TimedOut> {
        self.wait_for(what, |state| look(state).then_some(())).await
    }

    /// Waits up to ten seconds of real time until `look` finds something.
    pub async fn wait_for<T>(&self, what: &str, look: impl FnMut(&S) -> Option<T>) -> Result<T, TimedOut> {
        self.shared.wait_for(what, Duration::from_secs(10), look).await
    }

    /// A handle for a task of the simulator itself: it does not keep the simulator running.
    pub(super) fn for_task(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            outbox: self.outbox.clone(),
            faults: self.faults.clone(),
            clock: self.clock.clone(),
            address: self.address,
            stop: self.stop.clone(),
            running: None,
        }
    }
}
