//! The report as a person or a program reads it.

use std::io::{self, Write};

use super::finding::{Finding, Outcome};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A block for each target, a line for each check, below it the mend.
    Text { colour: bool },
    /// One array of objects.
    Json,
}

pub fn report(findings: &[Finding], style: Style, out: &mut dyn Write) -> io::Result<()> {
    match style {
        Style::Json => {
            serde_json::to_writer_pretty(&mut *out, findings)?;
            writeln!(out)
        }
        Style::Text { colour } => text(findings, colour, out),
    }
}

fn text(findings: &[Finding], colour: bool, out: &mut dyn Write) -> io::Result<()> {
    let width = findings.iter().map(|finding| finding.check.chars().count()).max().unwrap_or(0);
    let mut target = None;
    for finding in findings {
        if target != Some(&finding.target) {
            if target.is_some() {
                writeln!(out)?;
            }
            writeln!(out, "{}", finding.target)?;
            target = Some(&finding.target);
        }
        let (sign, code) = match finding.outcome {
            Outcome::Pass => ("✓", "32"),
            Outcome::Warn => ("!", "33"),
            Outcome::Fail => ("✗", "31"),
            Outcome::Untested => ("?", "36"),
        };
        let sign = if colour { format!("\x1b[{code}m{sign}\x1b[0m") } else { sign.to_owned() };
        writeln!(out, "  {sign} {:width$}  {}", finding.check, finding.detail)?;
        if let Some(mend) = &finding.mend {
            writeln!(out, "    {:width$}  → {mend}", "")?;
        }
    }
    let count = |outcome| findings.iter().filter(|finding| finding.outcome == outcome).count();
    let (passed, warned) = (count(Outcome::Pass), count(Outcome::Warn));
    let (failed, untested) = (count(Outcome::Fail), count(Outcome::Untested));
    let verdict = if failed > 0 { "Failed" } else { "Well" };
    writeln!(
        out,
        "\n{verdict}: {passed} passed, {warned} to look at, {failed} failed, {untested} not testable from here"
    )
}
