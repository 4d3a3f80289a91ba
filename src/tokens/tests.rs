//! Tests of the cache with a source that is told what to answer, and a clock moved by hand.

use std::collections::VecDeque;
use std::sync::Mutex;

use tokio::sync::Semaphore;

use super::*;

/// Seconds of life, and Entra's own wish for the renewal.
type Scripting = Result<(u64, Option<u64>), TokenError>;

/// Answers from a list; each answer waits for a permit.
#[derive(Debug)]
struct Scripted {
    answers: Mutex<VecDeque<Scripting>>,
    asked: Mutex<u32>,
    gate: Semaphore,
}

impl Source for Scripted {
    fn fetch(&self) -> Fetching<'_> {
        Box::pin(async {
            *self.asked.lock().unwrap() += 1;
            self.gate.acquire().await.unwrap().forget();
            let asked = *self.asked.lock().unwrap();
            let answer = self.answers.lock().unwrap().pop_front().expect("no further fetch was expected");
            answer.map(|(expires_in, refresh_in)| Fetched {
                value: Secret::new(format!("t0ken-{asked}"), "test"),
                expires_in: Duration::from_secs(expires_in),
                refresh_in: refresh_in.map(Duration::from_secs),
            })
        })
    }
}

struct Bench {
    tokens: Arc<Tokens>,
    source: Arc<Scripted>,
    clock: Clock,
}

fn key() -> CredentialKey {
    CredentialKey::Azure(ConnectionName::parse("contoso").unwrap())
}

fn denied() -> TokenError {
    TokenError::Denied { status: 401, code: "AADSTS7000215".to_owned(), mend: "paste the value".to_owned() }
}

fn start() -> Timestamp {
    Timestamp::parse("2026-11-24T03:00:00Z").unwrap()
}

fn origin(source: &Arc<Scripted>, fingerprint: &str) -> BTreeMap<CredentialKey, Origin> {
    let source: Arc<dyn Source> = source.clone();
    let origin = Origin::Fetched { source, fingerprint: fingerprint.to_owned(), secret_end: None };
    BTreeMap::from([(key(), origin)])
}

/// `open` permits are there from the start.
fn bench(open: usize, answers: Vec<Scripting>) -> Bench {
    let clock = Clock::manual(start());
    let source =
        Arc::new(Scripted { answers: Mutex::new(answers.into()), asked: Mutex::new(0), gate: Semaphore::new(open) });
    let tokens = Tokens::new(clock.clone());
    tokens.set(Side::Azure, origin(&source, "one"));
    Bench { tokens: Arc::new(tokens), source, clock }
}

impl Bench {
    async fn get(&self) -> Result<String, TokenError> {
        self.tokens.get(&key()).await.map(|token| token.value.expose().to_owned())
    }

    fn asked(&self) -> u32 {
        *self.source.asked.lock().unwrap()
    }

    fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    fn status(&self) -> Status {
        self.tokens.status().remove(0)
    }
}

#[tokio::test]
async fn fifty_waiters_cost_one_request() {
    let bench = bench(0, vec![Ok((3_600, None))]);
    let mut waiters = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let tokens = bench.tokens.clone();
        waiters.spawn(async move { tokens.get(&key()).await.unwrap().value.expose().to_owned() });
    }
    // All fifty run up to where they wait before the one answer is let through.
    tokio::task::yield_now().await;
    assert_eq!(bench.asked(), 1);
    bench.source.gate.add_permits(50);
    assert_eq!(waiters.join_all().await, vec!["t0ken-1".to_owned(); 50]);
    assert_eq!(bench.asked(), 1);
}

#[tokio::test]
async fn fifty_waiters_share_one_failure() {
    let transient = TokenError::Transient { why: "no connection".to_owned() };
    let bench = bench(0, vec![Err(transient.clone()), Ok((3_600, None))]);
    let mut waiters = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let tokens = bench.tokens.clone();
        waiters.spawn(async move { tokens.get(&key()).await.unwrap_err() });
    }
    tokio::task::yield_now().await;
    bench.source.gate.add_permits(50);
    assert_eq!(waiters.join_all().await, vec![transient; 50]);
    assert_eq!(bench.asked(), 1);
    bench.advance(1);
    assert_eq!(bench.get().await.unwrap(), "t0ken-2");
}

#[tokio::test]
async fn a_dropped_fetch_leaves_the_next_one_free() {
    let bench = bench(0, vec![Ok((3_600, None))]);
    let tokens = bench.tokens.clone();
    let dropped = tokio::spawn(async move { tokens.get(&key()).await });
    tokio::task::yield_now().await;
    assert_eq!(bench.asked(), 1);
    dropped.abort();
    assert!(dropped.await.unwrap_err().is_cancelled());
    bench.source.gate.add_permits(1);
    assert_eq!(bench.get().await.unwrap(), "t0ken-2");
}

