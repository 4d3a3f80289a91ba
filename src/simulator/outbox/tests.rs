//! Outgoing webhooks: schedules, blackouts, loss, duplicates and order.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::simulator::faults::{Action, Door, Fault};
use crate::simulator::receiver::Receiver;
use crate::simulator::watched::Watched;

struct Sender {
    outbox: Outbox,
    attempts: Arc<Watched<Vec<Attempt>>>,
}

impl Sender {
    fn new(schedule: Schedule) -> Self {
        let attempts = Arc::new(Watched::new(Vec::new()));
        let record = {
            let attempts = Arc::clone(&attempts);
            move |attempt| attempts.change(|all: &mut Vec<Attempt>| all.push(attempt))
        };
        let outbox = Outbox::new(Clock::System, schedule, CancellationToken::new(), record).unwrap();
        Self { outbox, attempts }
    }

    fn azure() -> Self {
        // 75 s of delays in 75 ms; the blackout outlasts any test.
        let blackout = Some(Duration::from_hours(1000));
        Self::new(Schedule { time_scale: 1000, blackout, ..Schedule::azure() })
    }

    fn post(&self, url: &str, body: &'static str) {
        self.outbox.post(url, Vec::new(), Bytes::from_static(body.as_bytes()), body);
    }

    async fn settled(&self) -> Vec<Sent> {
        self.outbox.settled(Duration::from_secs(10)).await.unwrap();
        self.attempts.read(|all| all.iter().map(|attempt| attempt.sent.clone()).collect())
    }
}

#[tokio::test]
async fn azure_repeats_only_what_its_documentation_says() {
    for (status, tries) in
        [(200, 1), (400, 1), (401, 1), (404, 1), (500, 1), (502, 1), (408, 2), (429, 2), (503, 2), (504, 2)]
    {
        let receiver = Receiver::start().await.unwrap();
        if status != 200 {
            receiver.faults.plan(Fault::status(status));
        }
        let sender = Sender::azure();
        sender.post(&receiver.url, "1");
        assert_eq!(sender.settled().await.len(), tries, "{status}");
    }
}

#[tokio::test]
async fn azure_tries_six_times_and_then_leaves_the_endpoint_alone() {
    let receiver = Receiver::start().await.unwrap();
    let other = Receiver::start().await.unwrap();
    receiver.faults.plan(Fault::status(503).always());
    let sender = Sender::azure();
    sender.post(&receiver.url, "1");
    assert_eq!(sender.settled().await, vec![Sent::Answered(503); 6]);
    let numbers: Vec<u32> = sender.attempts.read(|all| all.iter().map(|attempt| attempt.number).collect());
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);

    receiver.faults.clear();
    sender.post(&receiver.url, "2");
    sender.post(&other.url, "3");
    let sent = sender.settled().await;
    assert!(sent.contains(&Sent::Blackout));
    assert_eq!((receiver.calls().len(), other.calls().len()), (6, 1));

    sender.outbox.lift_blackouts();
    sender.post(&receiver.url, "4");
    assert_eq!(sender.settled().await.last(), Some(&Sent::Answered(200)));
}

#[tokio::test]
async fn the_delays_are_those_of_the_documentation() {
    let schedule = Schedule::azure();
    let seconds: Vec<u64> = schedule.delays.iter().map(Duration::as_secs).collect();
    assert_eq!(seconds, [5, 20, 5, 40, 5]);
    assert_eq!(schedule.blackout.unwrap().as_secs(), 900);
    assert_eq!(Schedule { time_scale: 50, ..schedule }.scaled(Duration::from_secs(5)), Duration::from_millis(100));
}

#[tokio::test]
async fn refused_and_cut_connections_are_repeated() {
    let receiver = Receiver::start().await.unwrap();
    receiver.faults.set_door(Door::Refused).await;
    let sender = Sender::azure();
    sender.post(&receiver.url, "1");
    sender
        .attempts
        .wait_for("a refusal", Duration::from_secs(10), |all| {
            all.first().filter(|first| first.sent == Sent::Failed("no connection".to_owned())).map(|_| ())
        })
        .await
        .unwrap();
    // All six tries may have failed before the door opens: the next webhook must not find a blackout.
    receiver.faults.set_door(Door::Open).await;
    sender.settled().await;
    sender.outbox.lift_blackouts();
    receiver.faults.plan(Fault::new(Action::CutProcessed));
    sender.post(&receiver.url, "2");
    let sent = sender.settled().await;
    assert_eq!(sent[sent.len() - 2..], [Sent::Failed("the connection was cut".to_owned()), Sent::Answered(200)]);
}

#[tokio::test]
async fn credentials_in_the_url_become_basic_authorization() {
    let receiver = Receiver::start().await.unwrap();
    let sender = Sender::azure();
    sender.post(&receiver.url.replace("http://", "http://any:s%23cret@"), "1");
    let call = receiver.called(1).await.pop().unwrap();
    // base64 of `any:s#cret`
    assert_eq!(call.header("authorization"), Some("Basic YW55OnMjY3JldA=="));
    assert!(!format!("{call:?}").contains("YW55"));
    sender.settled().await;
    assert!(!format!("{:?}", sender.attempts.read(Clone::clone)).contains("cret"));
}

#[tokio::test]
async fn webhooks_are_lost_doubled_and_reordered_on_demand() {
    let receiver = Receiver::start().await.unwrap();
    let sender = Sender::new(Schedule::signl4());
    sender.outbox.lose_next(1);
    sender.outbox.duplicate_next(1);
    sender.post(&receiver.url, "lost");
    sender.post(&receiver.url, "doubled");
    sender.post(&receiver.url, "plain");
    sender.settled().await;
    sender.outbox.hold();
    sender.post(&receiver.url, "first");
    sender.post(&receiver.url, "second");
    assert_eq!(sender.outbox.held(), 2);
    sender.outbox.release(Order::Reversed).await;
    let bodies: Vec<String> =
        receiver.calls().iter().map(|call| String::from_utf8(call.body.to_vec()).unwrap()).collect();
    assert_eq!(bodies, ["doubled", "doubled", "plain", "second", "first"]);
    let lost: Vec<Attempt> =
        sender.attempts.read(|all| all.iter().filter(|attempt| attempt.sent == Sent::Lost).cloned().collect());
    assert_eq!(lost.len(), 1);
    assert_eq!(lost[0].about, "lost");
}

#[tokio::test]
async fn signl4_keeps_the_order_even_while_it_repeats() {
    let receiver = Receiver::start().await.unwrap();
    receiver.faults.plan(Fault::status(500));
    let sender = Sender::new(Schedule { time_scale: 100, ..Schedule::signl4() });
    sender.post(&receiver.url, "1");
    sender.post(&receiver.url, "2");
    sender.settled().await;
    let bodies: Vec<_> = receiver.calls().iter().map(|call| (call.body.clone(), call.status())).collect();
    assert_eq!(bodies, [(Bytes::from("1"), Some(500)), (Bytes::from("1"), Some(200)), (Bytes::from("2"), Some(200)),]);
}
