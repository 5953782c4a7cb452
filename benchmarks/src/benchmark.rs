//! What every benchmark answers to.

use std::path::PathBuf;

use crate::error::DataError;
use crate::export::Export;
use crate::judge::{Judge, Judgement, Verdict};
use crate::matching::{Duplicates, Unlocated};
use crate::metric::Score;
use crate::prediction::Prediction;
use crate::sample::Sample;
use crate::source::DataSource;
use crate::task::{PromptStyle, Protocol, Task};
use crate::vqa_text::Normaliser;

/// A benchmark: what is fixed about it before any data are read.
pub trait Benchmark: Sync {
    /// Its id.
    fn task(&self) -> Task;
    /// One line for `list`: what it measures, and where that is published.
    fn about(&self) -> &'static str;
    /// The split behind the paper's number.
    fn default_split(&self) -> &'static str;
    /// How many questions that split has.
    fn default_size(&self) -> usize;
    /// The id of the metric that tables show.
    fn headline(&self) -> &'static str;
    /// How many tokens an answer may have (LLaVA's evaluation scripts).
    fn max_new_tokens(&self) -> usize;
    /// What to download, and into which folder, in one line.
    fn data_hint(&self) -> &'static str;
    /// Released data files that are known by their hash.
    fn known_files(&self) -> &'static [KnownFile] {
        &[]
    }
    /// Finds the data under `source`, recognises their layout and reads all but the pictures.
    fn load(&self, source: &DataSource) -> Result<Box<dyn Dataset>, DataError>;
    /// The releases of the questions and labels that differ in what they score, by name. Where there is one, every layout
    /// holds the same labels.
    fn releases(&self) -> &'static [&'static str];
    /// Every release of the questions and labels that lies under `source`, whatever its split and layout; the one that
    /// [`Benchmark::load`] takes may be among them. Empty where there is one release.
    fn versions(&self, _source: &DataSource) -> Result<Vec<Version>, DataError> {
        Ok(Vec::new())
    }
}

/// One release of a benchmark's labels, or why it cannot be read.
pub type Version = Result<Box<dyn Dataset>, DataError>;

/// A benchmark with its data.
pub trait Dataset: Send + Sync {
    /// What was found: layout, split, files.
    fn provenance(&self) -> &Provenance;
    /// The questions, in the order of the source.
    fn samples(&self) -> &[Sample];
    /// The text that goes with the picture of sample `index`, without conversation template or image marker.
    fn prompt(&self, index: usize, style: PromptStyle) -> String;
    /// Whether the data have what the questions need in that style, and if not, what is missing.
    fn can_ask(&self, _style: PromptStyle) -> Result<(), DataError> {
        Ok(())
    }
    /// The position of the sample that a prediction of somebody's file is about.
    fn locate(&self, prediction: &Prediction) -> Result<usize, Unlocated>;
    /// The positions of the samples that the predictions of a file without ids are about, in the order of the file;
    /// otherwise why that cannot be told.
    fn locate_in_order(&self, _predictions: &[Prediction]) -> Result<Vec<usize>, String> {
        Err("its lines have no ids, and the order of lines names questions of POPE only".to_owned())
    }
    /// What two lines about one sample mean in a file of another program.
    fn duplicates(&self) -> Duplicates {
        Duplicates::Refuse
    }
    /// What is particular about these data and what it means for the number, one line each.
    fn remarks(&self) -> Vec<String> {
        Vec::new()
    }
    /// Scores `answers`, one entry a sample in dataset order, `None` where there is no answer. A pure function.
    fn score(&self, answers: &[Option<String>], protocol: Protocol) -> Result<Score, DataError>;
    /// The forms into which other scorers put the texts that they compare; empty where no texts are compared.
    fn normalisers(&self) -> &'static [Normaliser] {
        &[]
    }
    /// Scores `answers` with this form on both sides and nothing else done to them.
    ///
    /// # Errors
    ///
    /// As [`Dataset::score`]; a benchmark that compares no texts.
    fn score_normalised(&self, _answers: &[Option<String>], _normaliser: Normaliser) -> Result<Score, DataError> {
        Err(DataError::Mismatch(
            "answers of this benchmark are not compared as texts".to_owned(),
        ))
    }
    /// What a judge is asked about `answer` to sample `index`; `None` where a rule of the protocol reads the answer.
    ///
    /// # Errors
    ///
    /// A benchmark that needs no judge, and data without what the judge must be told.
    fn judgement(&self, _index: usize, _answer: &str) -> Result<Option<Box<dyn Judgement>>, DataError> {
        Err(DataError::Mismatch(
            "this benchmark is scored without a judge; `vila-bench score` needs the answers only".to_owned(),
        ))
    }
    /// What a rule of ours makes of `answer` to sample `index`, where a judge is needed and none is at hand.
    ///
    /// # Errors
    ///
    /// A benchmark that has no such rule, and data without references.
    fn rule_verdict(&self, _index: usize, _answer: &str) -> Result<Verdict, DataError> {
        Err(DataError::Mismatch(
            "no rule grades this benchmark; name a judge's server with --judge".to_owned(),
        ))
    }
    /// The file of these verdicts that `--grades` takes: for each sample its answer and what `judge` said of it, one
    /// entry a run. A sample without verdict is left out.
    fn grade_file(&self, _judge: &str, _judged: &[Option<(String, Vec<Verdict>)>]) -> Result<Vec<u8>, DataError> {
        Err(DataError::Mismatch("this benchmark has no grade file".to_owned()))
    }
    /// Who gave the grades that came with the data; `None` where none did.
    fn judge(&self) -> Option<Judge> {
        None
    }
    /// What the organisers' server or tool takes of `answers`, one entry a sample in dataset order.
    ///
    /// # Errors
    ///
    /// A benchmark or split without a submission format, and answers that are missing where the format needs all.
    fn export(&self, _answers: &[Option<String>]) -> Result<Export, DataError> {
        Err(DataError::Mismatch(
            "this benchmark has no submission format; it is scored here, and `--format llava` writes LLaVA's answer \
             file"
                .to_owned(),
        ))
    }
}

/// A released file, known by its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownFile {
    /// The first 16 hexadecimal digits of its SHA-256.
    pub sha256: &'static str,
    /// Which release it is.
    pub what: &'static str,
}

/// A file that was read, as the manifest records it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

/// What a dataset was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// The layout that was recognised, in words: "LLaVA playground/data/eval".
    pub layout: &'static str,
    /// The split, for instance `coco-8910`.
    pub split: String,
    /// The files that hold questions and labels.
    pub files: Vec<SourceFile>,
    /// Where pictures were looked for, in that order.
    pub picture_folders: Vec<PathBuf>,
}
