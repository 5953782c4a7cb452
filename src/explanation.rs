//! Where the gap between a published number and ours may come from: the same answers under every other rule.
//!
//! One factor is changed at a time, on these answers, so that a change is exact and has no interval. Changes of different factors do not add up, so none is subtracted from another: each
//! is shown with the gap that it would leave.

use std::collections::HashSet;

use benchmarks::{Dataset, Metric, PromptStyle, Protocol, Score, Task};
use serde::Serialize;

use crate::statistics::{clusters, uncertainty};

/// Other definitions of a headline that publications use for one, as metric ids.
const DEFINITIONS: &[(Task, &[&str])] = &[
    (
        Task::Pope,
        &[
            "accuracy",
            "pooled/f1",
            "pooled/accuracy",
            "random/f1",
            "popular/f1",
            "adversarial/f1",
        ],
    ),
    (Task::Mme, &["total"]),
    (Task::Mmbench, &["accuracy/vanilla-base", "accuracy/vanilla-all"]),
    (Task::Vqav2, &["accuracy/yes-no", "accuracy/number", "accuracy/other"]),
    (Task::Vizwiz, &["unanswerable/ap", "unanswerable/f1"]),
    (Task::Gqa, &["accuracy/binary", "accuracy/open"]),
];

/// What is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Factor {
    /// Whose rule scores.
    Protocol,
    /// Which metric is called the score.
    Metric,
    /// Whether repeated questions count once.
    Repetitions,
    /// Whether samples without an answer count as answered with nothing.
    Unanswered,
}

impl Factor {
    /// For tables.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Protocol => "protocol",
            Self::Metric => "metric",
            Self::Repetitions => "repetitions",
            Self::Unanswered => "unanswered",
        }
    }
}

/// The number under one other rule.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alternative {
    /// What is changed.
    pub factor: Factor,
    /// To what.
    pub alternative: String,
    /// The number then; `null` where it cannot be had.
    pub value: Option<f64>,
    /// Its difference from ours.
    pub change: Option<f64>,
    /// Published minus this.
    pub gap_left: Option<f64>,
    /// Why there is no number.
    pub reason: Option<String>,
}

/// A scored run and what is published.
pub struct Explanation<'a> {
    /// The data.
    pub dataset: &'a dyn Dataset,
    /// The benchmark.
    pub task: Task,
    /// The answers, in the order of the data.
    pub answers: &'a [Option<String>],
    /// How the questions were worded.
    pub style: PromptStyle,
    /// Our metric that the published number is about.
    pub metric: &'a str,
    /// The number.
    pub published: f64,
}

/// Our own number.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ours {
    /// In the metric's unit.
    pub value: f64,
    /// 95 % interval over other samples of this kind.
    pub ci95: Option<(f64, f64)>,
}

