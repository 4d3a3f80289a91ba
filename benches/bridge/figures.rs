//! Figures of several rounds, and what they come to.

use std::collections::BTreeMap;

/// Of a list in any order; 0 of an empty one.
pub(crate) fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(at.saturating_sub(1)).copied().unwrap_or(0.0)
}

/// Of the line that fits these points best.
pub(crate) fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let (both, own) = points.iter().fold((0.0, 0.0), |(both, own), point| {
        let across = point.0 - x;
        (across.mul_add(point.1 - y, both), across.mul_add(across, own))
    });
    if own > 0.0 { both / own } else { 0.0 }
}

/// The smallest, the median and the largest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Span {
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let min = values.iter().copied().reduce(f64::min)?;
        let max = values.iter().copied().reduce(f64::max)?;
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let median = f64::midpoint(sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        Some(Self { min, median, max })
    }
}

/// What one run of a case gave: figures by name, and whether all alerts were found again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) figures: BTreeMap<&'static str, f64>,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) missing: u64,
    pub(crate) doubled: u64,
    /// Cores that others used meanwhile.
    pub(crate) foreign: f64,
    /// Of a run that has several parts: each part's name and what it gave.
    pub(crate) parts: Vec<(&'static str, Outcome)>,
}

impl Outcome {
    pub(crate) fn set(&mut self, name: &'static str, value: f64) {
        self.figures.insert(name, value);
    }

    /// Percentiles of microseconds, in milliseconds.
    pub(crate) fn set_latency(&mut self, names: [&'static str; 3], micros: &[f64]) {
        let largest = micros.iter().copied().fold(0.0, f64::max);
        let values = [percentile(micros, 0.5), percentile(micros, 0.99), largest];
        for (name, value) in names.into_iter().zip(values) {
            self.set(name, value / 1e3);
        }
    }
}

/// What a part of a run is called in the report.
pub(crate) fn part_of(case: &str, part: &str) -> String {
    format!("{case}: {part}")
}

/// All rounds of all cases; of a case that was left out, none.
#[derive(Default)]
pub(crate) struct Rounds(BTreeMap<String, Vec<Outcome>>);

impl Rounds {
    pub(crate) fn add(&mut self, case: &str, mut outcome: Outcome) {
        for (part, outcome) in std::mem::take(&mut outcome.parts) {
            self.add(&part_of(case, part), outcome);
        }
        self.0.entry(case.to_owned()).or_default().push(outcome);
    }

    pub(crate) fn of(&self, case: &str) -> &[Outcome] {
        self.0.get(case).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &[Outcome])> {
        self.0.iter().map(|(case, outcomes)| (case.as_str(), outcomes.as_slice()))
    }

    pub(crate) fn span(&self, case: &str, figure: &str) -> Option<Span> {
        let values: Vec<f64> =
            self.of(case).iter().filter_map(|outcome| outcome.figures.get(figure).copied()).collect();
        Span::of(&values)
    }

    /// One case's figure over another's, each pair from the same round.
    pub(crate) fn ratio(&self, case: &str, to: &str, figure: &str) -> Option<Span> {
        let values: Vec<f64> = self
            .of(case)
            .iter()
            .zip(self.of(to))
            .filter_map(|(one, other)| Some(one.figures.get(figure)? / other.figures.get(figure)?))
            .collect();
        Span::of(&values)
    }
}
