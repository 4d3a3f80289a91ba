//! `[[maintenance]]` of the routes' files: when whose pages are held.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use jiff::civil::Time;
use jiff::tz::TimeZone;

use super::problem::{Findings, Place};
use super::routes::{File, Named, criteria, one_line};
use super::section::{Item, Section};
use crate::domain::window::{Day, Times, Window};

/// All windows of all files.
pub(super) fn windows(files: &[File], names: &Named<'_>, findings: &mut Findings) -> Vec<Window> {
    let mut windows: Vec<Window> = Vec::new();
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for file in files {
        let start = Place::File { source: Rc::clone(&file.source), offset: 0 };
        let mut section = Section::new(format!("the routes file {}", file.name), start, &file.table);
        let item = section.take("maintenance");
        for item in item.iter().flat_map(Item::list) {
            let Some(section) = item.table("written as [[maintenance]]", findings) else { continue };
            let Some(window) = window(section, &file.name, names, findings) else { continue };
            let here = format!("{}:{}", file.name, window.line);
            if let Some(earlier) = seen.insert(window.name.clone(), here) {
                findings.error(
                    item.place(),
                    format!(
                        "there is a maintenance window `{}` already in {earlier}; give this one another name",
                        window.name
                    ),
                );
            }
            windows.push(window);
        }
    }
    windows
}

fn window(mut section: Section<'_>, file: &str, names: &Named<'_>, findings: &mut Findings) -> Option<Window> {
    "[[maintenance]]".clone_into(&mut section.name);
    let name = section.demand("name", "\"sunday patching\"", findings).and_then(|item| one_line(&item, findings));
    if let Some(name) = &name {
        section.name = format!("maintenance window `{name}`");
    }
    let criteria = section.take("match").map(|item| criteria(&item, names, findings)).unwrap_or_default();
    let (start, end) = (section.take("start"), section.take("end"));
    let times = if start.is_some() || end.is_some() {
        once(start, end, &mut section, findings)
    } else {
        weekly(&mut section, findings)
    };
    let line = section.place.line();
    section.finish(findings);
    Some(Window { name: name?, file: file.to_owned(), line, criteria, times: times? })
}

fn once(start: Option<Item>, end: Option<Item>, section: &mut Section<'_>, findings: &mut Findings) -> Option<Times> {
    for key in ["from", "to", "days", "time_zone"] {
        if let Some(item) = section.take(key) {
            item.error("goes with a window of each week; one that is open once has only `start` and `end`", findings);
        }
    }
    let (Some(start), Some(end)) = (start, end) else {
        findings.error(
            &section.place,
            format!("{} needs both `start` and `end`, such as 2026-12-01T22:00:00+01:00", section.name),
        );
        return None;
    };
    let (from, to) = (start.date(findings), end.date(findings));
    let (from, to) = (from?, to?);
    if to <= from {
        end.error("is not later than `start`", findings);
        return None;
    }
    Some(Times::Once { start: from, end: to })
}

fn weekly(section: &mut Section<'_>, findings: &mut Findings) -> Option<Times> {
    let from = section.demand("from", "\"22:00\"", findings).and_then(|item| time(&item, findings));
    let to = section.demand("to", "\"02:00\"", findings).and_then(|item| time(&item, findings));
    let days = match section.take("days") {
        Some(item) => {
            let days: BTreeSet<Day> =
                item.texts(findings).iter().filter_map(|item| item.word(&Day::ALL, findings)).collect();
            if item.list().is_empty() {
                item.error("is empty: the window would never open; leave it out for every day", findings);
            }
            days
        }
        None => Day::ALL.iter().map(|(_, day)| *day).collect(),
    };
    let zone = section.demand("time_zone", "\"Europe/Berlin\"", findings).and_then(|item| zone(&item, findings));
    Some(Times::Weekly { days, from: from?, to: to?, zone: zone? })
}

/// `22:00`
fn time(item: &Item, findings: &mut Findings) -> Option<Time> {
    let text = item.text(findings)?.trim();
    let parsed = text.split_once(':').and_then(|(hours, minutes)| {
        let two = |text: &str| (text.len() == 2).then(|| text.parse::<i8>().ok()).flatten();
        Time::new(two(hours)?, two(minutes)?, 0, 0).ok()
    });
    if parsed.is_none() {
        item.error(format_args!("is \"{text}\", but must be a time of day such as \"22:00\" or \"06:30\""), findings);
    }
    parsed
}

/// A name of the IANA time zone database.
fn zone(item: &Item, findings: &mut Findings) -> Option<TimeZone> {
    let text = item.text(findings)?.trim();
    let zone = TimeZone::get(text).ok();
    if zone.is_none() {
        item.error(
            format_args!("is \"{text}\", which is no time zone; write one such as \"Europe/Berlin\" or \"UTC\""),
            findings,
        );
    }
    zone
}
