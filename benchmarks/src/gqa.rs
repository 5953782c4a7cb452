//! GQA: compositional questions made from scene graphs, one right answer each.
//!
//! Hudson and Manning 2019, arXiv 1902.09506. Split `testdev-balanced`, 12,578 questions about 398 pictures, is
//! behind the papers' number; the other tiers of version 1.2 are splits too (`val-balanced`, `testdev-all`, …), and
//! `testdev-balanced-lite` is what LMMs-Eval-Lite took of the first. The number in tables is the share of balanced questions whose answer equals the right one, in per cent.
//!
//! Layouts, where each is looked for and how it is read: [`layout`]. Reading of answers: [`parse`]. Metrics, with
//! the same meaning under every protocol: [`score`], [`distribution`] and [`grounding`].

mod choices;
mod distribution;
#[cfg(test)]
mod fixture;
mod grounding;
mod layout;
#[cfg(test)]
mod layout_tests;
mod object_file;
mod parquet_files;
mod parse;
#[cfg(test)]
mod published_tests;
mod question_file;
mod score;
mod tsv_file;

use std::collections::HashMap;
use std::path::PathBuf;

use crate::benchmark::{Benchmark, Dataset, KnownFile, Provenance};
use crate::error::DataError;
use crate::matching::{Duplicates, Unlocated, at_row, stripped};
use crate::metric::Score;
use crate::prediction::{Prediction, PredictionKey};
use crate::sample::Sample;
use crate::source::DataSource;
use crate::task::{PromptStyle, Protocol, Task};
use crate::vqa_text::Normaliser;

use choices::Choices;
use grounding::Grounding;
use parse::Forms;

/// What LLaVA, VILA, lmms-eval and VLMEvalKit all append to a question.
const PROMPT_SUFFIX: &str = "\nAnswer the question using a single word or phrase.";

/// The split behind the papers' number.
const DEFAULT_SPLIT: &str = "testdev-balanced";

/// LMMs-Eval-Lite's part of it.
const LITE_SPLIT: &str = "testdev-balanced-lite";

/// How many questions the default split has.
const DEFAULT_SIZE: usize = 12_578;

/// Released files that are known by their hash (section 10 of the page).
const KNOWN_FILES: &[KnownFile] = &[KnownFile {
    sha256: "515aab3142889269",
    what: "LLaVA's question file, 12,578 questions",
}];

/// The benchmark.
#[derive(Debug)]
pub struct Gqa;

/// GQA with its data. `questions` and `samples` run side by side.
#[derive(Debug)]
struct GqaData {
    provenance: Provenance,
    samples: Vec<Sample>,
    questions: Vec<Question>,
    grounding: Grounding,
    by_id: HashMap<String, usize>,
    /// Where right answers were looked for in vain.
    unlabelled: Option<Vec<PathBuf>>,
}

/// What the scorer needs of a sample.
#[derive(Debug, Clone, Default, PartialEq)]
struct Question {
    /// The right answer, `None` where the data do not give it.
    answer: Option<String>,
    /// Whether the metrics count it.
    balanced: bool,
    types: Option<Types>,
    /// The group over whose answers the distribution is taken.
    global_group: Option<String>,
    /// Length of the question.
    words: usize,
    /// Length of the reasoning.
    steps: Option<usize>,
    /// The other questions whose answers follow from this one's, `None` where the layout does not tell.
    entailed: Option<Entailed>,
    choices: Option<Choices>,
    /// The attention on what the question points to, where maps are there.
    grounding: Option<f64>,
}

/// Questions that a right answer entails.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Entailed {
    /// Their positions.
    within: Vec<usize>,
    /// How many more there are that the data do not hold.
    outside: usize,
}

/// What kind of question it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Types {
    structural: Structural,
    semantic: Semantic,
    /// Whether it asks what two things have in common.
    common: bool,
}

/// The form of a question. `Query` questions are open, the others binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Structural {
    Query,
    Verify,
    Choose,
    Logical,
    Compare,
}

/// What a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Semantic {
    Attribute,
    Category,
    Global,
    Object,
    Relation,
}

impl Structural {
    const ALL: [Self; 5] = [Self::Query, Self::Verify, Self::Choose, Self::Logical, Self::Compare];

    const fn id(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Verify => "verify",
            Self::Choose => "choose",
            Self::Logical => "logical",
            Self::Compare => "compare",
        }
    }
}

impl Semantic {
    const ALL: [Self; 5] = [
        Self::Attribute,
        Self::Category,
        Self::Global,
        Self::Object,
        Self::Relation,
    ];

    const fn id(self) -> &'static str {
        match self {
            Self::Attribute => "attr",
            Self::Category => "cat",
            Self::Global => "global",
            Self::Object => "obj",
            Self::Relation => "rel",
        }
    }
}

