//! A comparison as the page shows it.

use serde::Serialize;

use crate::comparison::{Comparison, MetricComparison, Verdict};
use crate::digits::{number, probability, signed, signed_interval};
use crate::report::chart::{Forest, Kind, Value};
use crate::report::comparisons::Compared;
use crate::report::runs::Run;
use crate::report::shown;

/// Another run against the first.
#[derive(Serialize)]
pub struct ComparisonView {
    /// Positions among the samples' benchmarks and their runs, for the buttons.
    benchmark: usize,
    candidate: usize,
    base_name: String,
    name: String,
    /// Why there is nothing to see.
    reason: Option<String>,
    verdict: String,
    kind: Kind,
    headline: Option<DifferenceRow>,
    wrong: usize,
    right: usize,
    compared: usize,
    remarks: Vec<String>,
    others: Vec<DifferenceRow>,
    chart: Option<Forest>,
}

#[derive(Serialize)]
struct DifferenceRow {
    id: String,
    base: String,
    candidate: String,
    difference: String,
    interval: String,
    p: String,
    detectable: String,
    verdict: String,
    kind: Kind,
}

impl ComparisonView {
    /// Of run `compared.candidate` of benchmark number `benchmark`.
    pub fn new(benchmark: usize, runs: &[Run], compared: &Compared) -> Self {
        let name = |position: usize| runs.get(position).map(|run| shown(&run.name)).unwrap_or_default();
        let mut view = Self {
            benchmark,
            candidate: compared.candidate,
            base_name: name(0),
            name: name(compared.candidate),
            reason: None,
            verdict: String::new(),
            kind: Kind::Open,
            headline: None,
            wrong: 0,
            right: 0,
            compared: 0,
            remarks: Vec::new(),
            others: Vec::new(),
            chart: None,
        };
        match &compared.outcome {
            Err(reason) => view.reason = Some(shown(reason)),
            Ok(found) => view.take(found),
        }
        view
    }

    fn take(&mut self, found: &Comparison) {
        self.verdict = shown(&found.headline.verdict.words());
        self.kind = kind(&found.headline);
        self.headline = Some(difference_row(&found.headline));
        self.wrong = found.became_wrong.len();
        self.right = found.became_right.len();
        self.compared = found.n;
        self.remarks = found.remarks.iter().map(|remark| shown(remark)).collect();
        if found.left_out > 0 {
            let left_out = format!(
                "{} samples that only one run has a score for are left out",
                found.left_out
            );
            self.remarks.push(left_out);
        }
        self.others = found.others.iter().map(difference_row).collect();
        let metrics = std::iter::once(&found.headline).chain(&found.others);
        let values: Vec<Value> = metrics
            .filter_map(|metric| {
                Some(Value {
                    label: shown(&metric.id),
                    name: shown(&metric.id),
                    value: metric.difference?,
                    interval: metric.ci95,
                    kind: kind(metric),
                })
            })
            .collect();
        let title = format!("differences from {} with 95 % intervals", self.base_name);
        self.chart = Forest::of_differences(title, &values);
    }
}

fn kind(metric: &MetricComparison) -> Kind {
    match metric.verdict {
        Verdict::Regression => Kind::Worse,
        Verdict::Improvement => Kind::Better,
        Verdict::WithinMargin
        | Verdict::Equivalent
        | Verdict::Differs
        | Verdict::NoDifference
        | Verdict::Undefined(_) => Kind::Open,
    }
}

fn difference_row(metric: &MetricComparison) -> DifferenceRow {
    DifferenceRow {
        id: shown(&metric.id),
        base: number(metric.base),
        candidate: number(metric.candidate),
        difference: signed(metric.difference),
        interval: signed_interval(metric.ci95),
        p: metric.p.map(probability).unwrap_or_default(),
        detectable: metric.detectable.map(|value| format!("{value:.2}")).unwrap_or_default(),
        verdict: shown(&metric.verdict.words()),
        kind: kind(metric),
    }
}
