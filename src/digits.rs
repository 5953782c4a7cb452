//! Numbers as tables and pages print them.

/// Two decimals, a dash where there is none.
pub fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"))
}

/// The same with its sign.
pub fn signed(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:+.2}"))
}

/// The ends of an interval.
pub fn interval(ends: Option<(f64, f64)>) -> String {
    ends.map(|(low, high)| format!("{low:.2} to {high:.2}"))
        .unwrap_or_default()
}

/// The ends of an interval of a difference.
pub fn signed_interval(ends: Option<(f64, f64)>) -> String {
    ends.map(|(low, high)| format!("{low:+.2} to {high:+.2}"))
        .unwrap_or_default()
}

/// A p-value.
pub fn probability(p: f64) -> String {
    if p < 0.0005 {
        "< 0.001".to_owned()
    } else {
        format!("{p:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        assert_eq!([number(Some(85.946)), number(None)], ["85.95", "–"]);
        assert_eq!([signed(Some(0.5)), signed(Some(-0.5))], ["+0.50", "-0.50"]);
        assert_eq!(interval(Some((1.0, 2.0))), "1.00 to 2.00");
        assert_eq!(signed_interval(Some((-1.0, 2.0))), "-1.00 to +2.00");
        assert_eq!(
            [probability(0.000_4), probability(0.000_5), probability(0.05)],
            ["< 0.001", "0.001", "0.050"]
        );
    }
}
