//! Whether the two sides agree, judged from the simulators alone: open ~ New, acknowledged ~ Acknowledged, closed by a
//! person ~ Closed. A page that Azure's Resolved has ended agrees with any state.

use std::time::Duration;

use super::watch::{is_page_of, page_id, team_name};
use crate::simulator::azure::{self, AlertState, MonitorCondition};
use crate::simulator::scene::Scene;
use crate::simulator::signl4::{self, AlertStatus};

/// What is still under way when the story ends has so long to arrive.
const SETTLE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// One thing that happened in the story, and how many pages it is worth.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) name: String,
    /// What kind of alert it is, if it is one.
    pub(super) kind: Option<&'static str>,
    /// The Azure alert; none for a body that says nothing of an alert.
    pub(super) alert: Option<String>,
    /// External id of the first page, or of the digest that shows it.
    pub(super) page: String,
    pub(super) pages: usize,
    /// A later alert of Azure's has said that it is over.
    pub(super) over: bool,
}

impl Part {
    pub(super) fn of_alert(name: String, kind: &'static str, alert: &str, pages: usize) -> Self {
        Self { name, kind: Some(kind), alert: Some(alert.to_owned()), page: page_id(alert), pages, over: false }
    }

    pub(super) fn is_over(&mut self) {
        self.over = true;
    }

    /// It has no page of its own.
    pub(super) fn is_shown_by(&mut self, digest: &str) {
        digest.clone_into(&mut self.page);
        self.pages = 1;
    }
}

/// How both sides show one part of the story at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) azure: String,
    pub(super) phone: String,
    /// Why the sides do not agree.
    pub(super) disagreement: Option<String>,
}

/// A page and the words that the summary needs of it.
#[derive(Clone, Debug)]
struct Page {
    team: String,
    status: AlertStatus,
    /// Who acknowledged or closed it.
    person: Option<String>,
}

