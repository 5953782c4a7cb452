//! VizWiz: questions that blind people asked about their own photographs; many cannot be answered.
//!
//! Gurari et al. 2018, arXiv 1802.08218. Splits: `test-dev`, the 8,000 questions of test, whose labels only the
//! server has (EvalAI challenge 2185) and which it scores some of, and `val`, 4,319 questions that can be scored
//! here. The number in tables is the soft accuracy over all questions.
//!
//! Layouts: [`layout`]. `paper` is the way of an answer through LLaVA: the EvalAI processor before the upload, then
//! the organisers' scorer; `official` is that scorer alone. It normalises predictions with typographic apostrophes
//! and takes references as they stand, so no reference with a hyphen, capital or article is ever met.
//!
//! Metrics: `accuracy`; `accuracy/yes-no`, `/number`, `/other`, `/unanswerable` by answer type; `unanswerable/ap`
//! and `/f1`, the second challenge task with the prediction that a question is unanswerable where the normalised
//! answer is `unanswerable`.

mod answerability;
mod export;
mod json_files;
mod layout;
mod parquet_files;
#[cfg(test)]
mod published_tests;
#[cfg(test)]
mod tests;
mod tsv_file;

use std::collections::HashMap;
use std::path::PathBuf;

use crate::benchmark::{Benchmark, Dataset, KnownFile, Provenance};
use crate::error::DataError;
use crate::export::Export;
use crate::matching::{Duplicates, Unlocated, at_row, stripped};
use crate::metric::{Metric, MetricId, Score};
use crate::prediction::{Prediction, PredictionKey};
use crate::python_text;
use crate::sample::Sample;
use crate::soft_accuracy::{Compared, Outcome, References, Rule, mean};
use crate::source::DataSource;
use crate::task::{PromptStyle, Protocol, Task, UnknownName};
use crate::vqa_text::Normaliser;

use self::answerability::Answerability;

/// What LLaVA's question file and lmms-eval append to a question.
const PROMPT_SUFFIX: &str = "\nWhen the provided information is insufficient, respond with 'Unanswerable'.\n\
                             Answer the question using a single word or phrase.";

/// Released files that are known by their hash (section 10 of the page).
const KNOWN_FILES: &[KnownFile] = &[KnownFile {
    sha256: "25b71577dafc1e40",
    what: "LLaVA's question file of test, 8,000 questions",
}];

/// The benchmark.
#[derive(Debug)]
pub struct Vizwiz;

/// Which questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Split {
    TestDev,
    Val,
}

/// What kind of answer a question has, as the annotation says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AnswerType {
    YesNo,
    Number,
    Other,
    Unanswerable,
}

/// VizWiz with its data.
#[derive(Debug)]
struct VizwizData {
    provenance: Provenance,
    split: Split,
    folder: PathBuf,
    samples: Vec<Sample>,
    by_id: HashMap<String, usize>,
    /// By position in the organisers' file, LLaVA's question id, where the layout has it.
    by_position: HashMap<String, usize>,
    /// `None` where the data have none.
    labels: Option<Labels>,
}

/// What the scorer needs, all running beside the samples.
#[derive(Debug, Default)]
struct Labels {
    references: References,
    /// `None` where the layout does not say.
    answer_types: Vec<Option<AnswerType>>,
    /// `None` where the layout does not say.
    answerable: Vec<Option<bool>>,
}

impl Split {
    /// The papers' first.
    const ALL: [Self; 2] = [Self::TestDev, Self::Val];

    const fn id(self) -> &'static str {
        match self {
            Self::TestDev => "test-dev",
            Self::Val => "val",
        }
    }

    /// What files and folders call it.
    const fn stem(self) -> &'static str {
        match self {
            Self::TestDev => "test",
            Self::Val => "val",
        }
    }

    fn parse(text: &str) -> Result<Self, UnknownName> {
        let found = Self::ALL.into_iter().find(|split| split.id() == text);
        found.ok_or_else(|| UnknownName::new("split", text, &Self::ALL.map(Self::id)))
    }
}

impl AnswerType {
    const ALL: [Self; 4] = [Self::YesNo, Self::Number, Self::Other, Self::Unanswerable];

    /// As the annotation spells it.
    const fn name(self) -> &'static str {
        match self {
            Self::YesNo => "yes/no",
            Self::Number => "number",
            Self::Other => "other",
            Self::Unanswerable => "unanswerable",
        }
    }

    const fn metric_id(self) -> &'static str {
        match self {
            Self::YesNo => "accuracy/yes-no",
            Self::Number => "accuracy/number",
            Self::Other => "accuracy/other",
            Self::Unanswerable => "accuracy/unanswerable",
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| format!("answer type `{text}` is none of `yes/no`, `number`, `other`, `unanswerable`"))
    }
}

impl Benchmark for Vizwiz {
    fn task(&self) -> Task {
        Task::Vizwiz
    }

    fn about(&self) -> &'static str {
        "questions of blind people about their photographs (Gurari et al. 2018, arXiv 1802.08218)"
    }

    fn default_split(&self) -> &'static str {
        Split::TestDev.id()
    }

    fn default_size(&self) -> usize {
        8000
    }

    fn headline(&self) -> &'static str {
        "accuracy"
    }

    fn max_new_tokens(&self) -> usize {
        128
    }

    fn data_hint(&self) -> &'static str {
        "unpack LLaVA's `eval.zip` and the pictures of test to ROOT/vizwiz (ROOT/vizwiz/test/*.jpg), or for \
         `--split val` the `val.json` and `val/` of vizwiz.org"
    }

    fn known_files(&self) -> &'static [KnownFile] {
        KNOWN_FILES
    }

    fn releases(&self) -> &'static [&'static str] {
        &["VizWiz-VQA"]
    }

    fn load(&self, source: &DataSource) -> Result<Box<dyn Dataset>, DataError> {
        Ok(Box::new(layout::load(source)?))
    }
}