#[tokio::test]
async fn a_token_is_renewed_ahead_of_its_end() {
    // Life, Entra's own wish, and the second in which it is due: five minutes before the end, half of a long life,
    // half of a very short one, or when Entra says.
    for (life, refresh_in, due) in
        [(3_600, None, 3_300), (7_200, None, 3_600), (86_400, None, 43_200), (400, None, 200), (86_400, Some(50), 50)]
    {
        let bench = bench(9, vec![Ok((life, refresh_in)), Ok((life, refresh_in))]);
        assert_eq!(bench.get().await.unwrap(), "t0ken-1");
        bench.advance(due - 1);
        assert_eq!(bench.get().await.unwrap(), "t0ken-1");
        bench.tokens.settled().await;
        assert_eq!(bench.asked(), 1, "life {life}");
        bench.advance(1);
        // The old one is given while the new one is on its way.
        assert_eq!(bench.get().await.unwrap(), "t0ken-1");
        assert_eq!(bench.get().await.unwrap(), "t0ken-1");
        bench.tokens.settled().await;
        assert_eq!(bench.get().await.unwrap(), "t0ken-2");
        assert_eq!(bench.asked(), 2, "life {life}");
    }
}

#[tokio::test]
async fn a_failed_renewal_keeps_the_token_and_waits_half_a_minute() {
    let transient = || Err(TokenError::Transient { why: "no connection".to_owned() });
    let bench = bench(9, vec![Ok((3_600, None)), transient(), transient(), transient()]);
    bench.get().await.unwrap();
    for (advance, asked) in [(3_300, 2), (29, 2), (1, 3)] {
        bench.advance(advance);
        assert_eq!(bench.get().await.unwrap(), "t0ken-1");
        bench.tokens.settled().await;
        assert_eq!(bench.asked(), asked);
    }
    assert_eq!(bench.status().standing, Standing::Valid);
    assert_eq!(bench.status().problem.unwrap().text, "no token for now: no connection");
    // Not used in its last ten seconds: the failure shows.
    bench.advance(260);
    assert_eq!(bench.get().await.unwrap_err(), TokenError::Transient { why: "no connection".to_owned() });
    assert_eq!(bench.status().standing, Standing::Failing);
}

#[tokio::test]
async fn two_who_saw_it_fail_forget_it_once() {
    let bench = bench(9, vec![Ok((3_600, None)), Ok((3_600, None))]);
    let first = bench.tokens.get(&key()).await.unwrap();
    let second = bench.tokens.get(&key()).await.unwrap();
    assert!(bench.tokens.forget(&key(), &first));
    assert_eq!(bench.get().await.unwrap(), "t0ken-2");
    assert!(!bench.tokens.forget(&key(), &second));
    assert_eq!(bench.get().await.unwrap(), "t0ken-2");
    assert_eq!(bench.asked(), 2);
}

#[tokio::test]
async fn a_permanent_failure_is_answered_from_memory_for_a_minute() {
    let bench = bench(9, vec![Err(denied()), Err(denied()), Ok((3_600, None))]);
    for (advance, asked) in [(0, 1), (59, 1), (1, 2), (59, 2)] {
        bench.advance(advance);
        assert_eq!(bench.get().await.unwrap_err(), denied());
        assert_eq!(bench.asked(), asked);
    }
    let status = bench.status();
    assert_eq!(status.standing, Standing::Denied);
    assert_eq!(status.problem.unwrap().text, "AADSTS7000215: paste the value");
    bench.advance(1);
    bench.get().await.unwrap();
    assert_eq!((bench.status().standing, bench.status().problem), (Standing::Valid, None));
}

#[tokio::test]
async fn passing_failures_are_waited_out_ever_longer() {
    let transient = || Err(TokenError::Transient { why: "410".to_owned() });
    let mut answers: Vec<Scripting> = (0..8).map(|_| transient()).collect();
    answers.extend([Ok((20, None)), transient()]);
    let bench = bench(99, answers);
    // 1, 2, 4 … 30 seconds: a platform that is away for 70 seconds has been asked seven times by then.
    for (hold, asked) in [(1, 1), (2, 2), (4, 3), (8, 4), (16, 5), (30, 6), (30, 7), (30, 8)] {
        assert!(bench.get().await.is_err());
        assert_eq!(bench.asked(), asked);
        bench.advance(hold - 1);
        assert!(bench.get().await.is_err());
        assert_eq!(bench.asked(), asked, "not before {hold} s");
        bench.advance(1);
    }
    bench.get().await.unwrap();
    // A success begins anew.
    bench.advance(20);
    assert!(bench.get().await.is_err());
    assert_eq!(bench.asked(), 10);
    assert_eq!(bench.status().standing, Standing::Failing);
}