impl Explanation<'_> {
    /// Ours under the papers' rule, or why there is none.
    pub fn ours(&self) -> Result<(Ours, Score), String> {
        let score = self.score(self.answers, Protocol::Paper)?;
        let metric = score
            .metric(self.metric)
            .ok_or_else(|| format!("no metric `{}`", self.metric))?;
        let ours = Ours {
            value: metric.value.clone()?,
            ci95: uncertainty(metric, &clusters(self.dataset.samples())).map(|found| found.interval),
        };
        Ok((ours, score))
    }

    /// The same answers under every other rule that this benchmark has.
    pub fn alternatives(&self, ours: &Score) -> Vec<Alternative> {
        let mut found = Vec::new();
        let Some(own) = ours.metric(self.metric) else {
            return found;
        };
        for &protocol in Protocol::ALL.iter().filter(|&&protocol| protocol != Protocol::Paper) {
            let score = self.score(self.answers, protocol);
            found.push(self.scored(Factor::Protocol, protocol.to_string(), own, score));
        }
        let definitions = DEFINITIONS.iter().find(|(task, _)| *task == self.task);
        for id in definitions
            .map_or(&[][..], |(_, ids)| ids)
            .iter()
            .filter(|id| **id != self.metric)
        {
            let metric = ours.metric(id).ok_or_else(|| format!("no metric `{id}`"));
            found.push(self.alternative(Factor::Metric, (*id).to_owned(), own, metric));
        }
        let (once, repeated) = self.without_repetitions();
        if repeated > 0 {
            let name = format!("{repeated} repeated questions counted once");
            found.push(self.scored(Factor::Repetitions, name, own, self.score(&once, Protocol::Paper)));
        }
        let unanswered = self.answers.iter().filter(|answer| answer.is_none()).count();
        if unanswered > 0 {
            let filled: Vec<Option<String>> = self
                .answers
                .iter()
                .map(|answer| Some(answer.clone().unwrap_or_default()))
                .collect();
            let name = format!("{unanswered} missing answers read as empty ones");
            found.push(self.scored(Factor::Unanswered, name, own, self.score(&filled, Protocol::Paper)));
        }
        found
    }

    fn score(&self, answers: &[Option<String>], protocol: Protocol) -> Result<Score, String> {
        self.dataset.score(answers, protocol).map_err(|error| error.to_string())
    }

    fn scored(&self, factor: Factor, name: String, own: &Metric, score: Result<Score, String>) -> Alternative {
        match &score {
            Ok(score) => {
                let metric = score
                    .metric(self.metric)
                    .ok_or_else(|| format!("no metric `{}`", self.metric));
                self.alternative(factor, name, own, metric)
            }
            Err(reason) => self.alternative(factor, name, own, Err(reason.clone())),
        }
    }

    fn alternative(
        &self,
        factor: Factor,
        alternative: String,
        own: &Metric,
        metric: Result<&Metric, String>,
    ) -> Alternative {
        let value = metric.and_then(|metric| metric.value.clone());
        let change = match (&value, &own.value) {
            (Ok(value), Ok(own)) => Some(value - own),
            _ => None,
        };
        Alternative {
            factor,
            alternative,
            change,
            gap_left: value.as_ref().ok().map(|value| self.published - value),
            reason: value.as_ref().err().cloned(),
            value: value.ok(),
        }
    }

    /// The answers without those to a question that was asked about the same picture before, and how many these are.
    fn without_repetitions(&self) -> (Vec<Option<String>>, usize) {
        let mut seen = HashSet::new();
        let mut repeated = 0;
        let samples = self.dataset.samples().iter().enumerate().zip(self.answers);
        let once = samples.map(|((index, sample), answer)| {
            if seen.insert((sample.picture_group(), self.dataset.prompt(index, self.style))) {
                return answer.clone();
            }
            repeated += usize::from(answer.is_some());
            None
        });
        let once = once.collect();
        (once, repeated)
    }
}

/// Values on one line: `|` published, `o` ours, `=` the way from ours to where an alternative lies, `x`.
pub struct Scale {
    lowest: f64,
    highest: f64,
}

impl Scale {
    const WIDTH: usize = 40;

    /// A scale that holds all `values`.
    pub fn of(values: impl Iterator<Item = f64>) -> Self {
        let (lowest, highest) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        Self { lowest, highest }
    }

    fn place(&self, value: f64) -> usize {
        let range = self.highest - self.lowest;
        if range > 0.0 {
            ((value - self.lowest) / range * (Self::WIDTH - 1) as f64).round() as usize
        } else {
            0
        }
    }

    /// One line; later marks cover earlier ones.
    pub fn draw(&self, published: f64, ours: f64, alternative: Option<f64>) -> String {
        let mut line = vec![' '; Self::WIDTH];
        let mut mark = |place: usize, letter: char| {
            if let Some(slot) = line.get_mut(place) {
                *slot = letter;
            }
        };
        let own = self.place(ours);
        if let Some(other) = alternative.map(|value| self.place(value)) {
            (own.min(other)..=own.max(other)).for_each(|place| mark(place, '='));
            mark(other, 'x');
        }
        mark(own, 'o');
        mark(self.place(published), '|');
        line.into_iter().collect::<String>().trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_shows_the_way_from_ours_to_the_alternative() {
        let scale = Scale::of([0.0, 39.0].into_iter());
        let line = scale.draw(39.0, 10.0, Some(20.0));
        assert_eq!(
            line,
            format!("{}o{}x{}|", " ".repeat(10), "=".repeat(9), " ".repeat(18))
        );
        assert_eq!(scale.draw(39.0, 0.0, None), format!("o{}|", " ".repeat(38)));
        assert_eq!(Scale::of([5.0].into_iter()).draw(5.0, 5.0, None), "|");
    }

    #[test]
    fn definitions_name_metrics_of_their_benchmark_once() {
        for (task, ids) in DEFINITIONS {
            let distinct: HashSet<_> = ids.iter().collect();
            assert_eq!(distinct.len(), ids.len(), "{task}");
        }
    }
}
