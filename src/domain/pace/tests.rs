//! No window of any kind ever holds more than its limit, whatever happens between a call's begin and its end.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_790_000_000_000 + millis)
}

fn told(left: u32, reset: Timestamp) -> Told {
    Told { left, limit: 150, reset }
}

const EVENT: Cost = Cost { reads: 0, writes: 1 };

/// Takes as many as it gives now.
fn take_all(pace: &mut Pace, cost: Cost, now: Timestamp) -> u32 {
    let mut taken = 0;
    while pace.take(cost, now).is_ok() {
        taken += 1;
    }
    taken
}

#[test]
fn a_burst_is_the_documented_limit_and_comes_back_a_window_after_its_end() {
    let mut pace = Pace::signl4(Events::default());
    assert_eq!(take_all(&mut pace, EVENT, at(0)), 150);
    assert!(pace.take(EVENT, at(60_000)).is_err(), "all are still under way");
    for _ in 0..150 {
        pace.ended(EVENT, at(400));
    }
    assert_eq!(pace.take(EVENT, at(500)), Err(at(15_400)));
    assert_eq!(take_all(&mut pace, EVENT, at(15_399)), 0);
    assert_eq!(take_all(&mut pace, EVENT, at(15_400)), 150);
}

#[test]
fn what_is_not_begun_after_all_is_free_again() {
    for (mut pace, cost, most) in
        [(Pace::signl4(Events::default()), EVENT, 150), (Pace::azure(), Cost { reads: 1, writes: 1 }, 150)]
    {
        assert_eq!(take_all(&mut pace, cost, at(0)), most);
        pace.not_begun(cost, at(0));
        assert_eq!(take_all(&mut pace, cost, at(0)), 1);
    }
    let mut pace = Pace::signl4(Events::default());
    pace.told_of_events(told(2, at(10_000)), at(0));
    assert_eq!(take_all(&mut pace, EVENT, at(0)), 2);
    pace.not_begun(EVENT, at(0));
    assert_eq!(take_all(&mut pace, EVENT, at(0)), 1, "SIGNL4 has not heard of it");
}

#[test]
fn the_minute_has_its_own_limit() {
    let mut pace = Pace::signl4(Events { per_15s: 150, per_minute: 300 });
    for round in [0, 15_000] {
        assert_eq!(take_all(&mut pace, EVENT, at(round)), 150);
        for _ in 0..150 {
            pace.ended(EVENT, at(round));
        }
    }
    assert_eq!(pace.take(EVENT, at(30_000)), Err(at(60_000)));
    assert_eq!(take_all(&mut pace, EVENT, at(60_000)), 150);
}

#[test]
fn azure_fills_up_and_counts_a_change_as_a_read_and_a_write() {
    let mut pace = Pace::azure();
    let change = Cost { reads: 1, writes: 1 };
    assert_eq!(take_all(&mut pace, change, at(0)), 150);
    for _ in 0..150 {
        pace.ended(change, at(0));
    }
    assert_eq!(pace.take(change, at(0)), Err(at(100)), "ten a second");
    assert_eq!(take_all(&mut pace, change, at(1_000)), 10);
    assert!(pace.room(Cost::READ, at(1_000)).is_ok(), "reads have more");
    assert_eq!(take_all(&mut pace, Cost::READ, at(40_000)), 150);
    for _ in 0..160 {
        pace.ended(change, at(40_000));
    }
    assert_eq!(take_all(&mut pace, change, at(59_000)), 150);
    assert!(take_all(&mut pace, Cost::READ, at(59_999)) < 150, "900 calls a minute, of whatever kind");
}

#[test]
fn what_signl4_says_is_followed_where_it_is_less_and_sane() {
    for (left, reset, expected) in [
        (10, 9_000, 10),
        (0, 9_000, 0),
        (140, 9_000, 140),
        // More than we know of, and times that have passed, are no news.
        (150, 9_000, 150),
        (u32::MAX, 9_000, 150),
        (0, 0, 150),
        (0, -100_000, 150),
        // A reset in the far future is not believed beyond a minute.
        (0, i64::MAX / 2, 0),
    ] {
        let mut pace = Pace::signl4(Events::default());
        pace.told_of_events(told(left, at(reset.min(1_i64 << 50))), at(0));
        assert_eq!(take_all(&mut pace, EVENT, at(1)), expected, "{left} until {reset}");
        for _ in 0..expected {
            pace.ended(EVENT, at(1));
        }
        assert!(pace.take(EVENT, at(60_001)).is_ok(), "{left} until {reset}: a minute later it is tried again");
    }
}