#[tokio::test]
async fn a_throttled_entry_says_how_long_is_left() {
    let after = |seconds| TokenError::Throttled { after: Duration::from_secs(seconds) };
    let bench = bench(9, vec![Err(after(60)), Ok((3_600, None))]);
    assert_eq!(bench.get().await.unwrap_err(), after(60));
    bench.advance(45);
    assert_eq!(bench.get().await.unwrap_err(), after(15));
    bench.advance(15);
    assert_eq!(bench.get().await.unwrap(), "t0ken-2");
}

#[tokio::test]
async fn a_reload_keeps_what_did_not_change_and_tries_what_did_at_once() {
    let bench = bench(9, vec![Ok((3_600, None)), Err(denied()), Ok((3_600, None))]);
    bench.get().await.unwrap();
    bench.tokens.set(Side::Azure, origin(&bench.source, "one"));
    bench.tokens.set(Side::Signl4, BTreeMap::new());
    assert_eq!(bench.get().await.unwrap(), "t0ken-1");
    bench.tokens.set(Side::Azure, origin(&bench.source, "two"));
    assert_eq!(bench.get().await.unwrap_err(), denied());
    bench.tokens.set(Side::Azure, origin(&bench.source, "three"));
    assert_eq!(bench.get().await.unwrap(), "t0ken-3");
    bench.tokens.set(Side::Azure, BTreeMap::new());
    let gone = bench.get().await.unwrap_err();
    assert_eq!(gone.to_string(), "no credential: configure one for [azure.contoso] credential");
    assert_eq!(gone.outcome(), Outcome::Denied { status: 0 });
}

#[tokio::test]
async fn tending_fetches_before_anybody_asks() {
    let bench = bench(9, vec![Ok((3_600, None)), Ok((3_600, None))]);
    assert_eq!(bench.status().standing, Standing::Unused);
    bench.tokens.tend();
    bench.tokens.settled().await;
    assert_eq!(bench.status().standing, Standing::Valid);
    assert_eq!(bench.status().expires_at, Some(start().plus(Duration::from_hours(1))));
    bench.tokens.tend();
    bench.tokens.settled().await;
    assert_eq!(bench.asked(), 1);
    bench.advance(3_300);
    bench.tokens.tend();
    bench.tokens.settled().await;
    assert_eq!(bench.asked(), 2);
}

#[tokio::test]
async fn fixed_secrets_are_entries_too() {
    let team = TeamName::parse("ops").unwrap();
    let key = CredentialKey::Signl4ApiKey(team.clone());
    let clock = Clock::manual(start());
    let tokens = Tokens::new(clock.clone());
    let end = start().plus(Duration::from_hours(1));
    let value = Secret::new("k3y".to_owned(), "environment variable KEY");
    tokens.set(Side::Signl4, BTreeMap::from([(key.clone(), Origin::Fixed { value, expires_at: Some(end) })]));

    let token = tokens.get(&key).await.unwrap();
    assert_eq!(token.value.expose(), "k3y");
    assert!(!tokens.forget(&key, &token));
    let standing = || {
        let status = tokens.status().remove(0);
        (status.standing, status.problem.map(|problem| problem.text))
    };
    assert_eq!(standing(), (Standing::Valid, None));
    tokens.reject(&key, &token, "create a new key");
    assert_eq!(standing(), (Standing::Denied, Some("create a new key".to_owned())));
    tokens.confirm(&key, &token);
    clock.advance(Duration::from_hours(1));
    assert_eq!(standing(), (Standing::Expired, None));
    // The date is the operator's, the last word SIGNL4's.
    assert_eq!(tokens.get(&key).await.unwrap().value.expose(), "k3y");
    assert_eq!(tokens.status()[0].name, "[signl4.ops] api_key");
}

#[tokio::test]
async fn no_secret_is_shown() {
    let bench = bench(9, vec![Ok((3_600, None))]);
    let token = bench.tokens.get(&key()).await.unwrap();
    let shown = format!("{:?} {token:?} {}", bench.tokens, serde_json::to_string(&bench.tokens.status()).unwrap());
    assert!(!shown.contains("t0ken"), "{shown}");
}
