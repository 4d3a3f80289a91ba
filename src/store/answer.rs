//! Answers that wait for the commit, and what is told instead when there is none.

use tokio::sync::oneshot;

use super::operate::Changed;
use super::trouble::Failure;
use super::{Before, Claimed, Command, Receipt, Recorded, StoreError};

/// An answer that waits for the commit.
pub(super) enum Answer {
    Intake(oneshot::Sender<Result<Receipt, StoreError>>, Result<Receipt, StoreError>),
    Claim(oneshot::Sender<Result<Claimed, StoreError>>, Result<Claimed, StoreError>),
    Record(oneshot::Sender<Result<Recorded, StoreError>>, Result<Recorded, StoreError>),
    Count(oneshot::Sender<Result<usize, StoreError>>, Result<usize, StoreError>),
    Change(oneshot::Sender<Result<Changed, StoreError>>, Result<Changed, StoreError>),
    Poll(oneshot::Sender<Result<Before, StoreError>>, Result<Before, StoreError>),
}

impl Answer {
    pub(super) fn failed(&self) -> Option<&StoreError> {
        match self {
            Self::Intake(_, answer) => answer.as_ref().err(),
            Self::Claim(_, answer) => answer.as_ref().err(),
            Self::Record(_, answer) => answer.as_ref().err(),
            Self::Count(_, answer) => answer.as_ref().err(),
            Self::Change(_, answer) => answer.as_ref().err(),
            Self::Poll(_, answer) => answer.as_ref().err(),
        }
    }

    pub(super) fn send(self, failure: Option<&Failure>) {
        fn give<T>(
            to: oneshot::Sender<Result<T, StoreError>>,
            answer: Result<T, StoreError>,
            failure: Option<&Failure>,
        ) {
            let answer = failure.map_or(answer, |failure| Err(StoreError::NotCommitted(failure.said.clone())));
            if to.send(answer).is_err() {
                tracing::debug!("nobody waited for the store's answer any more");
            }
        }
        match self {
            Self::Intake(to, answer) => give(to, answer, failure),
            Self::Claim(to, answer) => give(to, answer, failure),
            Self::Record(to, answer) => give(to, answer, failure),
            Self::Count(to, answer) => give(to, answer, failure),
            Self::Change(to, answer) => give(to, answer, failure),
            Self::Poll(to, answer) => give(to, answer, failure),
        }
    }
}

impl Command {
    /// Tells whoever waits that nothing of it has happened.
    pub(super) fn refuse(self, why: &Failure) {
        let refused = match self {
            Self::Intake(_, _, reply) => Answer::Intake(reply, Err(StoreError::Stopped)),
            Self::Claim { reply, .. } => Answer::Claim(reply, Err(StoreError::Stopped)),
            Self::Record(_, reply) => Answer::Record(reply, Err(StoreError::Stopped)),
            Self::Timers { reply } | Self::Retain { reply, .. } => Answer::Count(reply, Err(StoreError::Stopped)),
            Self::Change(_, reply) => Answer::Change(reply, Err(StoreError::Stopped)),
            Self::Poll(_, reply) => Answer::Poll(reply, Err(StoreError::Stopped)),
            Self::Stop => return,
        };
        refused.send(Some(why));
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
