//! When a webhook is repeated, and how its tries end.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::domain::timestamp::Timestamp;

/// Which answers make the sender try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetriedAnswers {
    /// 408, 429, 503 and 504: what Azure's action groups repeat.
    Azure,
    /// Everything that is not 2xx.
    AllFailures,
}

/// How often and when a webhook is repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Waited before the second, third … attempt, before the time scale is applied.
    pub delays: Vec<Duration>,
    pub retried: RetriedAnswers,
    /// After the last retry has failed, nothing is sent to the endpoint for so long (before the time scale).
    pub blackout: Option<Duration>,
    /// Real time, not scaled.
    pub answer_timeout: Duration,
    /// Delays and blackout are divided by this.
    pub time_scale: u32,
    /// One endpoint gets one webhook after the other.
    pub in_order: bool,
}

impl Schedule {
    /// Azure's action groups: up to five retries, then 15 minutes of silence.
    /// <https://learn.microsoft.com/azure/azure-monitor/alerts/action-groups>
    pub fn azure() -> Self {
        Self {
            delays: [5, 20, 5, 40, 5].map(Duration::from_secs).to_vec(),
            retried: RetriedAnswers::Azure,
            blackout: Some(Duration::from_mins(15)),
            answer_timeout: Duration::from_secs(10),
            time_scale: 1,
            in_order: false,
        }
    }

    /// SIGNL4 documents nothing; three quick tries are an assumption.
    pub fn signl4() -> Self {
        Self {
            delays: vec![Duration::from_millis(200), Duration::from_secs(1)],
            retried: RetriedAnswers::AllFailures,
            blackout: None,
            answer_timeout: Duration::from_secs(10),
            time_scale: 1,
            in_order: true,
        }
    }

    pub(super) fn repeats(&self, outcome: &Sent) -> bool {
        match outcome {
            Sent::Answered(status) => match self.retried {
                RetriedAnswers::Azure => matches!(status, 408 | 429 | 503 | 504),
                RetriedAnswers::AllFailures => !(200..300).contains(status),
            },
            Sent::Failed(_) => true,
            Sent::Blackout | Sent::Lost => false,
        }
    }

    pub(super) fn scaled(&self, duration: Duration) -> Duration {
        duration / self.time_scale.max(1)
    }
}

/// How an attempt to send a webhook ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sent {
    Answered(u16),
    /// No connection, no answer, or none in time.
    Failed(String),
    /// Not sent, because the endpoint had failed too often shortly before.
    Blackout,
    /// Not sent, because a loss was asked for.
    Lost,
}

/// One try of one webhook.
#[derive(Clone, Debug, Serialize)]
pub struct Attempt {
    pub at: Timestamp,
    /// Counts the webhooks of this simulator; a duplicate has the number of its original.
    pub webhook: u64,
    /// Counts the tries of this webhook, from 1.
    pub number: u32,
    /// Without secrets.
    pub target: String,
    /// What it tells, in a few words.
    pub about: String,
    pub body: Value,
    pub sent: Sent,
}

impl Attempt {
    pub fn accepted(&self) -> bool {
        matches!(self.sent, Sent::Answered(200..=299))
    }
}
