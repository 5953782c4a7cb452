//! What a scorer returns: a score for each sample, and named metrics that carry what their uncertainty needs.

use std::fmt;

/// The id of a metric within its task, as `cli.md` spells it: `f1`, `random/precision`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetricId(String);

impl MetricId {
    /// Takes an id as it stands.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MetricId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What one sample adds to the two sums of a [`Ratio`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Term {
    /// The sample's position in the dataset.
    pub sample: usize,
    /// Added to the numerator.
    pub numerator: f64,
    /// Added to the denominator.
    pub denominator: f64,
}

/// `weight · Σ numerator / Σ denominator`. Accuracy, precision, F1 (2TP over 2TP + FP + FN), accuracy-plus and
/// circular accuracy all have this form, which gives every one of them a delta-method variance.
#[derive(Debug, Clone, PartialEq)]
pub struct Ratio {
    /// Scale and share of this ratio in the metric: 100 for a percentage, 100/3 for one of three.
    pub weight: f64,
    /// One entry for each sample that takes part.
    pub terms: Vec<Term>,
}

impl Ratio {
    /// The value of the ratio, `None` where the denominator is 0.
    pub fn value(&self) -> Option<f64> {
        let numerator: f64 = self.terms.iter().map(|term| term.numerator).sum();
        let denominator: f64 = self.terms.iter().map(|term| term.denominator).sum();
        (denominator != 0.0).then(|| self.weight * numerator / denominator)
    }
}

/// One named number, in the unit that papers print: per cent, or points for MME and MM-Vet.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Its name.
    pub id: MetricId,
    /// The number as the protocol computes it, or why it is undefined.
    pub value: Result<f64, String>,
    /// What the number lies between where it depends on answers that nobody has graded; else `None`.
    pub bounds: Option<(f64, f64)>,
    /// How many samples it is taken over.
    pub n: usize,
    /// The same number as a sum of ratios over samples, for its standard error.
    pub ratios: Vec<Ratio>,
}

/// How one answer was read and what it earned.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleScore {
    /// What the parser made of the answer; `None` where the protocol could make nothing of it.
    pub parsed: Option<String>,
    /// What it earned, from 0 to 1; `None` for an unanswered or ungraded sample.
    pub score: Option<f64>,
}

/// The result of scoring a dataset.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// One entry a sample, in dataset order.
    pub samples: Vec<SampleScore>,
    /// The headline first, the rest in the order in which they are shown.
    pub metrics: Vec<Metric>,
    /// How many samples have an answer.
    pub answered: usize,
    /// How many answers the protocol could not read; each also has its protocol's value.
    pub unparsed: usize,
    /// How many answers are the empty text.
    pub empty: usize,
}

impl Score {
    /// How many samples have no answer; none of them enters a metric.
    pub fn unanswered(&self) -> usize {
        self.samples.len() - self.answered
    }

    /// How many answers nobody has graded: they have no score, and metrics over them have bounds and no value.
    pub fn ungraded(&self) -> usize {
        let unscored = self.samples.iter().filter(|sample| sample.score.is_none()).count();
        unscored.saturating_sub(self.unanswered())
    }

    /// The metric of that name.
    pub fn metric(&self, id: &str) -> Option<&Metric> {
        self.metrics.iter().find(|metric| metric.id.as_str() == id)
    }
}