#[test]
fn a_later_window_of_signl4_counts_and_an_earlier_one_does_not() {
    let mut pace = Pace::signl4(Events::default());
    pace.told_of_events(told(5, at(9_000)), at(0));
    pace.told_of_events(told(90, at(9_000)), at(0));
    pace.told_of_events(told(50, at(4_000)), at(0));
    assert_eq!(pace.room(EVENT, at(1)), Ok(5), "the lower number of the latest window");
    pace.told_of_events(told(100, at(20_000)), at(10));
    assert_eq!(pace.room(EVENT, at(11)), Ok(100));
    // What else is under way may not be in its count yet.
    for _ in 0..30 {
        pace.take(EVENT, at(12)).unwrap();
    }
    pace.told_of_events(told(60, at(20_000)), at(13));
    assert_eq!(pace.room(EVENT, at(13)), Ok(31));
}

#[test]
fn of_a_tighter_limit_each_window_begins_with_no_more_than_that() {
    let mut pace = Pace::signl4(Events::default());
    let free = |left, reset| Told { left, limit: 10, reset: at(reset) };
    pace.told_of_events(free(4, 9_000), at(0));
    assert_eq!(take_all(&mut pace, EVENT, at(1)), 4);
    for _ in 0..4 {
        pace.ended(EVENT, at(2));
    }
    assert_eq!(pace.room(EVENT, at(9_000)), Ok(10), "it may be a new window");
    pace.take(EVENT, at(9_000)).unwrap();
    pace.told_of_events(free(2, 24_000), at(9_001));
    assert_eq!(pace.room(EVENT, at(9_001)), Ok(2), "and here is what it is");
    pace.ended(EVENT, at(9_001));
    pace.take(EVENT, at(90_000)).unwrap();
    pace.told_of_events(told(150, at(99_000)), at(90_001));
    assert_eq!(pace.room(EVENT, at(90_001)), Ok(149), "until it is no tighter any more");
}

#[test]
fn azures_headers_only_slow_us() {
    let mut pace = Pace::azure();
    pace.told_of_buckets(Some(11_999), Some(3), at(0));
    assert_eq!(take_all(&mut pace, Cost { reads: 1, writes: 1 }, at(0)), 3);
    pace.told_of_buckets(None, Some(199), at(0));
    assert!(pace.take(Cost { reads: 1, writes: 1 }, at(0)).is_err(), "not refilled by a word");
    assert!(pace.take(Cost { reads: 1, writes: 1 }, at(100)).is_ok());
}

#[test]
fn a_reload_forgives_nothing() {
    let mut pace = Pace::signl4(Events::default());
    assert_eq!(take_all(&mut pace, EVENT, at(0)), 150);
    let mut tighter = Pace::signl4(Events { per_15s: 100, per_minute: 600 }).after(&pace);
    assert!(tighter.take(EVENT, at(1)).is_err());
    for _ in 0..150 {
        tighter.ended(EVENT, at(1_000));
    }
    assert_eq!(take_all(&mut tighter, EVENT, at(16_000)), 100);
    let mut azure = Pace::azure();
    assert_eq!(take_all(&mut azure, Cost::READ, at(0)), 150);
    assert!(Pace::azure().after(&azure).take(Cost::READ, at(1)).is_err());
    assert!(Pace::off().after(&azure).take(Cost::READ, at(1)).is_ok());
}

#[test]
fn a_clock_that_is_put_back_holds_nothing_up() {
    let mut pace = Pace::signl4(Events::default());
    assert_eq!(take_all(&mut pace, EVENT, at(3_600_000)), 150);
    for _ in 0..150 {
        pace.ended(EVENT, at(3_600_000));
    }
    assert_eq!(pace.take(EVENT, at(0)), Err(at(15_000)));
    assert_eq!(take_all(&mut pace, EVENT, at(15_000)), 150);
    let mut pace = Pace::azure();
    assert_eq!(take_all(&mut pace, Cost::READ, at(3_600_000)), 150);
    assert!(pace.take(Cost::READ, at(0)).is_err());
    assert!(pace.take(Cost::READ, at(40)).is_ok());
}

