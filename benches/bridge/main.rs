//! How fast, how small, how steady: `./dev bench`. One load for the bridge, for a bare handler and for what people use
//! instead, round after round, on the machine that it runs on; CONTRIBUTING.md says how to read it.
//!
//! Missing a target does not fail the command. An alert of ours that was answered and is not found again does.

#![expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::string_slice,
    reason = "a measurement that cannot go on ends, and its figures are no accounts"
)]

mod alert;
mod bare;
mod cases;
mod figures;
mod load;
mod machine;
mod peers;
mod polling;
mod process;
mod report;
mod served;
mod sink;
mod store_filler;
mod wire;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use crate::cases::{Bench, Case, Scale};
use crate::figures::Rounds;
use crate::machine::FOREIGN_CORES;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A disturbed run is repeated so often.
const REPEATS: usize = 2;

const USAGE: &str = "usage: ./dev bench [--rounds N] [--only WORD,WORD] [--against PROGRAM] [--keep] [--quick]
  --rounds N   5 by default, 1 with --quick
  --only …     of: accept, path, peers, rates, store, memory, sync, drain, polling; the
               bare handler always runs
  --against P  also another build of the bridge, the program P, and how this one compares
  --keep       leave the big store for the next run, and take it from the last
  --quick      about two minutes: shows that everything works, and measures little";

struct Wish {
    rounds: usize,
    cases: Vec<Case>,
    scale: Scale,
    repeats: usize,
    /// Another build of the bridge.
    other: Option<PathBuf>,
    /// The big store is left for the next run, and taken from the last.
    keeps: bool,
}

fn wish(arguments: &[String]) -> Option<Wish> {
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let scale = if quick {
        Scale {
            seconds: 1.0,
            patience: Duration::from_secs(10),
            store: (40_000, 4_000),
            many_seconds: 5.0,
            outage: 2_000,
            polled: 10_000,
            poll_seconds: 10,
            storm: 300,
        }
    } else {
        Scale {
            seconds: 4.0,
            patience: Duration::from_secs(30),
            store: (1_000_000, 100_000),
            many_seconds: 240.0,
            outage: 2_000,
            polled: 100_000,
            poll_seconds: 60,
            storm: 1_000,
        }
    };
    let (rounds, repeats) = if quick { (1, 0) } else { (5, REPEATS) };
    let mut wish = Wish { rounds, cases: Case::all(), scale, repeats, other: None, keeps: false };
    let mut words: Option<Vec<String>> = None;
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--bench" | "--quick" => {}
            "--rounds" => wish.rounds = arguments.next()?.parse().ok().filter(|rounds| *rounds > 0)?,
            "--keep" => wish.keeps = true,
            "--against" => wish.other = Some(PathBuf::from(arguments.next()?).canonicalize().ok()?),
            "--only" => {
                let mut listed: Vec<String> = arguments.next()?.split(',').map(str::to_owned).collect();
                let is_known = |word: &String| Case::all().iter().any(|case| case.word() == word);
                if listed.iter().any(|word| word == "store") {
                    // What the big store is compared with.
                    listed.extend(["accept".to_owned(), "path".to_owned()]);
                }
                words = Some(listed.iter().all(is_known).then_some(listed)?);
            }
            _ => return None,
        }
    }
    let compares = wish.other.is_some();
    if quick {
        wish.cases.retain(|case| *case != Case::Polling(500));
    }
    let wants = |case: &Case| match case.word() {
        "bare" => true,
        "against" => compares,
        word => words.as_ref().is_none_or(|words| words.iter().any(|wanted| wanted == word)),
    };
    wish.cases.retain(wants);
    Some(wish)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, address] = arguments.as_slice()
        && flag == "--serve-bare"
    {
        bare::serve(address.parse().expect("an address"));
        return ExitCode::SUCCESS;
    }
    // A test run builds benchmarks and asks them for tests: there are none.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let Some(wish) = wish(&arguments) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    fs::create_dir_all(&folder).expect("a folder");
    let (rounds, head) = measure(&wish, &folder);
    let text = report::report(&rounds, &head, &wish.scale);
    fs::write(folder.join("report.md"), &text).expect("the report");
    println!("\n{text}\nIn {}", folder.join("report.md").display());
    let lost = wish
        .cases
        .iter()
        .filter(|case| case.must_keep_all())
        .any(|case| rounds.of(&case.name()).iter().any(|outcome| outcome.missing > 0));
    if lost {
        eprintln!("bench: an alert that was answered was not found again");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn measure(wish: &Wish, folder: &Path) -> (Rounds, String) {
    let start = Instant::now();
    let mut head = machine::facts(folder);
    println!("{head}");
    let mut bench = Bench {
        scale: wish.scale.clone(),
        folder: folder.join("run"),
        big: folder.join("big"),
        shim: folder.join("slow_sync.so"),
        other: wish.other.clone().unwrap_or_default(),
        run: 0,
    };
    let wanted = |word: &str| wish.cases.iter().any(|case| case.word() == word);
    if wanted("sync") {
        shim(&bench.shim);
    }
    if wanted("store") {
        let (finished, open) = wish.scale.store;
        let begun = Instant::now();
        if !(wish.keeps && served::store_of(&bench.big).exists()) {
            clear(&bench.big);
            store_filler::fill(&bench.big, finished, open);
        }
        let bytes = fs::metadata(served::store_of(&bench.big)).map_or(0, |file| file.len());
        let store = format!(
            "Big store: {finished} finished and {open} open deliveries, {} MB, filled in {:.0} s",
            bytes / 1_000_000,
            begun.elapsed().as_secs_f64()
        );
        println!("{store}");
        head = format!("{head}\n\n{store}.");
    }
    let mut rounds = Rounds::default();
    for round in 1..=wish.rounds {
        for case in wish.cases.iter().copied().filter(|case| round == 1 || !case.is_long()) {
            if !case.can_run() {
                println!("round {round}: {} is not installed, left out", case.name());
                continue;
            }
            let mut outcome = bench.run(case);
            for _ in 0..if case.is_long() { 0 } else { wish.repeats } {
                if outcome.foreign <= FOREIGN_CORES || outcome.missing > 0 {
                    break;
                }
                println!("round {round}: {}: others used {:.1} cores, again", case.name(), outcome.foreign);
                outcome = bench.run(case);
            }
            let rate = outcome.figures.get("delivered/s").or(outcome.figures.get("accepted/s"));
            println!(
                "round {round}: {}: {}{} accepted, {} missing, {} doubled, {:.1} foreign cores",
                case.name(),
                rate.map_or_else(String::new, |rate| format!("{rate:.0}/s, ")),
                outcome.accepted,
                outcome.missing,
                outcome.doubled,
                outcome.foreign
            );
            rounds.add(&case.name(), outcome);
        }
    }
    if !wish.keeps {
        clear(&bench.big);
    }
    clear(&bench.folder);
    let minutes = start.elapsed().as_secs_f64() / 60.0;
    (rounds, format!("{head}\n\n{} rounds in {minutes:.1} minutes.", wish.rounds))
}

fn clear(folder: &Path) {
    if folder.exists() {
        fs::remove_dir_all(folder).expect("a folder of ours");
    }
}

fn shim(library: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/slow_sync.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-O2", "-shared", "-fPIC", "-o"]).arg(library).arg(source);
    assert!(compiler.status().expect("a C compiler").success(), "the shim compiles");
}
