//! How the story looks: who did what and when, pages as they look on a phone; in colour on a terminal, plain elsewhere.

use std::io::{self, Write};
use std::time::Duration;

use crate::clock::Clock;
use crate::domain::timestamp::Timestamp;
use crate::simulator::signl4::Alert;

/// Columns of a line, which any terminal has, and of what stands before the text in it.
const COLUMNS: usize = 80;
const MARGIN: usize = 16;
/// Columns within the frame of a page.
const SCREEN: usize = 60;
/// Column at which the values of a page's parameters begin.
const VALUES: usize = 13;
/// Slower than this, the simulated Azure would give up before the story goes on.
const SLOWEST: f64 = 0.25;

/// Who acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Azure,
    Bridge,
    Phone,
    Signl4,
    /// Whoever looks after the bridge.
    Operator,
    Clock,
}

impl Who {
    const fn name(self) -> &'static str {
        match self {
            Self::Azure => "Azure",
            Self::Bridge => "bridge",
            Self::Phone => "phone",
            Self::Signl4 => "SIGNL4",
            Self::Operator => "ops",
            Self::Clock => "clock",
        }
    }

    const fn style(self) -> Style {
        match self {
            Self::Azure => Style::Blue,
            Self::Bridge => Style::Green,
            Self::Phone | Self::Signl4 => Style::Magenta,
            Self::Operator => Style::Bold,
            Self::Clock => Style::Dim,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Bold,
    Dim,
    Red,
    Green,
    Blue,
    Magenta,
}

impl Style {
    const fn code(self) -> &'static str {
        match self {
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Red => "1;31",
            Self::Green => "32",
            Self::Blue => "36",
            Self::Magenta => "35",
        }
    }
}

/// How much of a page is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Whole,
    /// As on a locked phone: the title and the first line.
    Locked,
}

/// Writes the story.
pub(super) struct Narrator<'o> {
    out: &'o mut (dyn Write + Send),
    colour: bool,
    speed: f64,
    clock: Clock,
    begun: Timestamp,
}

impl<'o> Narrator<'o> {
    pub(super) fn new(out: &'o mut (dyn Write + Send), colour: bool, speed: f64, clock: Clock) -> Self {
        let begun = clock.now();
        Self { out, colour, speed: speed.max(SLOWEST), clock, begun }
    }

    /// The clock of everything that is told.
    pub(super) fn clock(&self) -> Clock {
        self.clock.clone()
    }

    pub(super) fn speed(&self) -> f64 {
        self.speed
    }

    /// Time to read: a second at speed 1.
    pub(super) async fn pause(&self, seconds: f64) {
        // A speed beyond all measure makes this zero, and never a panic.
        let wait = Duration::try_from_secs_f64(seconds / self.speed).unwrap_or_default();
        tokio::time::sleep(wait).await;
    }

    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// A line that nobody overlooks.
    pub(super) fn alarm(&mut self, text: &str) -> io::Result<()> {
        let text = self.styled(Style::Red, text);
        self.line(&format!("\n{text}"))
    }

    pub(super) fn heading(&mut self, text: &str) -> io::Result<()> {
        let rule = "─".repeat(COLUMNS.saturating_sub(width(text)).saturating_sub(5));
        let line = format!("{} {} {}", self.styled(Style::Dim, "───"), self.styled(Style::Bold, text), {
            self.styled(Style::Dim, &rule)
        });
        self.line(&format!("\n{line}"))
    }

    /// What somebody does, with the time since the demo began.
    pub(super) fn say(&mut self, who: Who, text: &str) -> io::Result<()> {
        let elapsed = format!("{:>5.1} s", self.clock.now().since(self.begun).as_secs_f64());
        let name = format!("{:<6}", who.name());
        let before = format!("{}  {} ", self.styled(Style::Dim, &elapsed), self.styled(who.style(), &name));
        let lines: Vec<String> = text.lines().flat_map(|line| wrap(line, COLUMNS - MARGIN)).collect();
        let text = lines.join(&format!("\n{}", " ".repeat(MARGIN)));
        self.line(&format!("{before}{text}"))
    }

