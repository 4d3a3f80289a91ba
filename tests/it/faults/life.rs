//! What goes on at both services while the bridge lives and dies: alerts fire and resolve, people acknowledge, close and annotate.

use std::time::Duration;

use fastrand::Rng;
use signl4_azure_bridge::simulator::azure::{AlertSpec, Metric, MonitorCondition};
use signl4_azure_bridge::simulator::scene::{JANE, JOHN, Scene};
use signl4_azure_bridge::simulator::signl4::AlertStatus;
use tokio_util::sync::CancellationToken;

/// Goes on until it is told to end.
pub(super) async fn live(scene: Scene, mut chance: Rng, over: CancellationToken) {
    while !over.is_cancelled() {
        for _ in 0..chance.u8(1..4) {
            happen(&scene, &mut chance);
        }
        tokio::time::sleep(Duration::from_millis(chance.u64(1..25))).await;
    }
}

fn happen(scene: &Scene, chance: &mut Rng) {
    let person = if chance.bool() { JANE } else { JOHN };
    match chance.u8(0..10) {
        0..=3 => {
            let spec = AlertSpec::metric("CPU above 90 %", &format!("vm-{}", chance.u32(..)), Metric::default());
            scene.azure.fire(spec).unwrap();
        }
        4 | 5 => {
            let firing: Vec<String> = scene.azure.read(|state| {
                let alerts = state.alerts.values().filter(|alert| alert.condition == MonitorCondition::Fired);
                alerts.map(|alert| alert.id.clone()).collect()
            });
            if let Some(id) = chance.choice(&firing) {
                scene.azure.resolve(id).unwrap();
            }
        }
        6 | 7 => {
            if let Some(page) = one_that(scene, chance, |status| status == AlertStatus::Open) {
                let _raced = scene.signl4.acknowledge(&page, person, None);
            }
        }
        8 => {
            if let Some(page) = one_that(scene, chance, |status| status != AlertStatus::Closed) {
                let _raced = scene.signl4.close(&page, person, None);
            }
        }
        _ => {
            if let Some(page) = one_that(scene, chance, |status| status != AlertStatus::Closed) {
                let _raced = scene.signl4.annotate(&page, person, "looking at it");
            }
        }
    }
}

/// The id of a page in such a state.
fn one_that(scene: &Scene, chance: &mut Rng, is: impl Fn(AlertStatus) -> bool) -> Option<String> {
    let pages: Vec<String> = scene
        .signl4
        .read(|state| state.alerts.iter().filter(|page| is(page.status)).map(|page| page.id.clone()).collect());
    chance.choice(pages)
}
