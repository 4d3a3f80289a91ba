//! The end of the story: every alert on both sides, and what it took.

use super::DemoError;
use super::agree::Row;
use super::narrate::{Narrator, Style, clip, width};
use super::stage::Stage;

/// More deliveries and events than the story makes.
const ROWS: usize = 2_000;
const COLUMNS: [usize; 3] = [28, 13, 28];

/// Shows the rows; true if the sides agree on all of them.
pub(super) async fn show(
    stage: &Stage,
    tell: &mut Narrator<'_>,
    rows: &[Row],
    kinds: usize,
) -> Result<bool, DemoError> {
    tell.heading("At the end, on both sides")?;
    let head = columns(["alert", "Azure", "SIGNL4"]);
    let head = tell.styled(Style::Bold, &format!("{head}  agree"));
    tell.line(&head)?;
    // What is the same in every column shares a line.
    let mut told: Vec<&Row> = Vec::new();
    for row in rows {
        if told.contains(&row) {
            continue;
        }
        told.push(row);
        let verdict = match &row.disagreement {
            None => tell.styled(Style::Green, "yes"),
            Some(_) => tell.styled(Style::Red, "NO"),
        };
        let mut phone = wrapped(&row.phone);
        let name = match rows.iter().filter(|other| *other == row).count() {
            0 | 1 => row.name.clone(),
            several => format!("{several} × {}", row.name),
        };
        let first = columns([name.as_str(), row.azure.as_str(), phone.next().unwrap_or_default()]);
        tell.line(&format!("{first}  {verdict}"))?;
        for more in phone {
            tell.line(columns(["", "", more]).trim_end())?;
        }
    }
    let store = &stage.bridge()?.store;
    let events = store.events(ROWS).await?.len();
    let deliveries = store.deliveries(None, ROWS).await?;
    let retries: u32 = deliveries.iter().map(|delivery| delivery.attempt.saturating_sub(1)).sum();
    let in_state = |state: &str| deliveries.iter().filter(|delivery| delivery.state == state).count();
    let (dead, open) = (in_state("dead"), in_state("due") + in_state("leased"));
    let pages = stage.scene.signl4.read(|state| state.alerts.len());
    tell.line(&format!(
        "\n{} alerts of {kinds} kinds, {pages} pages; {events} events stored, {} deliveries, {retries} retries;\n\
         {open} deliveries still owed, {dead} dead",
        rows.len(),
        deliveries.len(),
    ))?;
    let disagreeing: Vec<&Row> = rows.iter().filter(|row| row.disagreement.is_some()).collect();
    if disagreeing.is_empty() {
        let text = format!("Azure and SIGNL4 agree on all {} of them", rows.len());
        let text = tell.styled(Style::Green, &text);
        tell.line(&text)?;
        return Ok(true);
    }
    for row in disagreeing {
        let why = row.disagreement.as_deref().unwrap_or_default();
        tell.alarm(&format!("The sides DISAGREE on {}: Azure {}, SIGNL4 {}: {why}", row.name, row.azure, row.phone))?;
    }
    Ok(false)
}

/// Each page of several on a line of its own.
fn wrapped(phone: &str) -> impl Iterator<Item = &str> {
    phone.split("; ")
}

fn columns(texts: [&str; 3]) -> String {
    let cell = |text: &str, columns: usize| {
        let text = clip(text, columns);
        let fill = " ".repeat(columns.saturating_sub(width(&text)));
        format!("{text}{fill}")
    };
    texts.iter().zip(COLUMNS).map(|(text, columns)| cell(text, columns)).collect::<Vec<_>>().join("  ")
}
