//! The whole story, played fast.

use tokio_util::sync::CancellationToken;

use super::narrate::Narrator;
use super::stage::Ports;
use super::{Wish, play};
use crate::clock::Clock;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_story_ends_with_both_sides_in_agreement() {
    crate::egress::install_provider();
    let wish = Wish { exit: true, speed: 20.0 };
    let mut out = Vec::new();
    let agreed = {
        let mut tell = Narrator::new(&mut out, false, wish.speed, Clock::System);
        play(wish, Ports::Any, &CancellationToken::new(), &mut tell).await.unwrap()
    };
    let text = String::from_utf8(out).unwrap();
    assert!(agreed, "{text}");
}
