//! The report: what was measured, beside what is aimed at.

use std::fmt::Write as _;

use crate::cases::Case;
use crate::figures::{Outcome, Rounds, Span};
use crate::machine::FOREIGN_CORES;
use crate::peers::Peer;

/// Something to reach.
struct Target {
    what: &'static str,
    measured: Option<Span>,
    is_reached: bool,
    goal: &'static str,
}

impl Target {
    fn least(what: &'static str, measured: Option<Span>, goal: f64, said: &'static str) -> Self {
        let is_reached = measured.is_some_and(|span| span.median >= goal);
        Self { what, measured, is_reached, goal: said }
    }

    fn most(what: &'static str, measured: Option<Span>, goal: f64, said: &'static str) -> Self {
        let is_reached = measured.is_some_and(|span| span.median <= goal);
        Self { what, measured, is_reached, goal: said }
    }
}

fn targets(rounds: &Rounds) -> Vec<Target> {
    let name = Case::name;
    let (bare, accept, path) = (name(Case::Bare), name(Case::Accept), name(Case::Path));
    let (alertmanager, node_red) = (name(Case::Peer(Peer::Alertmanager)), name(Case::Peer(Peer::NodeRed)));
    let (thousand, many) = (name(Case::Rate(1_000)), name(Case::Many));
    let (big_accept, big_path) = (name(Case::BigAccept), name(Case::BigPath));
    let over = |case: &str, to: &str| -> Option<Span> {
        // Delivered, or where nothing is delivered, accepted.
        let rate =
            |outcome: &Outcome| outcome.figures.get("delivered/s").or(outcome.figures.get("accepted/s")).copied();
        let pairs = rounds.of(case).iter().zip(rounds.of(to));
        Span::of(&pairs.filter_map(|(one, other)| Some(rate(one)? / rate(other)?)).collect::<Vec<_>>())
    };
    let growth: Vec<f64> = rounds
        .of(&many)
        .iter()
        .filter_map(|outcome| Some(outcome.figures.get("RSS at 4/4")? / outcome.figures.get("RSS at 1/4")?))
        .collect();
    vec![
        Target::least("durable accept / bare handler", over(&accept, &bare), 0.40, "≥ 0.40"),
        Target::least("durable accept / Alertmanager", over(&accept, &alertmanager), 7.0, "≥ 7"),
        Target::least("whole path / bare handler", over(&path, &bare), 0.22, "≥ 0.22"),
        Target::least("whole path / Alertmanager", over(&path, &alertmanager), 4.0, "≥ 4"),
        Target::least("whole path / Node-RED", over(&path, &node_red), 12.0, "≥ 12"),
        Target::most("at 1,000/s to the sink, median ms", rounds.span(&thousand, "e2e p50"), 1.0, "≤ 1"),
        Target::most("at 1,000/s to the sink, p99 ms", rounds.span(&thousand, "e2e p99"), 5.0, "≤ 5"),
        Target::most("at 1,000/s, resident memory MB", rounds.span(&thousand, "RSS peak"), 64.0, "≤ 64"),
        Target::most("memory after the last quarter of many alerts / after the first", Span::of(&growth), 1.2, "≤ 1.2"),
        Target::most("CPU of an accept, big store / empty", rounds.ratio(&big_accept, &accept, "CPU µs"), 1.2, "≤ 1.2"),
        Target::most(
            "CPU of the whole path, big store / empty",
            rounds.ratio(&big_path, &path, "CPU µs"),
            1.2,
            "≤ 1.2",
        ),
        Target::most("start to ready with the big store, ms", rounds.span(&big_path, "start ms"), 100.0, "≤ 100"),
    ]
}

fn number(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude >= 1_000.0 {
        let whole = format!("{value:.0}");
        let (head, tail) = whole.split_at(whole.len() - 3);
        format!("{head},{tail}")
    } else if magnitude >= 100.0 {
        format!("{value:.0}")
    } else if magnitude >= 10.0 {
        format!("{value:.1}")
    } else if magnitude >= 1.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.3}")
    }
}

fn cell(span: Option<Span>) -> String {
    span.map_or_else(String::new, |Span { min, median, max }| {
        if min.to_bits() == max.to_bits() {
            number(median)
        } else {
            format!("{} / **{}** / {}", number(min), number(median), number(max))
        }
    })
}

/// A table of the cases that ran; a column is its head and the figure in it.
fn table(rounds: &Rounds, title: &str, cases: &[Case], columns: &[(&str, &str)]) -> String {
    let ran: Vec<String> = cases.iter().map(|case| case.name()).filter(|name| !rounds.of(name).is_empty()).collect();
    if ran.is_empty() {
        return String::new();
    }
    let bare = Case::Bare.name();
    let mut text = format!("\n## {title}\n\n| |");
    for (head, _) in columns {
        write!(text, " {head} |").expect("writing to a string");
    }
    writeln!(text, "\n| --- |{}", " --- |".repeat(columns.len())).expect("writing to a string");
    for name in ran {
        write!(text, "| {name} |").expect("writing to a string");
        for (_, figure) in columns {
            let cell = match *figure {
                "ratio" => cell(ratio_to(rounds, &name, &bare)),
                "ids" => ids(rounds.of(&name)),
                figure => cell(rounds.span(&name, figure)),
            };
            write!(text, " {cell} |").expect("writing to a string");
        }
        text.push('\n');
    }
    text
}