/// The rows at the end, once the sides agree or the time for that is over.
pub(super) async fn settle(scene: &Scene, parts: &[Part]) -> Vec<Row> {
    let agreed = async {
        loop {
            let rows = compare(scene, parts);
            if rows.iter().all(|row| row.disagreement.is_none()) {
                return rows;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    match tokio::time::timeout(SETTLE, agreed).await {
        Ok(rows) => rows,
        Err(_) => compare(scene, parts),
    }
}

fn compare(scene: &Scene, parts: &[Part]) -> Vec<Row> {
    let mut rows: Vec<Row> = parts
        .iter()
        .map(|part| {
            let alert = part.alert.as_ref().and_then(|id| scene.azure.alert(id));
            let pages = scene.signl4.read(|state| {
                let mine = state.alerts.iter().filter(|page| is_page_of(page.external_id.as_deref(), &part.page));
                mine.map(|page| look(state, page)).collect::<Vec<_>>()
            });
            row(part, alert.as_ref(), &pages)
        })
        .collect();
    let strays = scene.signl4.read(|state| {
        let known =
            |page: &&signl4::Alert| parts.iter().any(|part| is_page_of(page.external_id.as_deref(), &part.page));
        state
            .alerts
            .iter()
            .filter(|page| !known(page))
            .map(|page| (page.title.clone(), look(state, page)))
            .collect::<Vec<_>>()
    });
    rows.extend(strays.into_iter().map(|(name, page)| Row {
        name,
        azure: "–".to_owned(),
        phone: words(&page),
        disagreement: Some("nothing in the story asked for this page".to_owned()),
    }));
    rows
}

fn look(state: &signl4::State, page: &signl4::Alert) -> Page {
    let id = match page.status {
        AlertStatus::Open => None,
        AlertStatus::Acknowledged => page.acknowledged_by.first(),
        AlertStatus::Closed => page.closed_by.as_ref(),
    };
    Page {
        team: team_name(state, page),
        status: page.status,
        person: id.and_then(|id| state.person(id)).map(|person| person.name.clone()),
    }
}

fn row(part: &Part, alert: Option<&azure::Alert>, pages: &[Page]) -> Row {
    let azure = match alert {
        Some(alert) if part.over => format!("{}, over", alert.state.as_str()),
        Some(alert) if alert.condition == MonitorCondition::Resolved => format!("{}, resolved", alert.state.as_str()),
        Some(alert) => alert.state.as_str().to_owned(),
        None => "–".to_owned(),
    };
    let phone = match pages {
        [] => "nobody was woken".to_owned(),
        [page] => words(page),
        several => several.iter().map(|page| format!("{}: {}", page.team, words(page))).collect::<Vec<_>>().join("; "),
    };
    let disagreement = if pages.len() == part.pages {
        alert.and_then(|alert| {
            let condition = if part.over { MonitorCondition::Resolved } else { alert.condition };
            disagreement(alert.state, condition, pages)
        })
    } else {
        Some(format!("{} pages instead of {}", pages.len(), part.pages))
    };
    Row { name: part.name.clone(), azure, phone, disagreement }
}

fn words(page: &Page) -> String {
    match (page.status, &page.person) {
        (AlertStatus::Open, _) => "open".to_owned(),
        (AlertStatus::Acknowledged, Some(person)) => format!("acknowledged ({person})"),
        (AlertStatus::Acknowledged, None) => "acknowledged".to_owned(),
        (AlertStatus::Closed, Some(person)) => format!("closed ({person})"),
        (AlertStatus::Closed, None) => "ended by Azure".to_owned(),
    }
}

fn disagreement(state: AlertState, condition: MonitorCondition, pages: &[Page]) -> Option<String> {
    let with = |status: AlertStatus| pages.iter().filter(move |page| page.status == status);
    let live = pages.len() - with(AlertStatus::Closed).count();
    if pages.is_empty() {
        return None;
    }
    if condition == MonitorCondition::Resolved {
        return (live > 0).then(|| "resolved in Azure, and a page is still open".to_owned());
    }
    let wanted = if with(AlertStatus::Closed).any(|page| page.person.is_some()) {
        if live > 0 {
            return Some("a person closed one page, and another is still open".to_owned());
        }
        AlertState::Closed
    } else if live == 0 {
        return Some("the page ended, and nothing in Azure says why".to_owned());
    } else if with(AlertStatus::Acknowledged).next().is_some() {
        AlertState::Acknowledged
    } else {
        AlertState::New
    };
    (state != wanted).then(|| format!("Azure should be {}", wanted.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(status: AlertStatus, person: Option<&str>) -> Page {
        Page { team: "ops".to_owned(), status, person: person.map(str::to_owned) }
    }

    #[test]
    fn sides_agree_only_as_invariant_five_says() {
        use AlertState::{Acknowledged, Closed, New};
        use MonitorCondition::{Fired, Resolved};
        let open = || page(AlertStatus::Open, None);
        let acknowledged = || page(AlertStatus::Acknowledged, Some("Jane Doe"));
        let closed = || page(AlertStatus::Closed, Some("Jane Doe"));
        let ended = || page(AlertStatus::Closed, None);
        for (state, condition, pages, agrees) in [
            (New, Fired, vec![open()], true),
            (Acknowledged, Fired, vec![open()], false),
            (Acknowledged, Fired, vec![acknowledged()], true),
            (New, Fired, vec![acknowledged()], false),
            (Acknowledged, Fired, vec![open(), acknowledged()], true),
            (Closed, Fired, vec![closed()], true),
            (Acknowledged, Fired, vec![closed()], false),
            (Closed, Fired, vec![closed(), open()], false),
            (Closed, Fired, vec![closed(), ended()], true),
            (New, Fired, vec![ended()], false),
            (New, Resolved, vec![ended()], true),
            (Acknowledged, Resolved, vec![ended()], true),
            (New, Resolved, vec![open()], false),
            (New, Fired, vec![], true),
        ] {
            let found = disagreement(state, condition, &pages);
            assert_eq!(found.is_none(), agrees, "{state:?} {condition:?} {pages:?}: {found:?}");
        }
    }

    #[test]
    fn a_second_page_is_a_disagreement_of_its_own() {
        let part = Part {
            name: "disk".to_owned(),
            kind: Some("metric"),
            alert: None,
            page: "azmon:x".to_owned(),
            pages: 1,
            over: false,
        };
        let pages = [page(AlertStatus::Open, None), page(AlertStatus::Open, None)];
        assert_eq!(row(&part, None, &pages).disagreement.as_deref(), Some("2 pages instead of 1"));
        assert_eq!(row(&part, None, &pages[..1]).disagreement, None);
    }
}
