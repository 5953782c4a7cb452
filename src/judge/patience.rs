//! Trying a call again: how often, and how long to wait before it.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use rand::Rng as _;

/// The longest wait of our own choosing.
const LONGEST: Duration = Duration::from_secs(60);

/// The longest wait that a server is granted.
const LONGEST_ASKED: Duration = Duration::from_secs(600);

/// How a call that failed is tried again.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// How often at most.
    pub retries: u32,
    /// The first wait; each next one is twice as long.
    pub first: Duration,
}

impl Patience {
    /// How long to wait after failure `attempt` (from 0). Between half and all of the doubled wait, so that calls
    /// that failed together do not come back together; never shorter than the server asked for.
    pub fn pause(&self, attempt: u32, asked: Option<Duration>) -> Duration {
        let whole = self.first.saturating_mul(2_u32.saturating_pow(attempt)).min(LONGEST);
        let own = whole.mul_f64(rand::rng().random_range(0.5..=1.0));
        match asked {
            Some(asked) => asked.min(LONGEST_ASKED).max(own),
            None => own,
        }
    }
}

/// `Retry-After`: seconds, or a date (RFC 9110, 10.2.3); `None` where it is neither.
pub fn retry_after(header: &str, now: Timestamp) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let at = DateTimeParser::new().parse_timestamp(header).ok()?;
    let wait = at.duration_since(now);
    // A date that has passed asks for no wait.
    Some(Duration::try_from(wait).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "2026-11-24T18:00:00Z".parse().unwrap();
        let cases = [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("Tue, 24 Nov 2026 18:01:30 GMT", Some(90)),
            ("Tue, 24 Nov 2026 17:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
            ("", None),
        ];
        for (header, seconds) in cases {
            assert_eq!(retry_after(header, now), seconds.map(Duration::from_secs), "{header}");
        }
    }

    proptest! {
        #[test]
        fn waits_double_up_to_a_minute_and_never_undercut_the_server(attempt in 0_u32..40, asked in proptest::option::of(0_u64..2000)) {
            let patience = Patience { retries: 40, first: Duration::from_secs(1) };
            let asked = asked.map(Duration::from_secs);
            let pause = patience.pause(attempt, asked);
            let whole = Duration::from_secs(1 << attempt.min(6)).min(LONGEST);
            prop_assert!(pause >= whole / 2);
            prop_assert!(pause >= asked.unwrap_or_default().min(LONGEST_ASKED));
            prop_assert!(pause <= whole.max(asked.unwrap_or_default()));
        }
    }
}
