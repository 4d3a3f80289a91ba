//! What can happen: to the alerts, in the mail, by people, in the worker, to the process, by an operator.

use proptest::prelude::*;
use signl4_azure_bridge::domain::delivery::AzureState;
use signl4_azure_bridge::domain::event::Happened;

use super::rules::KINDS;

/// Numbers named `which` pick one of what is there, by remainder: shrinking leaves them meaningful.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// An alert begins, or Azure repeats its webhook.
    Fire {
        alert: usize,
        post: Post,
    },
    Resolve {
        alert: usize,
        post: Post,
    },
    /// Many alerts begin at once.
    Storm {
        first: usize,
        count: usize,
    },
    /// Everything that fires is over.
    Calm,
    /// The portal's test; the same body as the last, or another.
    Test {
        same: bool,
    },
    /// A webhook on its way arrives.
    Arrive {
        which: usize,
    },
    Double {
        which: usize,
    },
    /// A person acts on a page.
    Person {
        which: usize,
        does: Happened,
        post: Post,
    },
    /// A person acts in Azure's portal.
    Portal {
        alert: usize,
        state: AzureState,
    },
    /// Both sides are polled; what was read is judged at once, or later.
    Poll {
        post: Post,
    },
    /// A webhook is lost, or what a poll has read.
    Lose {
        which: usize,
    },
    /// SIGNL4 acts on a page by itself.
    System {
        which: usize,
        does: Happened,
        post: Post,
    },
    /// The worker rings and claims.
    Claim {
        limit: usize,
        lucky: bool,
    },
    /// The call of an attempt goes out.
    Send {
        which: usize,
        luck: Luck,
    },
    /// An attempt is recorded.
    Record {
        which: usize,
        roll: u8,
    },
    /// The record of an attempt never happens; the process lives on.
    Forget {
        which: usize,
    },
    /// Everything that is due, at once, with the same luck.
    Work {
        luck: Luck,
    },
    Wait {
        seconds: u32,
    },
    /// The clock is set back.
    SetBack {
        seconds: u32,
    },
    /// The process dies, or stops well, and comes back on its file.
    Restart {
        well: bool,
    },
    Operate {
        which: usize,
        wish: Wish,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Post {
    AtOnce,
    Later,
}

/// How an attempt fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Luck {
    Good,
    Busy {
        seconds: Option<u8>,
    },
    Unsent,
    /// It arrives, and its answer does not.
    Unheard,
    /// It vanishes, and nobody knows.
    Vanished,
    Refused,
    Denied,
    OurFault,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Wish {
    Replay { force: bool },
    Drop,
    Pause { seconds: u32 },
    Resume,
    ProbeAll,
}

/// A day: which alerts play a part in it, and what happens.
pub(super) fn day(longest: usize) -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(0..KINDS, 2..6).prop_flat_map(move |cast| {
        let alert = proptest::sample::select(cast);
        proptest::collection::vec(step(alert), 1..=longest)
    })
}

fn step(alert: impl Strategy<Value = usize> + Clone + 'static) -> impl Strategy<Value = Step> {
    let which = || any::<u8>().prop_map(usize::from);
    let post = || prop_oneof![2 => Just(Post::AtOnce), 1 => Just(Post::Later)];
    let person = prop_oneof![
        4 => Just(Happened::Acknowledged),
        3 => Just(Happened::Closed),
        3 => Just(Happened::Reopened),
        1 => Just(Happened::Annotated),
    ];
    let system = prop_oneof![
        2 => Just(Happened::Closed),
        1 => Just(Happened::Acknowledged),
        1 => Just(Happened::Escalated),
        1 => Just(Happened::NobodyOnDuty),
        1 => Just(Happened::Annotated),
    ];
    let wish = prop_oneof![
        3 => any::<bool>().prop_map(|force| Wish::Replay { force }),
        1 => Just(Wish::Drop),
        2 => (30..2_000_u32).prop_map(|seconds| Wish::Pause { seconds }),
        1 => Just(Wish::Resume),
        1 => Just(Wish::ProbeAll),
    ];
    let portal = prop_oneof![
        2 => Just(AzureState::Acknowledged),
        2 => Just(AzureState::Closed),
        1 => Just(AzureState::New),
    ];
    let wait = prop_oneof![
        4 => 1..30_u32,
        4 => 30..130_u32,
        2 => 130..4_000_u32,
        1 => Just(90_000_u32),
    ];
    prop_oneof![
        12 => (alert.clone(), post()).prop_map(|(alert, post)| Step::Fire { alert, post }),
        4 => (alert.clone(), post()).prop_map(|(alert, post)| Step::Resolve { alert, post }),
        5 => (alert, portal).prop_map(|(alert, state)| Step::Portal { alert, state }),
        4 => post().prop_map(|post| Step::Poll { post }),
        1 => which().prop_map(|which| Step::Lose { which }),
        2 => (0..8_usize, 3..8_usize).prop_map(|(first, count)| Step::Storm { first, count }),
        1 => Just(Step::Calm),
        1 => any::<bool>().prop_map(|same| Step::Test { same }),
        8 => which().prop_map(|which| Step::Arrive { which }),
        2 => which().prop_map(|which| Step::Double { which }),
        16 => (which(), person, post()).prop_map(|(which, does, post)| Step::Person { which, does, post }),
        2 => (which(), system, post()).prop_map(|(which, does, post)| Step::System { which, does, post }),
        5 => (1..6_usize, any::<bool>()).prop_map(|(limit, lucky)| Step::Claim { limit, lucky }),
        6 => (which(), luck()).prop_map(|(which, luck)| Step::Send { which, luck }),
        6 => (which(), any::<u8>()).prop_map(|(which, roll)| Step::Record { which, roll }),
        1 => which().prop_map(|which| Step::Forget { which }),
        8 => luck().prop_map(|luck| Step::Work { luck }),
        8 => wait.prop_map(|seconds| Step::Wait { seconds }),
        1 => (1..90_u32).prop_map(|seconds| Step::SetBack { seconds }),
        2 => any::<bool>().prop_map(|well| Step::Restart { well }),
        3 => (which(), wish).prop_map(|(which, wish)| Step::Operate { which, wish }),
    ]
}

fn luck() -> impl Strategy<Value = Luck> {
    prop_oneof![
        12 => Just(Luck::Good),
        1 => proptest::option::of(any::<u8>()).prop_map(|seconds| Luck::Busy { seconds }),
        1 => Just(Luck::Unsent),
        2 => Just(Luck::Unheard),
        2 => Just(Luck::Vanished),
        1 => Just(Luck::Refused),
        1 => Just(Luck::Denied),
        1 => Just(Luck::OurFault),
    ]
}