impl Dataset for VizwizData {
    fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// White space at either end of a question stays; 424 of LLaVA's prompts have it.
    fn prompt(&self, index: usize, style: PromptStyle) -> String {
        let question = self.samples.get(index).map_or("", |sample| sample.question.as_str());
        match style {
            PromptStyle::Paper | PromptStyle::LmmsEval => paper_prompt(question),
            PromptStyle::VlmEvalKit => question.to_owned(),
        }
    }

    fn locate(&self, prediction: &Prediction) -> Result<usize, Unlocated> {
        let id = match &prediction.key {
            PredictionKey::Sample(id) => return self.by_id.get(id).copied().ok_or(Unlocated::Unknown),
            PredictionKey::Question(id) => id,
            PredictionKey::Picture(name) => {
                let stem = layout::stem(name).map_err(Unlocated::Refused)?;
                return self.by_id.get(&stem).copied().ok_or(Unlocated::Unknown);
            }
            PredictionKey::Row(row) => return at_row(&self.samples, *row, prediction.prompt.as_deref(), stripped),
            _ => return Err(Unlocated::other_way(prediction)),
        };
        if let Some(index) = self.by_id.get(id) {
            return Ok(*index);
        }
        let index = *self.by_position.get(id).ok_or(Unlocated::Unknown)?;
        let question = self.samples.get(index).map_or("", |sample| sample.question.as_str());
        let wanted = python_text::strip(question).to_lowercase();
        match &prediction.prompt {
            Some(prompt) if !prompt.to_lowercase().contains(&wanted) => Err(Unlocated::Refused(format!(
                "`prompt` asks `{}`, question {id} of split `{}` is `{question}`; positions name a question within \
                 one split only",
                prompt.lines().next().unwrap_or_default(),
                self.split.id(),
            ))),
            _ => Ok(index),
        }
    }

    /// LLaVA's converter reads the answer file into a map.
    fn duplicates(&self) -> Duplicates {
        Duplicates::LastWins
    }

    fn score(&self, answers: &[Option<String>], protocol: Protocol) -> Result<Score, DataError> {
        let rule = match protocol {
            Protocol::Paper => Rule {
                upload: Some(Normaliser::EvalAi),
                ..OFFICIAL
            },
            Protocol::Official => OFFICIAL,
            Protocol::LmmsEval => Rule::of(Normaliser::EvalAi),
            Protocol::VlmEvalKit => Rule::of(Normaliser::VlmEvalKit),
        };
        self.score_by(rule, answers)
    }

    fn normalisers(&self) -> &'static [Normaliser] {
        Normaliser::VQA
    }

    fn score_normalised(&self, answers: &[Option<String>], normaliser: Normaliser) -> Result<Score, DataError> {
        self.score_by(Rule::of(normaliser), answers)
    }

    fn export(&self, answers: &[Option<String>]) -> Result<Export, DataError> {
        export::upload(&self.samples, answers)
    }
}

/// What the papers ask.
pub(crate) fn paper_prompt(question: &str) -> String {
    format!("{}{PROMPT_SUFFIX}", python_text::capitalize(question))
}

/// The organisers' scorer.
const OFFICIAL: Rule = Rule {
    upload: None,
    prediction: Normaliser::VizwizOfficial,
    reference: None,
    unanimous_apart: false,
};

impl VizwizData {
    fn score_by(&self, rule: Rule, answers: &[Option<String>]) -> Result<Score, DataError> {
        let labels = self.labels.as_ref().ok_or_else(|| self.no_labels())?;
        let compared = labels.references.compare(answers, rule)?;
        let metrics = labels.metrics(&compared);
        Ok(compared.score(metrics))
    }

    fn no_labels(&self) -> DataError {
        match self.split {
            Split::TestDev => DataError::Mismatch(
                "the reference answers of VizWiz test are on the server only (EvalAI challenge 2185); upload the \
                 answers there, or answer and score `--split val`"
                    .to_owned(),
            ),
            Split::Val => DataError::NotFound {
                what: "the reference answers of VizWiz val (`val.json` with `answers`)".to_owned(),
                searched: vec![self.folder.clone()],
                remedy: "put that file there; it comes from vizwiz.org".to_owned(),
            },
        }
    }
}

impl Labels {
    fn metrics(&self, compared: &Compared) -> Vec<Metric> {
        let mut metrics = vec![mean("accuracy", compared.outcomes.iter().copied())];
        let untyped = self.answer_types.contains(&None);
        metrics.extend(AnswerType::ALL.map(|kind| {
            if untyped {
                return Metric {
                    id: MetricId::new(kind.metric_id()),
                    n: 0,
                    bounds: None,
                    value: Err("the data do not say which type of answer a question has".to_owned()),
                    ratios: Vec::new(),
                };
            }
            let is_kind = |outcome: &&Outcome| self.answer_types.get(outcome.sample) == Some(&Some(kind));
            mean(kind.metric_id(), compared.outcomes.iter().filter(is_kind).copied())
        }));
        let mut answerability = Answerability::default();
        for Outcome { sample, .. } in &compared.outcomes {
            let parsed = compared
                .samples
                .get(*sample)
                .and_then(|sample| sample.parsed.as_deref());
            let answerable = self.answerable.get(*sample).copied().flatten();
            answerability.add(*sample, answerable, parsed == Some(AnswerType::Unanswerable.name()));
        }
        metrics.extend(answerability.metrics());
        metrics
    }
}