impl Types {
    /// Reads the three types of a question.
    fn parse(structural: &str, semantic: &str, detailed: &str) -> Result<Self, String> {
        let form = Structural::ALL.into_iter().find(|form| form.id() == structural);
        let about = Semantic::ALL.into_iter().find(|about| about.id() == semantic);
        Ok(Self {
            structural: form.ok_or_else(|| unknown("structural", structural, &Structural::ALL.map(Structural::id)))?,
            semantic: about.ok_or_else(|| unknown("semantic", semantic, &Semantic::ALL.map(Semantic::id)))?,
            common: detailed.contains("Common"),
        })
    }
}

fn unknown(kind: &str, given: &str, known: &[&str]) -> String {
    format!("unknown {kind} type `{given}`; GQA has {}", known.join(", "))
}

impl Benchmark for Gqa {
    fn task(&self) -> Task {
        Task::Gqa
    }

    fn about(&self) -> &'static str {
        "compositional questions about scenes (Hudson and Manning 2019, arXiv 1902.09506)"
    }

    fn default_split(&self) -> &'static str {
        DEFAULT_SPLIT
    }

    fn default_size(&self) -> usize {
        DEFAULT_SIZE
    }

    fn headline(&self) -> &'static str {
        "accuracy"
    }

    fn max_new_tokens(&self) -> usize {
        128
    }

    fn data_hint(&self) -> &'static str {
        "unpack GQA's `questions1.2.zip` and `images.zip` to ROOT/gqa/data and, for LLaVA's order, its `eval.zip` to ROOT"
    }

    fn known_files(&self) -> &'static [KnownFile] {
        KNOWN_FILES
    }

    fn releases(&self) -> &'static [&'static str] {
        &["GQA 1.2"]
    }

    fn load(&self, source: &DataSource) -> Result<Box<dyn Dataset>, DataError> {
        Ok(Box::new(layout::load(source)?))
    }
}

/// What the papers ask.
pub(crate) fn paper_prompt(question: &str) -> String {
    format!("{question}{PROMPT_SUFFIX}")
}

impl Dataset for GqaData {
    fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    fn samples(&self) -> &[Sample] {
        &self.samples
    }

    fn prompt(&self, index: usize, style: PromptStyle) -> String {
        let question = self.samples.get(index).map_or("", |sample| sample.question.as_str());
        match style {
            PromptStyle::Paper | PromptStyle::LmmsEval | PromptStyle::VlmEvalKit => paper_prompt(question),
        }
    }

    fn remarks(&self) -> Vec<String> {
        let of_model = (self.grounding == Grounding::Known)
            .then_some("`grounding` is that of the model whose attention maps lie in these data, whatever the answers");
        of_model.map(str::to_owned).into_iter().collect()
    }

    fn locate(&self, prediction: &Prediction) -> Result<usize, Unlocated> {
        match &prediction.key {
            PredictionKey::Sample(id) => self.by_id.get(id).copied().ok_or(Unlocated::Unknown),
            PredictionKey::Question(id) => self.by_id.get(id).copied().ok_or(Unlocated::PassedOver),
            PredictionKey::Row(row) => at_row(&self.samples, *row, prediction.prompt.as_deref(), stripped),
            _ => Err(Unlocated::other_way(prediction)),
        }
    }

    /// The official scorer reads the answers into a map.
    fn duplicates(&self) -> Duplicates {
        Duplicates::LastWins
    }

    fn score(&self, answers: &[Option<String>], protocol: Protocol) -> Result<Score, DataError> {
        self.score_by(Forms::of(protocol), answers)
    }

    fn normalisers(&self) -> &'static [Normaliser] {
        Normaliser::GQA
    }

    fn score_normalised(&self, answers: &[Option<String>], normaliser: Normaliser) -> Result<Score, DataError> {
        self.score_by(Forms::both(normaliser), answers)
    }
}

impl GqaData {
    fn score_by(&self, forms: Forms, answers: &[Option<String>]) -> Result<Score, DataError> {
        match &self.unlabelled {
            Some(searched) => Err(DataError::NotFound {
                what: "GQA's right answers".to_owned(),
                searched: searched.clone(),
                remedy: "put the question file of GQA 1.2 there; test, challenge and submission have hidden answers"
                    .to_owned(),
            }),
            None => score::score(&self.questions, self.grounding, answers, forms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_and_unknown_ones_named() {
        let types = Types::parse("compare", "cat", "twoCommon").unwrap();
        let expected = Types {
            structural: Structural::Compare,
            semantic: Semantic::Category,
            common: true,
        };
        assert_eq!(types, expected);
        assert!(!Types::parse("query", "rel", "categoryRelS").unwrap().common);
        let cases = [
            (
                "Query",
                "rel",
                "unknown structural type `Query`; GQA has query, verify, choose, logical, compare",
            ),
            (
                "query",
                "relation",
                "unknown semantic type `relation`; GQA has attr, cat, global, obj, rel",
            ),
        ];
        for (structural, semantic, expected) in cases {
            assert_eq!(Types::parse(structural, semantic, ""), Err(expected.to_owned()));
        }
    }
}
