//! MM-Vet: 218 open questions that need one to four of six capabilities, graded from 0 to 1 by GPT-4.
//!
//! Yu et al. 2023, arXiv 2308.02490. Splits: `all`, the 218 questions of version 1, and [`bard`], 168 of them. The
//! number in tables is 100 times the mean grade over all, meant over the runs of the grader.
//!
//! An answer is not scored here but graded, by a model behind a server. Its grades lie in a file of the grader's
//! format, `<model>_<grader>-grade-<n>runs.json`, which [`DataSource::grades`] names. Layouts: [`layout`]. What a
//! grader is asked and how its reply is read: [`grader`]. Grade files: [`grades`]. Metrics: [`score`].
//!
//! Metrics: `total`, `capability/<capability>`, `integration/<capabilities, sorted, joined by +>` over the questions
//! with exactly that set, and `total/std`, the population standard deviation of the runs' totals. Grades of the
//! harnesses come from other prompts and graders, so that only `paper` and `official` are built: a judgement that
//! never gave a number leaves the answer ungraded in the first and counts 0.0 in the second. With an answer ungraded
//! a metric has bounds, all such answers 0 and all 1, and no value.

mod bard;
mod export;
mod grader;
mod grades;
mod layout;
#[cfg(test)]
mod layout_tests;
#[cfg(test)]
mod published_tests;
mod references;
mod rule;
mod score;
mod tsv_file;

use std::collections::{BTreeSet, HashMap, HashSet};

pub use references::{ReferenceGrades, reference_grades};

use crate::benchmark::{Benchmark, Dataset, KnownFile, Provenance};
use crate::error::DataError;
use crate::export::Export;
use crate::judge::{Judge, Judgement, Verdict};
use crate::matching::{Duplicates, Unlocated, at_row, stripped};
use crate::metric::Score;
use crate::prediction::{Prediction, PredictionKey};
use crate::python_text;
use crate::sample::Sample;
use crate::source::DataSource;
use crate::task::{PromptStyle, Protocol, Task};
use grader::Grading;
use grades::Grades;

/// What lmms-eval puts before a question.
const LMMS_EVAL_PREFIX: &str =
    "First please perform reasoning, and think step by step to provide best answer to the following question: \n\n";

/// How many questions there are.
const QUESTIONS: usize = 218;

/// The split of all questions.
const SPLIT: &str = "all";

/// Released files that are known by their hash (section 10 of the page).
const KNOWN_FILES: &[KnownFile] = &[
    KnownFile {
        sha256: "6eced3121b986509",
        what: "MM-Vet's `mm-vet.json`, 218 questions",
    },
    KnownFile {
        sha256: "ac90c438b58fa867",
        what: "LLaVA's question file, 218 questions",
    },
];

/// The benchmark.
#[derive(Debug)]
pub struct MmVet;

/// What a question needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Capability {
    Gen,
    Know,
    Math,
    Ocr,
    Rec,
    Spat,
}

/// MM-Vet with its data. `capabilities` and `samples` run side by side.
#[derive(Debug)]
struct MmVetData {
    provenance: Provenance,
    samples: Vec<Sample>,
    /// `None` where the layout has no labels.
    capabilities: Option<Vec<BTreeSet<Capability>>>,
    by_id: HashMap<String, usize>,
    /// Ids of questions that the split leaves out.
    left_out: HashSet<String>,
    grades: Option<Grades>,
}

impl Capability {
    /// In the order of the organisers' table: by falling number of questions.
    const ALL: [Self; 6] = [Self::Rec, Self::Ocr, Self::Know, Self::Gen, Self::Spat, Self::Math];

    const fn id(self) -> &'static str {
        match self {
            Self::Gen => "gen",
            Self::Know => "know",
            Self::Math => "math",
            Self::Ocr => "ocr",
            Self::Rec => "rec",
            Self::Spat => "spat",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|capability| capability.id() == text)
    }
}

impl Benchmark for MmVet {
    fn task(&self) -> Task {
        Task::MmVet
    }

    fn about(&self) -> &'static str {
        "open questions graded by GPT-4 (Yu et al. 2023, arXiv 2308.02490)"
    }

    fn default_split(&self) -> &'static str {
        SPLIT
    }

    fn default_size(&self) -> usize {
        QUESTIONS
    }

    fn headline(&self) -> &'static str {
        "total"
    }

    fn max_new_tokens(&self) -> usize {
        1024
    }

    fn data_hint(&self) -> &'static str {
        "unpack the organisers' `mm-vet.zip` to ROOT/mm-vet (ROOT/mm-vet/mm-vet.json, ROOT/mm-vet/images/v1_0.png)"
    }

    fn known_files(&self) -> &'static [KnownFile] {
        KNOWN_FILES
    }

    fn releases(&self) -> &'static [&'static str] {
        &["MM-Vet v1"]
    }

    fn load(&self, source: &DataSource) -> Result<Box<dyn Dataset>, DataError> {
        let mut data = layout::load(source)?;
        if let Some(path) = &source.grades {
            let (grades, file) = Grades::read(path, &data.by_id)?;
            data.provenance.files.push(file);
            data.grades = Some(grades);
        }
        if source.split.as_deref() == Some(bard::SPLIT) {
            data = bard::subset(data, source)?;
        }
        Ok(Box::new(data))
    }
}

