//! Answers that wait for the commit, and what is told instead when there is none.

use tokio::sync::oneshot;

use super::operate::Changed;
use super::trouble::{Failure, Fault};
use super::{Before, Claimed, Command, Receipt, Recorded, StoreError};

/// What became of a command, if the commit succeeds.
pub(super) enum Done {
    Intake(Result<Receipt, StoreError>),
    Claim(Result<Claimed, StoreError>),
    Record(Result<Recorded, StoreError>),
    Count(Result<usize, StoreError>),
    Change(Result<Changed, StoreError>),
    Poll(Result<Before, StoreError>),
    Stopped,
}

impl Done {
    pub(super) fn failed(&self) -> Option<&StoreError> {
        match self {
            Self::Intake(answer) => answer.as_ref().err(),
            Self::Claim(answer) => answer.as_ref().err(),
            Self::Record(answer) => answer.as_ref().err(),
            Self::Count(answer) => answer.as_ref().err(),
            Self::Change(answer) => answer.as_ref().err(),
            Self::Poll(answer) => answer.as_ref().err(),
            Self::Stopped => None,
        }
    }
}

impl Command {
    /// Tells whoever waits what became of it.
    pub(super) fn answer(self, done: Done) {
        match (self, done) {
            (Self::Intake(_, _, to), Done::Intake(answer)) => give(to, answer),
            (Self::Claim { reply, .. }, Done::Claim(answer)) => give(reply, answer),
            (Self::Record(_, to), Done::Record(answer)) => give(to, answer),
            (Self::Timers { reply } | Self::Retain { reply, .. }, Done::Count(answer)) => give(reply, answer),
            (Self::Change(_, to), Done::Change(answer)) => give(to, answer),
            (Self::Poll(_, to), Done::Poll(answer)) => give(to, answer),
            // The one that nobody waits for.
            (command, _) => command.refuse(&Failure::new(Fault::Other, "stopped".to_owned())),
        }
    }

    /// Tells whoever waits that nothing of it has happened.
    pub(super) fn refuse(self, failure: &Failure) {
        match self {
            Self::Intake(_, _, to) => give(to, Err(not_committed(failure))),
            Self::Claim { reply, .. } => give(reply, Err(not_committed(failure))),
            Self::Record(_, to) => give(to, Err(not_committed(failure))),
            Self::Timers { reply } | Self::Retain { reply, .. } => give(reply, Err(not_committed(failure))),
            Self::Change(_, to) => give(to, Err(not_committed(failure))),
            Self::Poll(_, to) => give(to, Err(not_committed(failure))),
            Self::Stop => {}
        }
    }
}

fn not_committed(failure: &Failure) -> StoreError {
    StoreError::NotCommitted(failure.said.clone())
}

fn give<T>(to: oneshot::Sender<Result<T, StoreError>>, answer: Result<T, StoreError>) {
    if to.send(answer).is_err() {
        tracing::debug!("nobody waited for the store's answer any more");
    }
}

/// An error with all that caused it.
pub(super) fn chain(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
