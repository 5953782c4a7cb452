//! The metrics of one run as a table for people.

use std::io::{self, Write};

use benchmarks::Protocol;

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
    if let Some(judge) = &results.judge {
        writeln!(out, "judged by {}", judge.name)?;
        if let Some(remark) = &judge.remark {
            writeln!(out, "{remark}")?;
        }
    }
    table(results).write_text(out)?;
    counts(results).iter().try_for_each(|line| writeln!(out, "{line}"))
}

/// The headline in words.
pub fn headline(results: &Results) -> String {
    let Some((id, record)) = results.metrics.0.first() else {
        return "no metric".to_owned();
    };
    let interval = record
        .ci95
        .map(|(low, high)| format!(", 95 % interval {low:.2} to {high:.2}"));
    format!("{id} {}{}", value(record), interval.unwrap_or_default())
}

/// What the metrics do not show: samples without an answer, answers that could not be read or graded.
pub fn counts(results: &Results) -> Vec<String> {
    let by_protocol = [
        (
            results.unparsed,
            "answers the protocol cannot read: have the value it gives them",
        ),
        (
            results.ungraded,
            "answers ungraded: a value over them lies between all of them 0 and all 1",
        ),
    ];
    [of_answers(results), said(&by_protocol)].concat()
}

/// Those that are the same under every protocol.
fn of_answers(results: &Results) -> Vec<String> {
    said(&[
        (results.failed, "failed: asked, no answer, in no metric"),
        (results.unanswered() - results.failed, "not answered: in no metric"),
        (
            results.truncated,
            "prompts cut to the model's longest sequence, as the references do: scored as they are",
        ),
        (results.empty, "empty answers: have the value the protocol gives them"),
    ])
}

fn said(counts: &[(usize, &str)]) -> Vec<String> {
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    counts.map(|(count, what)| format!("{count} {what}")).collect()
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

/// Writes the same answers under every rule, and why a rule has no column.
pub fn write_all(out: &mut dyn Write, columns: &[(Protocol, Result<Results, String>)]) -> io::Result<()> {
    if let Some(results) = columns.iter().find_map(|(_, column)| column.as_ref().ok()) {
        let (task, split, answered, n) = (results.task, &results.split, results.answered, results.n);
        writeln!(
            out,
            "{task} {split}, {answered} of {n} samples answered, scored by every protocol"
        )?;
        if let Some(judge) = &results.judge {
            writeln!(out, "judged by {}", judge.name)?;
        }
    }
    side_by_side(columns).write_text(out)?;
    if let Some(results) = columns.iter().find_map(|(_, column)| column.as_ref().ok()) {
        for line in of_answers(results) {
            writeln!(out, "{line}")?;
        }
    }
    for (protocol, column) in columns {
        match column {
            Ok(results) => {
                if results.unparsed > 0 {
                    writeln!(
                        out,
                        "{protocol}: cannot read {} answers; each has the value it gives them",
                        results.unparsed
                    )?;
                }
                if results.ungraded > 0 {
                    writeln!(out, "{protocol}: {} answers ungraded", results.ungraded)?;
                }
            }
            Err(reason) => writeln!(out, "{protocol}: {reason}")?,
        }
    }
    Ok(())
}

/// One row a metric, one column a protocol.
pub fn side_by_side(columns: &[(Protocol, Result<Results, String>)]) -> Table {
    let mut headings = vec![left("metric")];
    headings.extend(columns.iter().map(|(protocol, _)| right(protocol.id())));
    let mut table = Table::new(&headings);
    let found: Vec<Option<&Results>> = columns.iter().map(|(_, column)| column.as_ref().ok()).collect();
    let mut ids: Vec<&str> = Vec::new();
    for id in found
        .iter()
        .flatten()
        .flat_map(|results| results.metrics.0.iter())
        .map(|(id, _)| id.as_str())
    {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    for id in ids {
        let cell = |results: &Option<&Results>| {
            let record = results.and_then(|results| results.metrics.0.iter().find(|(name, _)| name == id));
            record.map(|(_, record)| value(record)).unwrap_or_default()
        };
        table.row([id.to_owned()].into_iter().chain(found.iter().map(cell)));
    }
    table
}

/// Two decimals; what the value lies between where it is not known, or a dash.
pub fn value(record: &MetricRecord) -> String {
    match (record.value, record.bounds) {
        (Some(value), _) => format!("{value:.2}"),
        (None, Some((low, high))) => format!("{low:.2} to {high:.2}"),
        (None, None) => "–".to_owned(),
    }
}
