//! VQAv2: open questions about COCO photographs, ten human answers each.
//!
//! Goyal et al. 2017, arXiv 1612.00837. Splits: `test-dev`, the papers' number, whose labels only the server has
//! (EvalAI challenge 830), `val`, which can be scored here and is not to be put beside the papers' column, and
//! `val-lite`, what LMMs-Eval-Lite took of `val`.
//! The number in tables is the soft accuracy over all questions.
//!
//! Layouts: [`layout`]. `paper` is the way of an answer through LLaVA: the EvalAI processor before the upload, then
//! the organisers' scorer; `official` is that scorer alone. Where all references are one text it compares with
//! white space normalised only, so `Yes` is wrong where ten people said `yes`. VLMEvalKit has no VQAv2.
//!
//! Metrics: `accuracy`; `accuracy/yes-no`, `/number`, `/other` by answer type; `question-type/<type>` for each of
//! the types of question that the data have, in their alphabetical order.

mod export;
mod json_files;
mod layout;
mod parquet_files;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use crate::benchmark::{Benchmark, Dataset, Provenance};
use crate::error::DataError;
use crate::export::Export;
use crate::matching::{Duplicates, Unlocated, at_row, stripped};
use crate::metric::{Metric, Score};
use crate::prediction::{Prediction, PredictionKey};
use crate::sample::Sample;
use crate::soft_accuracy::{Compared, Outcome, References, Rule, mean};
use crate::source::DataSource;
use crate::task::{PromptStyle, Protocol, Task, UnknownName};
use crate::vqa_text::Normaliser;

/// What LLaVA's question file and lmms-eval append to a question.
const PROMPT_SUFFIX: &str = "\nAnswer the question using a single word or phrase.";

/// The benchmark.
#[derive(Debug)]
pub struct Vqav2;

/// Which questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Split {
    TestDev,
    Val,
    /// LMMs-Eval-Lite's part of `Val`.
    ValLite,
}

/// What kind of answer a question has, as the annotation says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AnswerType {
    YesNo,
    Number,
    Other,
}

/// VQAv2 with its data.
#[derive(Debug)]
struct Vqav2Data {
    provenance: Provenance,
    split: Split,
    folder: PathBuf,
    samples: Vec<Sample>,
    by_id: HashMap<u64, usize>,
    /// `None` where the data have none.
    labels: Option<Labels>,
}

/// What the scorer needs, all running beside the samples.
#[derive(Debug, Default)]
struct Labels {
    references: References,
    answer_types: Vec<AnswerType>,
    /// Positions in `question_type_names`.
    question_types: Vec<usize>,
    question_type_names: Vec<String>,
}

impl Split {
    /// The papers' first.
    const ALL: [Self; 3] = [Self::TestDev, Self::Val, Self::ValLite];

    const fn id(self) -> &'static str {
        match self {
            Self::TestDev => "test-dev",
            Self::Val => "val",
            Self::ValLite => "val-lite",
        }
    }

    fn parse(text: &str) -> Result<Self, UnknownName> {
        let found = Self::ALL.into_iter().find(|split| split.id() == text);
        found.ok_or_else(|| UnknownName::new("split", text, &Self::ALL.map(Self::id)))
    }

    /// What the organisers' files call it.
    const fn subtype(self) -> &'static str {
        match self {
            Self::TestDev => "test-dev2015",
            Self::Val | Self::ValLite => "val2014",
        }
    }

    /// The COCO folder with its pictures, which is also part of their names.
    const fn coco(self) -> &'static str {
        match self {
            Self::TestDev => "test2015",
            Self::Val | Self::ValLite => "val2014",
        }
    }
}

impl AnswerType {
    const ALL: [Self; 3] = [Self::YesNo, Self::Number, Self::Other];

    /// As the annotation spells it.
    const fn name(self) -> &'static str {
        match self {
            Self::YesNo => "yes/no",
            Self::Number => "number",
            Self::Other => "other",
        }
    }

    const fn metric_id(self) -> &'static str {
        match self {
            Self::YesNo => "accuracy/yes-no",
            Self::Number => "accuracy/number",
            Self::Other => "accuracy/other",
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| format!("answer type `{text}` is none of `yes/no`, `number`, `other`"))
    }
}

impl Benchmark for Vqav2 {
    fn task(&self) -> Task {
        Task::Vqav2
    }

    fn about(&self) -> &'static str {
        "open questions about photographs (Goyal et al. 2017, arXiv 1612.00837)"
    }

    fn default_split(&self) -> &'static str {
        Split::TestDev.id()
    }

    fn default_size(&self) -> usize {
        107_394
    }

    fn headline(&self) -> &'static str {
        "accuracy"
    }

    fn max_new_tokens(&self) -> usize {
        128
    }

    fn data_hint(&self) -> &'static str {
        "unpack LLaVA's `eval.zip` and COCO's `test2015` pictures to ROOT/vqav2, or for `--split val` the questions \
         and annotations of visualqa.org and COCO's `val2014`"
    }

    fn releases(&self) -> &'static [&'static str] {
        &["VQA v2.0"]
    }

    fn load(&self, source: &DataSource) -> Result<Box<dyn Dataset>, DataError> {
        Ok(Box::new(layout::load(source)?))
    }
}

