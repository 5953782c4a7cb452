//! Where the gap between a published number and ours may come from: one factor is changed at a time.
//!
//! Here the same answers are scored under every other rule; such a change is exact and has no interval. [`rerun`] asks
//! part of the questions again with one [`setting`] changed, on a [`subset`] of the pictures. Changes of different factors
//! do not add up, so none is subtracted from another: each is shown with the gap that it would leave, and [`waterfall`]
//! draws them with what is left over.

mod labels;
mod rerun;
mod setting;
mod subset;
mod waterfall;

use std::collections::HashSet;
use std::str::FromStr;

use benchmarks::{Dataset, Metric, PromptStyle, Protocol, Score, Task, UnknownName, Version};
use serde::{Serialize, Serializer};

use crate::statistics::{clusters, uncertainty};

use labels::OtherLabels;

pub use rerun::{Asked, Rerun};
pub use setting::choices;
pub use waterfall::Waterfall;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Factor {
    /// Whose rule scores.
    Protocol,
    /// Which metric is called the score.
    Metric,
    /// Which release of the labels.
    Labels,
    /// The form in which texts are compared.
    Normaliser,
    /// Whether repeated questions count once.
    Repetitions,
    /// Whether samples without an answer count as answered with nothing.
    Unanswered,
    /// Nothing: the same questions once more.
    AskedAgain,
    /// Whose wording the questions have.
    PromptStyle,
    /// Whether TextVQA's questions come with OCR tokens.
    OcrTokens,
    /// The conversation template.
    ConvTemplate,
    /// What happens to a picture before the processor.
    Geometry,
    /// Whose rounding decoded JPEG files have.
    JpegDecoder,
    /// Type computed in.
    Dtype,
}

impl Factor {
    /// Those that need the questions to be asked again.
    pub const ASKED: [Self; 7] = [
        Self::AskedAgain,
        Self::OcrTokens,
        Self::PromptStyle,
        Self::ConvTemplate,
        Self::Geometry,
        Self::JpegDecoder,
        Self::Dtype,
    ];

    /// On the command line, in folders and on disk.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Protocol => "protocol",
            Self::Metric => "metric",
            Self::Labels => "labels",
            Self::Normaliser => "normaliser",
            Self::Repetitions => "repetitions",
            Self::Unanswered => "unanswered",
            Self::AskedAgain => "asked-again",
            Self::PromptStyle => "prompt-style",
            Self::OcrTokens => "ocr-tokens",
            Self::ConvTemplate => "conv-template",
            Self::Geometry => "image-aspect-ratio",
            Self::JpegDecoder => "jpeg-decoder",
            Self::Dtype => "dtype",
        }
    }

    /// For tables.
    pub const fn words(self) -> &'static str {
        match self {
            Self::AskedAgain => "asked again",
            Self::PromptStyle => "prompt style",
            Self::OcrTokens => "OCR tokens",
            Self::ConvTemplate => "template",
            Self::Geometry => "picture shape",
            Self::JpegDecoder => "JPEG decoder",
            other => other.id(),
        }
    }
}

impl Serialize for Factor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

impl FromStr for Factor {
    type Err = UnknownName;

    /// Of [`Factor::ASKED`].
    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let found = Self::ASKED.into_iter().find(|factor| factor.id() == text);
        found.ok_or_else(|| UnknownName::new("factor", text, &Self::ASKED.map(Self::id)))
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
    /// 95 % interval of the change, where it was measured on part of the questions; a re-scoring is exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ci95: Option<(f64, f64)>,
    /// Published minus this.
    pub gap_left: Option<f64>,
    /// Why there is no number.
    pub reason: Option<String>,
    /// What was asked again for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
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

    /// The same answers under every other rule that this benchmark has, and against the `versions` that were found of the
    /// `releases` of its labels.
    pub fn alternatives(&self, ours: &Score, releases: &[&str], versions: Vec<Version>) -> Vec<Alternative> {
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
        let others: Vec<Alternative> = versions
            .into_iter()
            .filter_map(|version| self.against(own, version))
            .collect();
        if others.is_empty() {
            let reason = no_other_release(releases);
            found.push(self.alternative(Factor::Labels, String::new(), own, Err(reason)));
        }
        found.extend(others);
        for &normaliser in self.dataset.normalisers() {
            let score = self.dataset.score_normalised(self.answers, normaliser);
            let score = score.map_err(|error| error.to_string());
            found.push(self.scored(Factor::Normaliser, normaliser.id().to_owned(), own, score));
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

    /// The answers scored with other labels; `None` where they are the run's own.
    fn against(&self, own: &Metric, version: Version) -> Option<Alternative> {
        let other = match version {
            Ok(dataset) => OtherLabels::new(self.task, self.dataset, self.answers, dataset)?,
            Err(error) => Err(error.to_string()),
        };
        Some(match other {
            Ok(other) => {
                let score = other.dataset.score(&other.answers, Protocol::Paper);
                let score = score.map_err(|error| error.to_string());
                self.scored(Factor::Labels, other.name, own, score)
            }
            Err(reason) => self.alternative(Factor::Labels, "another release".to_owned(), own, Err(reason)),
        })
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
            ci95: None,
            asked: None,
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

/// Why there is nothing to score against: the benchmark has no other release, or none lies beside the run's data.
fn no_other_release(releases: &[&str]) -> String {
    match releases {
        [only] => format!("not applicable: there is one release of the labels, {only}"),
        several => format!(
            "no other release lies beside the data; there are: {}",
            several.join("; ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_name_metrics_of_their_benchmark_once() {
        for (task, ids) in DEFINITIONS {
            let distinct: HashSet<_> = ids.iter().collect();
            assert_eq!(distinct.len(), ids.len(), "{task}");
        }
    }
}
