//! The metrics of one run as a table for people.

use std::io::{self, Write};

use crate::results::{MetricRecord, Results};
use crate::table::{Table, left, right};

/// Writes a heading, the table, and what does not show in it.
pub fn write(out: &mut dyn Write, results: &Results) -> io::Result<()> {
    let model = results
        .model
        .as_ref()
        .map(|model| format!("{model}, "))
        .unwrap_or_default();
    let partial = if results.partial { ", partial" } else { "" };
    writeln!(
        out,
        "{model}{} {}, protocol {}: {} of {} samples answered{partial}",
        results.task, results.split, results.protocol, results.answered, results.n
    )?;
    table(results).write_text(out)?;
    let counts = [
        (results.failed, "failed: asked, no answer, in no metric"),
        (results.unanswered() - results.failed, "not answered: in no metric"),
        (results.empty, "empty answers: have the value the protocol gives them"),
        (
            results.unparsed,
            "answers the protocol cannot read: have the value it gives them",
        ),
    ];
    for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
        writeln!(out, "{count} {what}")?;
    }
    Ok(())
}

/// One row a metric.
pub fn table(results: &Results) -> Table {
    let mut table = Table::new(&[
        left("metric"),
        right("value"),
        right("std. error"),
        right("95 % interval"),
        right("n"),
        left("remark"),
    ]);
    for (id, record) in &results.metrics.0 {
        table.row([
            id.clone(),
            value(record),
            record.stderr.map(|error| format!("{error:.2}")).unwrap_or_default(),
            record
                .ci95
                .map(|(low, high)| format!("{low:.2} to {high:.2}"))
                .unwrap_or_default(),
            record.n.to_string(),
            record.reason.clone().unwrap_or_default(),
        ]);
    }
    table
}

/// Two decimals, or a dash where the value is undefined.
pub fn value(record: &MetricRecord) -> String {
    record
        .value
        .map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"))
}