fn ratio_to(rounds: &Rounds, case: &str, bare: &str) -> Option<Span> {
    let figure = if rounds.span(case, "delivered/s").is_some() { "delivered/s" } else { "accepted/s" };
    let pairs = rounds.of(case).iter().zip(rounds.of(bare));
    let ratios = pairs.filter_map(|(one, base)| Some(one.figures.get(figure)? / base.figures.get("accepted/s")?));
    Span::of(&ratios.collect::<Vec<_>>())
}

fn ids(outcomes: &[Outcome]) -> String {
    let sum = |of: fn(&Outcome) -> u64| outcomes.iter().map(of).sum::<u64>();
    let mut text = format!("{} sent, {} missing", number_of(sum(|o| o.accepted)), sum(|o| o.missing));
    for (count, word) in [(sum(|o| o.doubled), "doubled"), (sum(|o| o.refused), "refused")] {
        if count > 0 {
            write!(text, ", {count} {word}").expect("writing to a string");
        }
    }
    text
}

fn number_of(count: u64) -> String {
    number(count as f64)
}

/// This build beside another one.
fn against(rounds: &Rounds) -> String {
    let pairs = [(Case::Accept, Case::OtherAccept, "accepted/s"), (Case::Path, Case::OtherPath, "delivered/s")];
    let mut text = String::new();
    for (this, other, rate) in pairs.map(|(this, other, rate)| (this.name(), other.name(), rate)) {
        for figure in [rate, "CPU µs"] {
            if let Some(ratio) = rounds.ratio(&this, &other, figure) {
                writeln!(text, "| {this} | {figure} | {} |", cell(Some(ratio))).expect("writing to a string");
            }
        }
    }
    if text.is_empty() {
        return text;
    }
    format!("\n## This build / the other build\n\n| | | ratio |\n| --- | --- | --- |\n{text}")
}

/// The whole report as Markdown.
pub(crate) fn report(rounds: &Rounds, head: &str) -> String {
    let mut text = format!(
        "# Measured\n\n{head}\n\nMinimum / **median** / maximum of the rounds; ratios are taken within a round.\n"
    );
    text.push_str("\n## Targets\n\n| | measured | target | |\n| --- | --- | --- | --- |\n");
    for target in targets(rounds) {
        let end = match target.measured {
            None => "not measured",
            Some(_) if target.is_reached => "reached",
            Some(_) => "MISSED",
        };
        writeln!(text, "| {} | {} | {} | {end} |", target.what, cell(target.measured), target.goal)
            .expect("writing to a string");
    }
    let all = Case::all();
    let of = |words: &[&str]| all.iter().copied().filter(|case| words.contains(&case.word())).collect::<Vec<_>>();
    text.push_str(&table(
        rounds,
        "Closed loop, 64 connections",
        &of(&["bare", "accept", "path", "against", "peers", "store"]),
        &[
            ("accepted/s", "accepted/s"),
            ("delivered/s", "delivered/s"),
            ("/ bare handler", "ratio"),
            ("accept p50 ms", "p50"),
            ("accept p99 ms", "p99"),
            ("CPU µs an alert", "CPU µs"),
            ("memory MB: idle", "RSS idle"),
            ("at most", "RSS peak"),
            ("start to ready ms", "start ms"),
            ("ids", "ids"),
        ],
    ));
    text.push_str(&against(rounds));
    text.push_str(&table(
        rounds,
        "Open loop: from the planned time of sending",
        &of(&["rates"]),
        &[
            ("to SIGNL4 p50 ms", "e2e p50"),
            ("p99", "e2e p99"),
            ("max", "e2e max"),
            ("to the answer p50 ms", "p50"),
            ("p99", "p99"),
            ("CPU µs an alert", "CPU µs"),
            ("memory MB at most", "RSS peak"),
            ("ids", "ids"),
        ],
    ));
    text.push_str(&table(
        rounds,
        "Memory over many alerts, MB",
        &of(&["memory"]),
        &[
            ("idle", "RSS idle"),
            ("1/4", "RSS at 1/4"),
            ("2/4", "RSS at 2/4"),
            ("3/4", "RSS at 3/4"),
            ("4/4", "RSS at 4/4"),
            ("delivered/s", "delivered/s"),
            ("ids", "ids"),
        ],
    ));
    text.push_str(&table(
        rounds,
        "Slow disk: the rate falls with the commits, not with the alerts",
        &of(&["sync"]),
        &[
            ("accepted/s", "accepted/s"),
            ("syncs a second", "syncs"),
            ("alerts a sync", "alerts a sync"),
            ("accept p50 ms", "p50"),
            ("p99", "p99"),
            ("ids", "ids"),
        ],
    ));
    text.push_str(&table(
        rounds,
        "Drain after an outage of SIGNL4",
        &of(&["drain"]),
        &[
            ("half drained s", "half drained s"),
            ("drained s", "drained s"),
            ("CPU µs an alert", "CPU µs"),
            ("ids", "ids"),
        ],
    ));
    let disturbed = |outcomes: &[Outcome]| outcomes.iter().filter(|o| o.foreign > FOREIGN_CORES).count();
    let marked: Vec<String> = rounds
        .all()
        .filter(|(_, outcomes)| disturbed(outcomes) > 0)
        .map(|(case, outcomes)| format!("- {case}: {} of {} rounds", disturbed(outcomes), outcomes.len()))
        .collect();
    if !marked.is_empty() {
        write!(
            text,
            "\n## Disturbed\n\nOthers used more than {FOREIGN_CORES} cores, also when the round was repeated: absolute figures say little.\n\n{}\n",
            marked.join("\n")
        )
        .expect("writing to a string");
    }
    text
}
