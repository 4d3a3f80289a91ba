//! Azure Resource Manager's buckets: one for reads and one for changes of each principal in each subscription.
//! <https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling>

use std::collections::BTreeMap;

use axum::http::Method;

use crate::domain::timestamp::Timestamp;

/// What a bucket holds, and what flows into it in a second.
type Size = (u32, u32);

const READS: Size = (250, 25);
const CHANGES: Size = (200, 10);

fn size(method: &Method) -> Size {
    if *method == Method::GET { READS } else { CHANGES }
}

/// What is left of a full bucket after one request.
pub(super) fn full(method: &Method) -> u32 {
    size(method).0.saturating_sub(1)
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// In thousandths of a request.
    level: u64,
    at: Timestamp,
}

#[derive(Debug, Default)]
pub(super) struct Buckets {
    of: BTreeMap<(String, bool), Bucket>,
}

impl Buckets {
    /// Takes one request out of the bucket and says how many are left; `None`: it is empty.
    pub(super) fn take(&mut self, account: &str, method: &Method, now: Timestamp) -> Option<u32> {
        let (capacity, a_second) = size(method);
        let most = u64::from(capacity).saturating_mul(1_000);
        let bucket =
            self.of.entry((account.to_owned(), *method == Method::GET)).or_insert(Bucket { level: most, at: now });
        let millis = u64::try_from(now.since(bucket.at).as_millis()).unwrap_or(u64::MAX);
        bucket.level = bucket.level.saturating_add(millis.saturating_mul(u64::from(a_second))).min(most);
        bucket.at = now;
        bucket.level = bucket.level.checked_sub(1_000)?;
        Some(u32::try_from(bucket.level / 1_000).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_so_many_and_fills_again() {
        let mut buckets = Buckets::default();
        let at = Timestamp::from_millis;
        let mut read = |millis| buckets.take("a", &Method::GET, at(millis));
        assert_eq!((0..250).filter_map(|_| read(0)).min(), Some(0));
        assert_eq!(read(39), None);
        assert_eq!(read(40), Some(0), "25 a second");
        assert_eq!(read(40), None);
        assert_eq!(buckets.take("b", &Method::GET, at(40)), Some(249), "each has its own");
        assert_eq!(buckets.take("a", &Method::POST, at(40)), Some(199), "changes have theirs");
    }
}
