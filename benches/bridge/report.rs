//! The report: what was measured, beside what is aimed at.

use std::fmt::Write as _;

use crate::cases::{self, Case, DELAYS, LOADS, Scale};
use crate::figures::{Outcome, Rounds, Span, part_of};
use crate::machine::FOREIGN_CORES;
use crate::peers::Peer;
use crate::polling;

/// Subscriptions of the polling cases.
const POLLED: [usize; 2] = [50, 500];

/// Something to reach.
struct Target {
    what: String,
    measured: Option<Span>,
    is_reached: bool,
    goal: &'static str,
}

impl Target {
    fn least(what: &str, measured: Option<Span>, goal: f64, said: &'static str) -> Self {
        let is_reached = measured.is_some_and(|span| span.median >= goal);
        Self { what: what.to_owned(), measured, is_reached, goal: said }
    }

    fn most(what: &str, measured: Option<Span>, goal: f64, said: &'static str) -> Self {
        let is_reached = measured.is_some_and(|span| span.median <= goal);
        Self { what: what.to_owned(), measured, is_reached, goal: said }
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
        .filter_map(|outcome| Some(outcome.figures.get("RSS at 8/8")? / outcome.figures.get("RSS at 2/8")?))
        .collect();
    let mut targets = vec![
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
    ];
    for figure in [
        ("polling: lists a minute of one subscription", "lists a minute", 100.0, "≤ 100"),
        ("polling: lists and reads a minute of one subscription", "calls a minute", 1_000.0, "≤ 1,000"),
        ("polling: reads that a bucket of 25 a second must hold", "bucket", 250.0, "≤ 250"),
        ("polling: refused as too many (429)", "429", 0.0, "0"),
        ("polling: pages for alerts that were open before", "woken", 0.0, "0"),
    ] {
        let (what, figure, goal, said) = figure;
        let all = POLLED.map(|count| rounds.span(&name(Case::Polling(count)), figure));
        let worst = all.into_iter().flatten().max_by(|one, other| one.median.total_cmp(&other.median));
        targets.push(Target::most(what, worst, goal, said));
    }
    for case in POLLED.map(|count| name(Case::Polling(count))) {
        let quiet = rounds.span(&part_of(&case, polling::PARTS[1]), "CPU s");
        targets.push(Target::most(&format!("polling {case}: CPU s of a cycle without changes"), quiet, 3.0, "≤ 3"));
        let memory = rounds.span(&case, "RSS peak");
        targets.push(Target::most(&format!("polling {case}: resident memory MB"), memory, 100.0, "≤ 100"));
    }
    targets
}

fn number(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude < 1_000.0 && value.fract().abs() < f64::EPSILON {
        format!("{value:.0}")
    } else if magnitude >= 1_000.0 {
        let mut text = format!("{value:.0}");
        let mut at = text.len();
        let first = usize::from(value < 0.0);
        while at > first + 3 {
            at -= 3;
            text.insert(at, ',');
        }
        text
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
    let rows: Vec<String> = cases.iter().map(|case| case.name()).collect();
    let table = rows_of(rounds, &rows, columns);
    if table.is_empty() { table } else { format!("\n## {title}\n{table}") }
}

/// The same without a title, of rows by name.
fn rows_of(rounds: &Rounds, rows: &[String], columns: &[(&str, &str)]) -> String {
    let ran: Vec<&String> = rows.iter().filter(|name| !rounds.of(name).is_empty()).collect();
    if ran.is_empty() {
        return String::new();
    }
    let bare = Case::Bare.name();
    let mut text = "\n| |".to_owned();
    for (head, _) in columns {
        write!(text, " {head} |").expect("writing to a string");
    }
    writeln!(text, "\n| --- |{}", " --- |".repeat(columns.len())).expect("writing to a string");
    for name in ran {
        write!(text, "| {name} |").expect("writing to a string");
        for (_, figure) in columns {
            let cell = match *figure {
                "ratio" => cell(ratio_to(rounds, name, &bare)),
                "ids" => ids(rounds.of(name)),
                figure => cell(rounds.span(name, figure)),
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

/// Whether memory grows with the alerts.
fn memory(rounds: &Rounds, scale: &Scale) -> String {
    let eighths = cases::EIGHTHS.map(|figure| (figure.trim_start_matches("RSS at "), figure));
    let columns: Vec<(&str, &str)> = [
        ("alerts", "alerts"),
        ("delivered/s", "delivered/s"),
        ("as many as in minutes at 1,000/s", "minutes at 1,000/s"),
        ("idle", "RSS idle"),
    ]
    .into_iter()
    .chain(eighths)
    .chain([("at most", "RSS peak"), ("growth in an hour at 1,000/s", "MB an hour at 1,000/s"), ("ids", "ids")])
    .collect();
    let table = rows_of(rounds, &[Case::Many.name()], &columns);
    if table.is_empty() {
        return table;
    }
    format!(
        "\n## Memory over many alerts, MB\n\n\
        As many alerts as are taken in {} s, each paged; once, not in every round. Resident memory after each eighth of\n\
        that time. The growth is the slope over the alerts of the last three quarters, times the 3,600,000 of an hour;\n\
        below 100,000 alerts it would say nothing.\n{table}",
        scale.many_seconds
    )
}

/// How the rate of a slow disk follows its commits.
fn slow_disk(rounds: &Rounds) -> String {
    let case = |delay: u64, of: usize| Case::SlowSync(delay, of).name();
    if rounds.of(&case(DELAYS[0], LOADS[0])).is_empty() {
        return String::new();
    }
    let mut text = "\n## Slow disk: the rate falls with the commits, not with the alerts\n\n\
        Every sync of the bridge takes so many milliseconds longer. A commit is one sync (the few of checkpoints count as\n\
        commits here) and takes all alerts that wait: with the connections, alerts a commit grow and not the commits.\n"
        .to_owned();
    let figures =
        [("commits/s", "commits a second"), ("alerts a commit", "alerts a commit"), ("accepted/s", "alerts a second")];
    text.push_str("\n| connections |");
    for (_, head) in figures {
        for (at, delay) in DELAYS.into_iter().enumerate() {
            let head = if at == 0 { format!("**{head}**: ") } else { String::new() };
            write!(text, " {head}+{delay} ms |").expect("writing to a string");
        }
    }
    writeln!(text, "\n| --- |{}", " --- |".repeat(figures.len() * DELAYS.len())).expect("writing to a string");
    let median = |delay, of, figure: &str| rounds.span(&case(delay, of), figure).map_or(0.0, |span| span.median);
    for of in LOADS {
        write!(text, "| {of} |").expect("writing to a string");
        for (figure, _) in figures {
            for delay in DELAYS {
                write!(text, " {} |", number(median(delay, of, figure))).expect("writing to a string");
            }
        }
        text.push('\n');
    }
    let (least, most) = (LOADS[0], LOADS[LOADS.len() - 1]);
    text.push('\n');
    for delay in DELAYS {
        let figure = |of, figure| median(delay, of, figure);
        let every = |of| number(1e3 / figure(of, "commits/s"));
        let times = |name| number(figure(most, name) / figure(least, name));
        writeln!(
            text,
            "- +{delay} ms: with {least} connection a commit every {} ms, of {} alerts; with {most} one every {} ms, of {}: {} times \
             the commits take {} times the alerts.",
            every(least),
            number(figure(least, "alerts a commit")),
            every(most),
            number(figure(most, "alerts a commit")),
            times("commits/s"),
            times("accepted/s")
        )
        .expect("writing to a string");
    }
    let all: Vec<String> = DELAYS.into_iter().flat_map(|delay| LOADS.map(|of| case(delay, of))).collect();
    let columns = [
        ("accepted/s", "accepted/s"),
        ("accept p50 ms", "p50"),
        ("p99", "p99"),
        ("CPU µs an alert", "CPU µs"),
        ("ids", "ids"),
    ];
    text + &rows_of(rounds, &all, &columns)
}

/// Cycles of polling: what each took, and how near to the limits it came.
fn polled(rounds: &Rounds, scale: &Scale) -> String {
    let cases = POLLED.map(|count| Case::Polling(count).name());
    let rows: Vec<String> = cases.iter().flat_map(|case| polling::PARTS.map(|part| part_of(case, part))).collect();
    let figures = [
        ("wall s", "wall s"),
        ("CPU s", "CPU s"),
        ("all polls together s", "polling s"),
        ("lists", "lists"),
        ("reads", "reads"),
        ("tokens", "tokens"),
        ("events", "events"),
        ("pages", "pages"),
        ("memory MB before", "RSS before"),
        ("at most", "RSS peak"),
        ("after", "RSS after"),
    ];
    let table = rows_of(rounds, &rows, &figures);
    if table.is_empty() {
        return table;
    }
    let limits = [
        ("lists a minute (100)", "lists a minute"),
        ("lists and reads a minute (1,000)", "calls a minute"),
        ("in one second", "reads a second"),
        ("held by a bucket of 25 a second (250)", "bucket"),
        ("answered 429", "429"),
        ("polls that failed", "failed"),
    ];
    format!(
        "\n## Polling\n\n\
        Ten connections, {} open alerts, each subscription asked every {} s; no webhook. The first cycle begins with the\n\
        start of the bridge and an empty ledger: it writes every alert down and wakes nobody. A cycle is over when every\n\
        subscription was read to its end and what was found is stored and paged, so one in which little happens takes the\n\
        interval; how long all its polls took, side by side, is beside it. \"1 % changed\": a third each resolved,\n\
        acknowledged in the portal (no news where nobody was paged), and new; a new alert is read and paged. In the last part\n\
        {} fire in one subscription: after a burst the bridge reads it 25 times a second and 900 times a minute, so that\n\
        part takes longer. Memory is the resident size of the bridge, CPU its processor time.\n{table}\n\
        What one subscription was asked at most, by the simulator's log, and in parentheses what Azure allows:\n{}",
        number(scale.polled as f64),
        scale.poll_seconds,
        number(scale.storm as f64),
        rows_of(rounds, &rows, &limits)
    )
}

/// The whole report as Markdown.
pub(crate) fn report(rounds: &Rounds, head: &str, scale: &Scale) -> String {
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
    text.push_str(&memory(rounds, scale));
    text.push_str(&slow_disk(rounds));
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
    text.push_str(&polled(rounds, scale));
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
