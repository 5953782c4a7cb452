//! TextVQA: questions about text in OpenImages photographs, ten human answers each.
//!
//! Singh et al. 2019, arXiv 1904.08920. Split: `val` of version 0.5.1, 5,000 questions over 3,166 pictures. LLaVA
//! and VILA ask with the Rosetta OCR tokens in the prompt; without them LLaVA-1.5-13B falls from 61.3 to 48.7, so
//! data without tokens cannot be asked in the paper's style. The number in tables is the soft accuracy of answers
//! and references that both went through the EvalAI processor.
//!
//! Layouts: [`layout`]. LLaVA's `question_id` is the picture's id and names no question; a prediction is matched by
//! picture and lower-cased question, which is read back from its prompt.
//!
//! `official` is the same rule as `paper`: LLaVA's evaluator is the organisers'.

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

use sha2::{Digest, Sha256};

use crate::benchmark::{Benchmark, Dataset, KnownFile, Provenance};
use crate::error::DataError;
use crate::matching::{Unlocated, at_row, stripped};
use crate::metric::Score;
use crate::prediction::{Prediction, PredictionKey};
use crate::python_text;
use crate::sample::Sample;
use crate::soft_accuracy::{self, References, Rule};
use crate::source::DataSource;
use crate::task::{PromptStyle, Protocol, Task};
use crate::vqa_text::Normaliser;

/// The last line of every prompt.
const INSTRUCTION: &str = "Answer the question using a single word or phrase.";

/// What stands before the OCR tokens in LLaVA's question file; with no token the space at its end stays.
const OCR_PREFIX: &str = "Reference OCR token: ";

/// The annotation of the split.
const ANNOTATION: &str = "TextVQA_0.5.1_val.json";

/// The OCR tokens that LLaVA's questions hold.
const ROSETTA: &str = "TextVQA_Rosetta_OCR_v0.2_val.json";

/// LLaVA's question file.
const LLAVA_QUESTIONS: &str = "llava_textvqa_val_v051_ocr.jsonl";

/// The split.
const SPLIT: &str = "val";

/// Released files that are known by their hash (section 10 of the page).
const KNOWN_FILES: &[KnownFile] = &[KnownFile {
    sha256: "9f60db6fb89e3692",
    what: "LLaVA's question file with Rosetta OCR tokens, 5,000 questions",
}];

/// The benchmark.
#[derive(Debug)]
pub struct Textvqa;

/// TextVQA with its data. `samples` and `ocr` run side by side.
#[derive(Debug)]
struct TextvqaData {
    provenance: Provenance,
    folder: PathBuf,
    samples: Vec<Sample>,
    /// OCR tokens joined by `, `; `None` where the data have none, which is not the same as no token.
    ocr: Vec<Option<String>>,
    /// `None` where the data have no reference answers.
    references: Option<References>,
    by_id: HashMap<String, usize>,
    /// By the annotation's own number, where the data have it.
    by_number: HashMap<String, usize>,
}

impl Benchmark for Textvqa {
    fn task(&self) -> Task {
        Task::Textvqa
    }

    fn about(&self) -> &'static str {
        "reading text in photographs (Singh et al. 2019, arXiv 1904.08920)"
    }

    fn default_split(&self) -> &'static str {
        SPLIT
    }

    fn default_size(&self) -> usize {
        5000
    }

    fn headline(&self) -> &'static str {
        "accuracy"
    }

    fn max_new_tokens(&self) -> usize {
        128
    }

    fn data_hint(&self) -> &'static str {
        "unpack LLaVA's `eval.zip`, `TextVQA_0.5.1_val.json` and the pictures to ROOT/textvqa \
         (ROOT/textvqa/train_images/*.jpg)"
    }

    fn known_files(&self) -> &'static [KnownFile] {
        KNOWN_FILES
    }

    fn releases(&self) -> &'static [&'static str] {
        &["TextVQA 0.5.1"]
    }

    fn load(&self, source: &DataSource) -> Result<Box<dyn Dataset>, DataError> {
        Ok(Box::new(layout::load(source)?))
    }
}

impl Dataset for TextvqaData {
    fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    fn samples(&self) -> &[Sample] {
        &self.samples
    }

    fn prompt(&self, index: usize, style: PromptStyle) -> String {
        let question = self.samples.get(index).map_or("", |sample| sample.question.as_str());
        match style {
            PromptStyle::Paper => {
                let tokens = self.ocr.get(index).and_then(Option::as_deref).unwrap_or_default();
                paper_prompt(question, tokens)
            }
            PromptStyle::LmmsEval => format!("{}\n{INSTRUCTION}", python_text::capitalize(question)),
            PromptStyle::VlmEvalKit => format!("{question}\n{INSTRUCTION}"),
        }
    }