impl Dataset for MmVetData {
    fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    fn samples(&self) -> &[Sample] {
        &self.samples
    }

    fn prompt(&self, index: usize, style: PromptStyle) -> String {
        let question = self.samples.get(index).map_or("", |sample| sample.question.as_str());
        match style {
            PromptStyle::Paper | PromptStyle::VlmEvalKit => question.to_owned(),
            PromptStyle::LmmsEval => format!("{LMMS_EVAL_PREFIX}{question}"),
        }
    }

    fn locate(&self, prediction: &Prediction) -> Result<usize, Unlocated> {
        let index = match &prediction.key {
            PredictionKey::Sample(id) => return self.position(id),
            PredictionKey::Question(id) => self.position(&sample_id(id))?,
            // lmms-eval's rows are those of all questions.
            PredictionKey::Row(row) if self.left_out.is_empty() => {
                return at_row(&self.samples, *row, prediction.prompt.as_deref(), stripped);
            }
            _ => return Err(Unlocated::other_way(prediction)),
        };
        let question = self.samples.get(index).map_or("", |sample| sample.question.as_str());
        match &prediction.prompt {
            Some(prompt) if !prompt.contains(python_text::strip(question)) => Err(Unlocated::Refused(format!(
                "`prompt` asks `{}`, question {} of MM-Vet is `{}`; these are answers to another benchmark",
                prompt.lines().next().unwrap_or_default(),
                prediction.key,
                question.lines().next().unwrap_or_default(),
            ))),
            _ => Ok(index),
        }
    }

    /// As in LLaVA's converter, which writes into a dictionary.
    fn duplicates(&self) -> Duplicates {
        Duplicates::LastWins
    }

    fn score(&self, answers: &[Option<String>], protocol: Protocol) -> Result<Score, DataError> {
        match protocol {
            Protocol::Paper | Protocol::Official => {}
            Protocol::LmmsEval | Protocol::VlmEvalKit => {
                return Err(DataError::Mismatch(format!(
                    "protocol `{protocol}` is not built for mm-vet: it grades with a prompt and a judge of its own; \
                     take `paper` or `official`"
                )));
            }
        }
        let Some(capabilities) = &self.capabilities else {
            return Err(no_labels());
        };
        let Some(grades) = &self.grades else {
            return Err(DataError::Mismatch(
                "MM-Vet answers are graded by GPT-4 and no grades were given; ask it with `vila-bench grade`, or give \
                 the grader's `<model>_<grader>-grade-<n>runs.json` with `--grades`"
                    .to_owned(),
            ));
        };
        score::score(&self.samples, capabilities, grades, answers, protocol)
    }

    fn judgement(&self, index: usize, answer: &str) -> Result<Option<Box<dyn Judgement>>, DataError> {
        let Some(sample) = self.samples.get(index) else {
            return Ok(None);
        };
        let reference = sample.reference.as_ref().ok_or_else(no_labels)?;
        Ok(Some(Box::new(Grading::new(&sample.question, reference, answer))))
    }

    fn rule_verdict(&self, index: usize, answer: &str) -> Result<Verdict, DataError> {
        let reference = self.samples.get(index).and_then(|sample| sample.reference.as_ref());
        Ok(rule::grade(reference.ok_or_else(no_labels)?, answer))
    }

    fn grade_file(&self, judge: &str, judged: &[Option<(String, Vec<Verdict>)>]) -> Result<Vec<u8>, DataError> {
        grades::file(&self.samples, judge, judged)
    }

    fn judge(&self) -> Option<Judge> {
        self.grades.as_ref().map(Grades::judge)
    }

    fn export(&self, answers: &[Option<String>]) -> Result<Export, DataError> {
        export::results(&self.samples, answers)
    }
}

impl MmVetData {
    /// Answers to all questions may be scored on a part of them.
    fn position(&self, id: &str) -> Result<usize, Unlocated> {
        match self.by_id.get(id) {
            Some(index) => Ok(*index),
            None if self.left_out.contains(id) => Err(Unlocated::PassedOver),
            None => Err(Unlocated::Unknown),
        }
    }
}

fn no_labels() -> DataError {
    DataError::Mismatch(
        "MM-Vet's capabilities and reference answers are not here; put the organisers' `mm-vet.json` beside \
         `llava-mm-vet.jsonl`"
            .to_owned(),
    )
}

/// `v1_7` of LLaVA's `7`; ids of the organisers as they are.
fn sample_id(id: &str) -> String {
    match id.parse::<u32>() {
        Ok(number) => format!("v1_{number}"),
        Err(_) => id.to_owned(),
    }
}

/// A set of capabilities as metrics and categories name it: `gen+know+rec`.
fn integration(capabilities: &BTreeSet<Capability>) -> String {
    let ids: Vec<&str> = capabilities.iter().map(|capability| capability.id()).collect();
    ids.join("+")
}