impl Dataset for Vqav2Data {
    fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    fn samples(&self) -> &[Sample] {
        &self.samples
    }

    fn prompt(&self, index: usize, _: PromptStyle) -> String {
        let question = self.samples.get(index).map_or("", |sample| sample.question.as_str());
        paper_prompt(question)
    }

    fn can_ask(&self, style: PromptStyle) -> Result<(), DataError> {
        match style {
            PromptStyle::Paper | PromptStyle::LmmsEval => Ok(()),
            PromptStyle::VlmEvalKit => Err(DataError::Mismatch(
                "VLMEvalKit has no VQAv2; ask in style `paper` or `lmms-eval`".to_owned(),
            )),
        }
    }

    fn remarks(&self) -> Vec<String> {
        match self.split {
            Split::TestDev => Vec::new(),
            Split::Val | Split::ValLite => vec![
                "val2014, not the papers' test-dev; most of its pictures are in COCO train2017, from which LLaVA and VILA \
                 learned: not to be set beside the papers' numbers"
                    .to_owned(),
            ],
        }
    }

    fn locate(&self, prediction: &Prediction) -> Result<usize, Unlocated> {
        let id = match &prediction.key {
            PredictionKey::Sample(id) | PredictionKey::Question(id) => id,
            PredictionKey::Row(row) => return at_row(&self.samples, *row, prediction.prompt.as_deref(), stripped),
            _ => return Err(Unlocated::other_way(prediction)),
        };
        let number = id
            .parse()
            .map_err(|_| Unlocated::Refused(format!("`{id}` is no VQAv2 question id, which is a whole number")))?;
        self.by_id.get::<u64>(&number).copied().ok_or(Unlocated::Unknown)
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
            Protocol::LmmsEval => Rule::of(Normaliser::LmmsEvalVqav2),
            Protocol::VlmEvalKit => return Err(not_in_vlmevalkit()),
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
        export::upload(self, answers)
    }
}

/// What the papers ask.
pub(crate) fn paper_prompt(question: &str) -> String {
    format!("{question}{PROMPT_SUFFIX}")
}

/// The organisers' scorer.
const OFFICIAL: Rule = Rule {
    upload: None,
    prediction: Normaliser::VqaOfficial,
    reference: Some(Normaliser::VqaOfficial),
    unanimous_apart: true,
};

fn not_in_vlmevalkit() -> DataError {
    DataError::Mismatch("VLMEvalKit has no VQAv2; take another of `paper`, `official`, `lmms-eval`".to_owned())
}

impl Vqav2Data {
    fn score_by(&self, rule: Rule, answers: &[Option<String>]) -> Result<Score, DataError> {
        let labels = self.labels.as_ref().ok_or_else(|| self.no_labels())?;
        let compared = labels.references.compare(answers, rule)?;
        let metrics = labels.metrics(&compared);
        Ok(compared.score(metrics))
    }

    fn no_labels(&self) -> DataError {
        match self.split {
            Split::TestDev => DataError::Mismatch(
                "the reference answers of VQAv2 test-dev are on the server only (EvalAI challenge 830); upload the \
                 answers there, or answer and score `--split val`"
                    .to_owned(),
            ),
            Split::Val | Split::ValLite => DataError::NotFound {
                what: format!(
                    "the reference answers of VQAv2 val (`{}`)",
                    json_files::annotations(Split::Val)
                ),
                searched: vec![self.folder.clone()],
                remedy: "put that file there; it comes from visualqa.org".to_owned(),
            },
        }
    }
}

impl Labels {
    fn metrics(&self, compared: &Compared) -> Vec<Metric> {
        let mut by_question_type: BTreeMap<&str, Vec<Outcome>> = self
            .question_type_names
            .iter()
            .map(|name| (name.as_str(), Vec::new()))
            .collect();
        for outcome in &compared.outcomes {
            let name = self.question_types.get(outcome.sample);
            let name = name.and_then(|name| self.question_type_names.get(*name));
            if let Some(outcomes) = name.and_then(|name| by_question_type.get_mut(name.as_str())) {
                outcomes.push(*outcome);
            }
        }
        let mut metrics = vec![mean("accuracy", compared.outcomes.iter().copied())];
        metrics.extend(AnswerType::ALL.map(|kind| {
            let is_kind = |outcome: &&Outcome| self.answer_types.get(outcome.sample) == Some(&kind);
            mean(kind.metric_id(), compared.outcomes.iter().filter(is_kind).copied())
        }));
        let question_types = by_question_type.into_iter();
        metrics.extend(question_types.map(|(name, outcomes)| mean(format!("question-type/{name}"), outcomes)));
        metrics
    }
}