    fn can_ask(&self, style: PromptStyle) -> Result<(), DataError> {
        if style != PromptStyle::Paper || self.ocr.iter().all(Option::is_some) {
            return Ok(());
        }
        Err(DataError::NotFound {
            what: format!("OCR tokens for the paper's prompt (`{ROSETTA}` or `{LLAVA_QUESTIONS}`)"),
            searched: vec![self.folder.clone()],
            remedy: "put one of them there, or ask with `--prompt-style lmms-eval`, which is another protocol"
                .to_owned(),
        })
    }

    fn remarks(&self) -> Vec<String> {
        let without = self.ocr.iter().filter(|tokens| tokens.is_none()).count();
        match without {
            0 => vec!["every question has its OCR tokens, as the papers asked".to_owned()],
            some => vec![format!(
                "{some} questions have no OCR tokens: LLaVA-1.5-13B falls from 61.3 to 48.7 without them"
            )],
        }
    }

    fn locate(&self, prediction: &Prediction) -> Result<usize, Unlocated> {
        let id = match &prediction.key {
            PredictionKey::Sample(id) => id.clone(),
            PredictionKey::Question(id) => {
                if let Some(index) = self.by_number.get(id) {
                    return Ok(*index);
                }
                let prompt = prediction.prompt.as_deref().ok_or_else(|| {
                    Unlocated::Refused(format!(
                        "`{id}` names a picture; `prompt` must say which question was asked"
                    ))
                })?;
                let question = asked(prompt).ok_or_else(|| {
                    Unlocated::Refused(format!(
                        "no question can be read from `prompt`; two lines, or three with `{OCR_PREFIX}`, expected"
                    ))
                })?;
                sample_id(id, question)
            }
            PredictionKey::Row(row) => return at_row(&self.samples, *row, prediction.prompt.as_deref(), stripped),
            _ => return Err(Unlocated::other_way(prediction)),
        };
        self.by_id.get(&id).copied().ok_or(Unlocated::Unknown)
    }

    fn score(&self, answers: &[Option<String>], protocol: Protocol) -> Result<Score, DataError> {
        let normaliser = match protocol {
            Protocol::Paper | Protocol::Official | Protocol::LmmsEval => Normaliser::EvalAi,
            Protocol::VlmEvalKit => Normaliser::VlmEvalKit,
        };
        self.score_normalised(answers, normaliser)
    }

    fn normalisers(&self) -> &'static [Normaliser] {
        Normaliser::VQA
    }

    fn score_normalised(&self, answers: &[Option<String>], normaliser: Normaliser) -> Result<Score, DataError> {
        let references = self.references.as_ref().ok_or_else(|| DataError::NotFound {
            what: format!("the reference answers of TextVQA's split `{SPLIT}` (`{ANNOTATION}`)"),
            searched: vec![self.folder.clone()],
            remedy: format!("put `{ANNOTATION}` there; it comes from textvqa.org"),
        })?;
        let compared = references.compare(answers, Rule::of(normaliser))?;
        let accuracy = soft_accuracy::mean("accuracy", compared.outcomes.iter().copied());
        Ok(compared.score(vec![accuracy]))
    }
}

/// What the papers ask, with OCR tokens joined by `, `.
pub(crate) fn paper_prompt(question: &str, tokens: &str) -> String {
    let question = python_text::capitalize(question);
    format!("{question}\n{OCR_PREFIX}{tokens}\n{INSTRUCTION}")
}

/// `<image id>/<first 8 hex digits of SHA-256 of the lower-cased question>`
fn sample_id(image_id: &str, question: &str) -> String {
    let hash = format!("{:x}", Sha256::digest(question.to_lowercase()));
    format!("{image_id}/{}", hash.get(..8).unwrap_or_default())
}

/// The question that a prompt asks, as LLaVA's `eval_textvqa.py` reads it back from all forms of the prompt.
fn asked(prompt: &str) -> Option<&str> {
    if prompt.starts_with("OCR tokens: ") {
        let (_, question) = prompt.split_once("Question: ")?;
        return Some(question.split_once(" Short answer:")?.0);
    }
    let lines: Vec<&str> = prompt.split('\n').collect();
    match lines.as_slice() {
        [first, second, _] if prompt.contains(OCR_PREFIX) => Some(if first.starts_with(OCR_PREFIX.trim_end()) {
            second
        } else {
            first
        }),
        [first, _] => Some(first),
        _ => None,
    }
}