    /// A page as it looks on the phone of the team.
    pub(super) fn page(&mut self, team: &str, page: &Alert, shown: Shown) -> io::Result<()> {
        let mut lines: Vec<(Option<Style>, String)> = Vec::new();
        let loud = loudness(&page.title);
        lines.extend(wrap(&page.title, SCREEN).into_iter().map(|line| (Some(loud), line)));
        let mut texts = page.text.lines();
        let message: Vec<String> = match shown {
            Shown::Whole => texts.flat_map(|line| wrap(line, SCREEN)).collect(),
            Shown::Locked => texts.next().map(|line| clip(line, SCREEN)).into_iter().collect(),
        };
        lines.extend(message.into_iter().map(|line| (None, line)));
        if shown == Shown::Whole {
            for (name, value) in &page.parameters {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let line = format!("{:<VALUES$}{}", clip(name, VALUES - 1), clip(&value, SCREEN - VALUES));
                lines.push((Some(Style::Dim), line));
            }
        }
        let label = match &page.service {
            Some(service) => format!(" {service} · team {team} "),
            None => format!(" team {team} "),
        };
        self.screen_top(&label)?;
        for (style, line) in lines {
            self.screen_line("", style, &line)?;
        }
        self.screen_bottom()
    }

    /// The upper edge of a phone's screen.
    pub(super) fn screen_top(&mut self, label: &str) -> io::Result<()> {
        let top = format!("╭─{label}{}╮", "─".repeat((SCREEN + 1).saturating_sub(width(label))));
        let top = self.styled(Style::Dim, &top);
        self.line(&format!("{}{top}", " ".repeat(MARGIN)))
    }

    /// A title on a locked phone, and in the margin what kind of alert it is.
    pub(super) fn screen_row(&mut self, kind: &str, title: &str) -> io::Result<()> {
        let style = Some(loudness(title));
        for (at, line) in wrap(title, SCREEN).into_iter().enumerate() {
            self.screen_line(if at == 0 { kind } else { "" }, style, &line)?;
        }
        Ok(())
    }

    pub(super) fn screen_bottom(&mut self) -> io::Result<()> {
        let bottom = self.styled(Style::Dim, &format!("╰{}╯", "─".repeat(SCREEN + 2)));
        self.line(&format!("{}{bottom}", " ".repeat(MARGIN)))
    }

    fn screen_line(&mut self, margin: &str, style: Option<Style>, line: &str) -> io::Result<()> {
        let margin = format!("{:<MARGIN$}", clip(margin, MARGIN - 1));
        let side = self.styled(Style::Dim, "│");
        let filled = format!("{line}{}", " ".repeat(SCREEN.saturating_sub(width(line))));
        let filled = style.map_or_else(|| filled.clone(), |style| self.styled(style, &filled));
        let margin = if margin.trim().is_empty() { margin } else { self.styled(Style::Blue, &margin) };
        self.line(&format!("{margin}{side} {filled} {side}"))
    }

    /// The text in a style, where there is colour.
    pub(super) fn styled(&self, style: Style, text: &str) -> String {
        if self.colour { format!("\u{1b}[{}m{text}\u{1b}[0m", style.code()) } else { text.to_owned() }
    }
}

fn loudness(title: &str) -> Style {
    if title.starts_with("Sev0") || title.starts_with("Sev1") { Style::Red } else { Style::Bold }
}

/// `9 ms`, `2.3 s`, `4 s`, `2 min`.
pub(super) fn span(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis < 1000 {
        return format!("{millis} ms");
    }
    if duration >= Duration::from_mins(2) {
        return format!("{} min", duration.as_secs() / 60);
    }
    let seconds = format!("{:.1}", duration.as_secs_f64());
    format!("{} s", seconds.trim_end_matches(".0"))
}

/// Columns that a text takes: all that is written here is one column a character.
pub(super) fn width(text: &str) -> usize {
    text.chars().count()
}

/// Cuts a text to so many columns, and marks the cut.
pub(super) fn clip(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(columns.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// Breaks a text at spaces; a word longer than a line is cut.
fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        if !line.is_empty() && width(&line) + 1 + width(word) > columns {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&clip(word, columns));
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_break_at_spaces_and_long_words_are_cut() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("https://example.com/long a", 9), ["https://…", "a"]);
        assert_eq!(wrap("", 9), [""]);
    }

    #[test]
    fn without_colour_there_are_no_escapes() {
        let mut plain = Vec::new();
        Narrator::new(&mut plain, false, 1.0, Clock::System).say(Who::Azure, "fires").unwrap();
        assert_eq!(String::from_utf8(plain).unwrap(), "  0.0 s  Azure  fires\n");
        let mut coloured = Vec::new();
        Narrator::new(&mut coloured, true, 1.0, Clock::System).alarm("no").unwrap();
        assert_eq!(String::from_utf8(coloured).unwrap(), "\n\u{1b}[1;31mno\u{1b}[0m\n");
    }
}
