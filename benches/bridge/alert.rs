//! Alerts to send: bodies of 4,096 bytes, each with an id of its own that is found again at the other end.

use std::fmt::Write as _;

/// Of a body, as Azure's common alert schema has it or as a peer wants it.
pub(crate) const BODY_BYTES: usize = 4_096;
pub(crate) const SUBSCRIPTION: &str = "4b7d9c12-6e0f-4a58-b3c1-92f5d8e7a604";

/// A GUID whose digits before this are the alert's number, spread so that neighbours do not look alike, and after it
/// the number of the run.
const MARK: &str = "-4be9-8";
const BEFORE: usize = 13;
const ID_BYTES: usize = 36;
const PLACE: &str = "00000000-0000-4be9-8000-be9c5160a400";
const BITS: u64 = (1 << 48) - 1;
const SPREAD: u64 = 0x0005_DEEC_E66D;
const GATHER: u64 = inverse(SPREAD);

/// Of an odd number, modulo a power of two: each step doubles the number of right bits.
const fn inverse(odd: u64) -> u64 {
    let mut found = odd;
    let mut step = 0;
    while step < 5 {
        found = found.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(found)));
        step += 1;
    }
    found & BITS
}

/// The GUID of an alert.
pub(crate) fn id(run: u16, number: u64) -> [u8; ID_BYTES] {
    let mut id = [0; ID_BYTES];
    id.copy_from_slice(PLACE.as_bytes());
    let spread = number.wrapping_mul(SPREAD) & BITS;
    hex(spread >> 16, &mut id[..8]);
    hex(spread & 0xffff, &mut id[9..BEFORE]);
    hex(u64::from(run & 0xfff), &mut id[20..23]);
    id
}

fn hex(value: u64, into: &mut [u8]) {
    let mut rest = value;
    for digit in into.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(rest & 15) as usize];
        rest >>= 4;
    }
}

/// The numbers of this run's alerts whose ids stand in the text, each once.
pub(crate) fn numbers(text: &str, run: u16, found: &mut Vec<u64>) {
    found.clear();
    let mut from = 0;
    while let Some(at) = text[from..].find(MARK) {
        let mark = from + at;
        from = mark + MARK.len();
        if let Some(number) = number(text, mark, run).filter(|number| !found.contains(number)) {
            found.push(number);
        }
    }
}

fn number(text: &str, mark: usize, run: u16) -> Option<u64> {
    let digits = text.get(mark.checked_sub(BEFORE)?..mark)?;
    let of_run = u16::from_str_radix(text.get(mark + MARK.len()..mark + MARK.len() + 3)?, 16).ok()?;
    let high = u64::from_str_radix(digits.get(..8)?, 16).ok()?;
    let low = u64::from_str_radix(digits.get(9..)?, 16).ok()?;
    (of_run == run & 0xfff).then(|| (high << 16 | low).wrapping_mul(GATHER) & BITS)
}

/// A whole HTTP request, but for the id.
#[derive(Clone)]
pub(crate) struct Template {
    request: Vec<u8>,
    place: usize,
}

impl Template {
    /// The common alert schema.
    pub(crate) fn azure(path: &str) -> Self {
        Self::new(path, &azure_body("Fired"))
    }

    /// The same alert, over.
    pub(crate) fn azure_resolved(path: &str) -> Self {
        Self::new(path, &azure_body("Resolved"))
    }

    /// What Alertmanager takes: it cannot read the common alert schema.
    pub(crate) fn alertmanager(path: &str) -> Self {
        let body = |pad: usize| {
            format!(
                r#"[{{"labels":{{"alertname":"vm-web-cpu-high","severity":"critical","instance":"vm-web-03","alert":"{PLACE}"}},"annotations":{{"summary":"Web tier is short of processor","description":"{}"}},"generatorURL":"http://localhost/graph"}}]"#,
                "x".repeat(pad)
            )
        };
        let pad = BODY_BYTES - body(0).len();
        Self::new(path, &body(pad))
    }

    fn new(path: &str, body: &str) -> Self {
        assert_eq!(body.len(), BODY_BYTES, "every case gets the same number of bytes");
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: {BODY_BYTES}\r\n\r\n"
        );
        let place = head.len() + body.find(PLACE).expect("a body has a place for the id");
        Self { request: [head.as_bytes(), body.as_bytes()].concat(), place }
    }

    /// The request with this alert's id in its place.
    pub(crate) fn fill(&mut self, run: u16, number: u64) -> &[u8] {
        self.request[self.place..self.place + ID_BYTES].copy_from_slice(&id(run, number));
        &self.request
    }
}

fn azure_body(condition: &str) -> String {
    let arm = format!("/subscriptions/{SUBSCRIPTION}");
    let mut criteria = String::new();
    for (metric, operator, threshold, value) in [
        ("Percentage CPU", "GreaterThan", "90", "97.2318"),
        ("Available Memory Bytes", "LessThan", "536870912", "214748364"),
        ("Disk Queue Depth", "GreaterThan", "32", "71"),
    ] {
        let separator = if criteria.is_empty() { "" } else { "," };
        write!(
            criteria,
            r#"{separator}{{"metricName":"{metric}","metricNamespace":"Microsoft.Compute/virtualMachines","operator":"{operator}","threshold":"{threshold}","timeAggregation":"Average","dimensions":[{{"name":"microsoft.resourceId","value":"{arm}/resourceGroups/rg-shop/providers/Microsoft.Compute/virtualMachines/vm-web-03"}},{{"name":"microsoft.resourceType","value":"Microsoft.Compute/virtualMachines"}}],"metricValue":{value},"webTestName":null}}"#
        )
        .expect("writing to a string");
    }
    let properties = r#""owner":"web","runbook":"https://wiki.contoso.com/runbooks/web-cpu","costCentre":"4711","environment":"production""#;
    let resolved = if condition == "Resolved" { r#""resolvedDateTime":"2026-11-24T03:31:12.0213Z","# } else { "" };
    let body = |pad: &str| {
        format!(
            r#"{{"schemaId":"azureMonitorCommonAlertSchema","data":{{"essentials":{{"alertId":"{arm}/providers/Microsoft.AlertsManagement/alerts/{PLACE}","alertRule":"vm-web-cpu-high","severity":"Sev1","signalType":"Metric","monitorCondition":"{condition}","monitoringService":"Platform","alertTargetIDs":["{arm}/resourcegroups/rg-shop/providers/microsoft.compute/virtualmachines/vm-web-03"],"configurationItems":["vm-web-03"],"originAlertId":"{SUBSCRIPTION}_rg-shop_microsoft.insights_metricAlerts_vm-web-cpu-high_-1840227615","firedDateTime":"2026-11-24T03:00:12.4713213Z",{resolved}"description":"Web tier is short of processor; orders slow down.","essentialsVersion":"1.0","alertContextVersion":"1.0","alertRuleId":"{arm}/resourceGroups/rg-shop/providers/microsoft.insights/metricAlerts/vm-web-cpu-high"}},"alertContext":{{"properties":{{{properties}}},"conditionType":"SingleResourceMultipleMetricCriteria","condition":{{"windowSize":"PT5M","allOf":[{criteria}],"windowStartTime":"2026-11-24T02:53:04.331Z","windowEndTime":"2026-11-24T02:58:04.331Z"}}}},"customProperties":{{{properties},"note":"{pad}"}}}}}}"#
        )
    };
    let mut pad = "Call the platform team before restarting anything; the queue drains by itself. ".repeat(50);
    pad.truncate(BODY_BYTES - body("").len());
    body(&pad)
}
