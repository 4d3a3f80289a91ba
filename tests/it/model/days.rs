//! Days that broke an invariant once, as short as shrinking made them.

use signl4_azure_bridge::domain::event::Happened::{Acknowledged, Closed, Reopened};

use super::steps::Luck::{Denied, Good, Refused, Unheard};
use super::steps::Post::{AtOnce, Later};
use super::steps::Step::{
    Arrive, Calm, Claim, Double, Fire, Forget, Operate, Person, Poll, Resolve, Restart, Send, SetBack, Storm, System,
    Wait, Work,
};
use super::steps::{Step, Wish};

pub(super) fn once_wrong() -> Vec<(&'static str, Vec<Step>)> {
    let fire = |alert| Fire { alert, post: AtOnce };
    let resolve = |alert| Resolve { alert, post: AtOnce };
    let person = |does, post| Person { which: 0, does, post };
    let work = |luck| Work { luck };
    let claim = |limit| Claim { limit, lucky: false };
    vec![
        (
            "an unsent acknowledgement of an earlier firing",
            vec![fire(0), work(Good), person(Acknowledged, AtOnce), resolve(0), fire(0)],
        ),
        (
            "a close of an earlier firing, heard late, and a page in a digest",
            vec![fire(0), work(Good), person(Closed, Later), resolve(0), fire(2), Wait { seconds: 1 }, fire(0)],
        ),
        (
            "a close before a firing that was heard first",
            vec![
                fire(6),
                work(Good),
                person(Closed, Later),
                Wait { seconds: 4 },
                Resolve { alert: 6, post: Later },
                // Azure has resolved it; its webhook is on its way.
                fire(6),
            ],
        ),
        (
            "a close by SIGNL4 before a firing that was heard first",
            vec![
                fire(13),
                work(Good),
                System { which: 0, does: Closed, post: Later },
                Resolve { alert: 13, post: Later },
                Wait { seconds: 1 },
                fire(13),
            ],
        ),
        (
            "an issue that gets worse after it was acknowledged",
            vec![fire(23), work(Good), person(Acknowledged, AtOnce), fire(22)],
        ),
        (
            "a late page whose alert is resolved while Azure is asked",
            vec![
                Storm { first: 0, count: 3 },
                work(Denied),
                fire(13),
                Arrive { which: 0 },
                Calm,
                Arrive { which: 0 },
                fire(8),
                Resolve { alert: 8, post: Later },
                Wait { seconds: 420 },
                claim(1),
            ],
        ),
        (
            "the end of a firing that is not heard of yet",
            vec![fire(18), Calm, work(Good), Fire { alert: 18, post: Later }, resolve(18)],
        ),
        (
            "a close of an earlier firing that arrives after a new one",
            vec![
                fire(18),
                work(Unheard),
                person(Closed, AtOnce),
                Calm,
                claim(1),
                person(Reopened, AtOnce),
                Fire { alert: 18, post: Later },
                work(Good),
            ],
        ),
        (
            "an acknowledgement that outlives the end of a firing",
            vec![
                fire(16),
                claim(1),
                resolve(16),
                Fire { alert: 16, post: Later },
                work(Good),
                person(Acknowledged, AtOnce),
                resolve(16),
            ],
        ),
        (
            "a page of a later firing beside one that was opened again and closed",
            vec![
                fire(7),
                work(Good),
                fire(9),
                resolve(7),
                System { which: 0, does: Closed, post: Later },
                person(Reopened, Later),
                Wait { seconds: 1 },
                Calm,
                person(Closed, Later),
                Wait { seconds: 1 },
                fire(7),
            ],
        ),
        (
            "a late page that hears of the end of one firing after the next has begun",
            vec![
                fire(8),
                Wait { seconds: 1136 },
                Resolve { alert: 8, post: Later },
                claim(4),
                Send { which: 0, luck: Good },
                Storm { first: 4, count: 7 },
            ],
        ),
        (
            "a digest that is closed, loses its members and is opened again",
            vec![
                Storm { first: 6, count: 3 },
                fire(0),
                work(Good),
                Storm { first: 0, count: 6 },
                Wait { seconds: 120 },
                Claim { limit: 3, lucky: true },
                Send { which: 4, luck: Good },
                Wait { seconds: 75 },
                Person { which: 208, does: Closed, post: AtOnce },
                Calm,
                Person { which: 22, does: Reopened, post: AtOnce },
            ],
        ),
        (
            "a digest that is replayed",
            vec![
                Storm { first: 1, count: 4 },
                fire(6),
                Wait { seconds: 60 },
                work(Refused),
                Operate { which: 185, wish: Wish::Replay { force: false } },
            ],
        ),
        (
            "a digest that is replayed after its members have ended",
            vec![
                Storm { first: 0, count: 4 },
                work(Good),
                Wait { seconds: 60 },
                work(Refused),
                Calm,
                Operate { which: 0, wish: Wish::Replay { force: false } },
            ],
        ),
        (
            "a late page that finds our own close on its way to an acknowledgement",
            vec![
                Wait { seconds: 90_000 },
                Storm { first: 4, count: 5 },
                fire(11),
                Wait { seconds: 282 },
                claim(2),
                claim(2),
                Forget { which: 51 },
                work(Good),
                person(Acknowledged, AtOnce),
                Person { which: 12, does: Closed, post: AtOnce },
                Person { which: 240, does: Reopened, post: Later },
                claim(3),
                Person { which: 222, does: Acknowledged, post: AtOnce },
                Restart { well: true },
                Wait { seconds: 18 },
            ],
        ),
        (
            "a clock that is set back between an acknowledgement of a digest and the end of its members",
            vec![
                Storm { first: 0, count: 5 },
                claim(2),
                Wait { seconds: 90 },
                claim(2),
                Send { which: 88, luck: Good },
                Wait { seconds: 1 },
                Wait { seconds: 89 },
                work(Good),
                Person { which: 26, does: Acknowledged, post: AtOnce },
                SetBack { seconds: 1 },
                Calm,
            ],
        ),
        (
            "a close of an earlier firing that is heard after a new one, by a clock that was set back",
            vec![
                fire(13),
                Arrive { which: 0 },
                work(Good),
                Fire { alert: 2, post: Later },
                person(Closed, Later),
                Wait { seconds: 6 },
                fire(2),
                Poll { post: AtOnce },
                SetBack { seconds: 55 },
                Arrive { which: 105 },
                Calm,
                Double { which: 2 },
                Calm,
                Wait { seconds: 54 },
                Storm { first: 5, count: 3 },
                fire(13),
            ],
        ),
        (
            "our close that is tried again after the page was opened again",
            vec![
                Storm { first: 2, count: 5 },
                Wait { seconds: 130 },
                fire(18),
                work(Good),
                Calm,
                claim(4),
                Claim { limit: 3, lucky: true },
                Wait { seconds: 130 },
                fire(18),
                Person { which: 47, does: Reopened, post: AtOnce },
            ],
        ),
    ]
}