#[test]
fn in_a_storm_of_pages_a_tenth_is_left_for_the_rest() {
    let mut turns = Turns::default();
    let mut first = [0, 0, 0];
    for _ in 0..1_000 {
        match turns.order()[0] {
            Class::Page => first[0] += 1,
            Class::State => first[1] += 1,
            Class::Words => first[2] += 1,
        }
        turns.used();
    }
    assert_eq!(first, [900, 90, 10]);
}

/// A limit of our own to check against: no `span` may hold more than `limit` of `arrivals`.
fn never_more_than(limit: usize, span: Duration, arrivals: &mut [i64]) -> Result<(), TestCaseError> {
    arrivals.sort_unstable();
    for (index, first) in arrivals.iter().enumerate() {
        let end = first + i64::try_from(span.as_millis()).unwrap();
        let within = arrivals[index..].iter().take_while(|arrival| **arrival < end).count();
        prop_assert!(within <= limit, "{within} within {span:?} from {first}");
    }
    Ok(())
}

proptest! {
    /// Attempts take up to 20 s, and arrive at the other side at any moment of that.
    #[test]
    fn no_window_ever_holds_more_than_its_limit(
        steps in proptest::collection::vec((0_i64..4_000, 0_i64..20_000, 0_i64..=100), 1..400),
        per_15s in 1_u32..20,
        per_minute in 1_u32..60,
    ) {
        let mut pace = Pace::signl4(Events { per_15s, per_minute });
        let (mut now, mut arrivals, mut under_way) = (0, Vec::new(), Vec::<i64>::new());
        for (pause, lasts, arrives) in steps {
            now += pause / 8;
            under_way.sort_unstable();
            while under_way.first().is_some_and(|end| *end <= now) {
                pace.ended(EVENT, at(under_way.remove(0)));
            }
            match pace.take(EVENT, at(now)) {
                Ok(()) => {
                    arrivals.push(now + lasts * arrives / 100);
                    under_way.push(now + lasts);
                }
                Err(until) => prop_assert!(until > at(now)),
            }
        }
        never_more_than(usize::try_from(per_15s).unwrap(), Duration::from_secs(15), &mut arrivals)?;
        never_more_than(usize::try_from(per_minute).unwrap(), Duration::from_mins(1), &mut arrivals)?;
    }

    /// When it is said that there will be room, there is, if all that was under way has ended by then.
    #[test]
    fn a_time_that_is_named_is_kept(
        gaps in proptest::collection::vec(0_i64..3_000, 1..200), limit in 1_u32..10, cost in 1_u32..3,
    ) {
        let mut pace = Pace::signl4(Events { per_15s: limit.max(cost), per_minute: 600 });
        let cost = Cost { reads: 0, writes: cost };
        let mut now = 0;
        for gap in gaps {
            now += gap;
            match pace.take(cost, at(now)) {
                Ok(()) => pace.ended(cost, at(now)),
                Err(until) => {
                    now = until.as_millis() - at(0).as_millis();
                    prop_assert!(pace.take(cost, at(now)).is_ok());
                    pace.ended(cost, at(now));
                }
            }
        }
    }

    /// Neither wild headers nor wild times stop or panic anything for longer than a minute.
    #[test]
    fn no_word_from_outside_stops_us_for_long(
        left in any::<u32>(), limit in any::<u32>(), reset in any::<i64>(), reads in any::<Option<u32>>(),
    ) {
        let mut pace = Pace::signl4(Events::default());
        pace.told_of_events(Told { left, limit, reset: Timestamp::from_millis(reset) }, at(0));
        prop_assert!(pace.take(EVENT, at(60_000)).is_ok());
        let mut pace = Pace::azure();
        pace.told_of_buckets(reads, reads, at(0));
        let change = Cost { reads: 1, writes: 1 };
        prop_assert!(pace.take(change, at(100)).is_ok());
    }
}
