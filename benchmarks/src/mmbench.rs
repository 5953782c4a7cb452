//! MMBench: multiple-choice questions on about twenty abilities, asked once for each rotation of their options.
//!
//! Liu et al. 2023, arXiv 2307.06281. Splits: `dev` and `test` of 2023-07-12 (4,377 and 6,718 rows; LLaVA-1.5 and VILA
//! report `dev`), the later `dev-en` and `test-en` (4,329 and 6,666 rows), the same in Chinese, `dev-cn` and `test-cn`, and
//! `cc`, about Chinese culture (2,040 rows). The labels of the test splits are hidden.
//! The number in tables is 100 times the share of questions whose every rotation is answered rightly.
//!
//! Layouts, where each is looked for and how it is read: [`layout`], [`tsv`], [`parquet_files`], [`workbook`]. Parsing:
//! [`infer`]. Metrics: [`score`].
//!
//! Metrics: `accuracy`, circular; `accuracy/vanilla-base` and `accuracy/vanilla-all`, each row on its own, over the
//! first rotations and over all; `ability/<l2-category>` and `category/<category>`, circular, where the layout has
//! them; `rule-matched`, the share of answers from which a rule reads a letter. An answer from which none does is wrong
//! under `vlmevalkit` (its exact matching). The others take the letter that a judge found in it ([`matcher`]), where a
//! file of such matches is given ([`matches`]). Without one it is wrong under `paper`; `official` and `lmms-eval` would
//! ask, so that metrics over it have bounds and no value.

mod export;
#[cfg(test)]
mod fixture;
mod infer;
mod layout;
#[cfg(test)]
mod layout_tests;
mod matcher;
mod matches;
mod parquet_files;
#[cfg(test)]
mod published_tests;
mod score;
mod split;
mod tsv;
mod workbook;

use std::collections::HashMap;

use crate::benchmark::{Benchmark, Dataset, KnownFile, Provenance, Version};
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
use matcher::Matching;
use matches::Matches;
use split::{Language, Split};

/// The last line of LLaVA's and lmms-eval's prompts.
const INSTRUCTION: &str = "Answer with the option's letter from the given choices directly.";

/// The same of LLaVA's prompts in Chinese; the rest of a prompt is what the data are written in.
const LLAVA_CHINESE: &str = "请直接回答选项字母。";

/// The same of lmms-eval's prompts in Chinese, which say `There are several options:` all the same.
const LMMS_EVAL_CHINESE: &str = "请直接使用所提供的选项字母作为答案回答。";

/// The last line of VLMEvalKit's prompt, a space before its end.
const KIT_INSTRUCTION: &str = "Please select the correct answer from the options above. \n";

/// A row's index is its question's number plus this for each rotation.
const ROTATION: u64 = 1_000_000;

/// How many rows `dev` has.
const DEV_ROWS: usize = 4377;

/// Released files that are known by their hash (section 10 of the page).
const KNOWN_FILES: &[KnownFile] = &[KnownFile {
    sha256: "84567efa0a91265f",
    what: "LLaVA-1.5-13B's upload for `mmbench_dev_20230712`, 4,377 rows",
}];

/// The benchmark.
#[derive(Debug)]
pub struct MmBench;

/// What an answer is read as: an option, or one of the two letters that stand for none in the organisers' rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Letter {
    A,
    B,
    C,
    D,
    E,
    Z,
}

/// MMBench with its data. `questions` and `samples` run side by side.
#[derive(Debug)]
struct MmBenchData {
    provenance: Provenance,
    split: Split,
    samples: Vec<Sample>,
    questions: Vec<Question>,
    by_id: HashMap<String, usize>,
    matches: Option<Matches>,
}

/// A row as prompt and scorer need it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Question {
    /// Whether it is the first rotation.
    base: bool,
    hint: Option<String>,
    /// The texts of A, B, …
    options: Vec<String>,
    /// `None` where labels are hidden.
    answer: Option<Letter>,
    /// The organisers' L2 group, where the layout has it.
    ability: Option<String>,
}

impl Letter {
    /// Those that an option can have.
    const OPTIONS: [Self; 4] = [Self::A, Self::B, Self::C, Self::D];

    const fn id(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
            Self::D => "D",
            Self::E => "E",
            Self::Z => "Z",
        }
    }
}

impl Benchmark for MmBench {
    fn task(&self) -> Task {
        Task::Mmbench
    }

    fn about(&self) -> &'static str {
        "multiple choice with rotated options (Liu et al. 2023, arXiv 2307.06281)"
    }

    fn default_split(&self) -> &'static str {
        "dev"
    }

    fn default_size(&self) -> usize {
        DEV_ROWS
    }

    fn headline(&self) -> &'static str {
        "accuracy"
    }

    fn max_new_tokens(&self) -> usize {
        1024
    }

    fn data_hint(&self) -> &'static str {
        "put the organisers' `mmbench_dev_20230712.tsv` in ROOT/mmbench; it holds the pictures too"
    }

    fn known_files(&self) -> &'static [KnownFile] {
        KNOWN_FILES
    }

    fn releases(&self) -> &'static [&'static str] {
        &["2023-07-12", "the later `MMBench_DEV_EN`", "V1.1"]
    }

    fn load(&self, source: &DataSource) -> Result<Box<dyn Dataset>, DataError> {
        let mut data = layout::load(source)?;
        if let Some(path) = &source.grades {
            let (matches, file) = Matches::read(path, &data.by_id, &data.questions)?;
            data.provenance.files.push(file);
            data.matches = Some(matches);
        }
        Ok(Box::new(data))
    }

    fn versions(&self, source: &DataSource) -> Result<Vec<Version>, DataError> {
        layout::versions(source)
    }
}

impl Dataset for MmBenchData {
    fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    fn samples(&self) -> &[Sample] {
        &self.samples
    }

    fn prompt(&self, index: usize, style: PromptStyle) -> String {
        match (self.samples.get(index), self.questions.get(index)) {
            (Some(sample), Some(question)) => question.prompt(&sample.question, style, self.split.language()),
            _ => String::new(),
        }
    }

    fn remarks(&self) -> Vec<String> {
        let rows = self.samples.len();
        vec![match (self.split, rows) {
            (Split::Dev, DEV_ROWS) => "4,377 rows, the file of 2023-07-12, as in the papers".to_owned(),
            (Split::DevCn | Split::TestCn | Split::Cc, _) => {
                format!("{rows} rows in Chinese; the papers' MMBench is the English `dev` of 2023-07-12, 4,377 rows")
            }
            _ => format!("{rows} rows; the papers' file of 2023-07-12 has 4,377, later ones 4,329"),
        }]
    }

    fn locate(&self, prediction: &Prediction) -> Result<usize, Unlocated> {
        let index = match &prediction.key {
            PredictionKey::Sample(id) => return self.by_id.get(id).copied().ok_or(Unlocated::Unknown),
            PredictionKey::Question(id) => *self.by_id.get(id).ok_or(Unlocated::Unknown)?,
            PredictionKey::Index(id) => {
                let index = *self.by_id.get(id).ok_or(Unlocated::Unknown)?;
                return self.same_question(index, prediction);
            }
            PredictionKey::Row(row) => at_row(&self.samples, *row, prediction.prompt.as_deref(), stripped)?,
            _ => return Err(Unlocated::other_way(prediction)),
        };
        let asked = match (&prediction.prompt, self.samples.get(index), self.questions.get(index)) {
            (Some(prompt), Some(sample), Some(question)) => {
                prompt.contains(python_text::strip(&sample.question)) && prompt.contains(&question.listed())
            }
            _ => true,
        };
        if asked {
            return Ok(index);
        }
        Err(Unlocated::Refused(format!(
            "`prompt` does not ask question {} of split `{}` with its options; give the data that were asked",
            self.samples.get(index).map_or("", |sample| sample.id.as_str()),
            self.provenance.split,
        )))
    }

    /// As in LLaVA's converter, which writes each prediction into its row.
    fn duplicates(&self) -> Duplicates {
        Duplicates::LastWins
    }

    fn score(&self, answers: &[Option<String>], protocol: Protocol) -> Result<Score, DataError> {
        score::score(self, answers, protocol)
    }

    fn judgement(&self, index: usize, answer: &str) -> Result<Option<Box<dyn Judgement>>, DataError> {
        let (Some(sample), Some(question)) = (self.samples.get(index), self.questions.get(index)) else {
            return Ok(None);
        };
        if infer::early(answer, &question.options).is_some() {
            return Ok(None);
        }
        Ok(Some(Box::new(Matching::new(question, &sample.question, answer))))
    }

    fn grade_file(&self, judge: &str, judged: &[Option<(String, Vec<Verdict>)>]) -> Result<Vec<u8>, DataError> {
        matches::file(&self.samples, judge, judged)
    }

    fn judge(&self) -> Option<Judge> {
        self.matches.as_ref()?.judge()
    }

    fn export(&self, answers: &[Option<String>]) -> Result<Export, DataError> {
        export::sheet(self, answers)
    }
}

impl MmBenchData {
    /// A table of predictions has the question without hint and options; workbooks change the white space in it.
    fn same_question(&self, index: usize, prediction: &Prediction) -> Result<usize, Unlocated> {
        let question = self.samples.get(index).map_or("", |sample| sample.question.as_str());
        match &prediction.prompt {
            Some(asked) if !asked.split_whitespace().eq(question.split_whitespace()) => {
                Err(Unlocated::Refused(format!(
                    "`question` is `{}`, question {} of split `{}` is `{}`; give the data that were asked",
                    asked.lines().next().unwrap_or_default(),
                    prediction.key,
                    self.provenance.split,
                    question.lines().next().unwrap_or_default(),
                )))
            }
            _ => Ok(index),
        }
    }
}

impl Question {
    fn prompt(&self, question: &str, style: PromptStyle, language: Language) -> String {
        let listed = self.listed();
        let hint = self.hint.as_deref();
        let instruction = |chinese| match language {
            Language::English => INSTRUCTION,
            Language::Chinese => chinese,
        };
        match style {
            PromptStyle::Paper => {
                let hint = hint.map(|hint| format!("{hint}\n")).unwrap_or_default();
                format!("{hint}{question}\n{listed}\n{}", instruction(LLAVA_CHINESE))
            }
            PromptStyle::LmmsEval => {
                let hint = hint.map(|hint| format!("{hint} ")).unwrap_or_default();
                let instruction = instruction(LMMS_EVAL_CHINESE);
                format!("{hint}{question} There are several options:\n{listed}\n\n{instruction}")
            }
            PromptStyle::VlmEvalKit => {
                let hint = hint.map(|hint| format!("Hint: {hint}\n")).unwrap_or_default();
                format!("{hint}Question: {question}\nOptions:\n{listed}\n{KIT_INSTRUCTION}")
            }
        }
    }

    /// The letters of its options.
    fn offered(&self) -> &'static [Letter] {
        const OFFERED: &[Letter] = &Letter::OPTIONS;
        OFFERED.get(..self.options.len()).unwrap_or(OFFERED)
    }

    /// The options, one a line: `A. mug`.
    fn listed(&self) -> String {
        let letters = Letter::OPTIONS.iter().zip(&self.options);
        let lines: Vec<String> = letters
            .map(|(letter, option)| format!("{}. {option}", letter.id()))
            .collect();
        lines.join("\n")
    }
}

/// What the papers ask in English, of a question without hint.
pub(crate) fn paper_prompt(question: &str, options: &[&str]) -> String {
    let asked = Question {
        base: true,
        hint: None,
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        answer: None,
        ability: None,
    };
    asked.prompt(question, PromptStyle::Paper, Language::English)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_each_ones_own() {
        let mut question = Question {
            base: true,
            hint: Some("It is\nMonday.".to_owned()),
            options: vec!["mug".to_owned(), "two\nlines".to_owned()],
            answer: None,
            ability: None,
        };
        let asked = |question: &Question, style| question.prompt("What?", style, Language::English);
        let options = "A. mug\nB. two\nlines";
        let cases = [
            (
                PromptStyle::Paper,
                format!("It is\nMonday.\nWhat?\n{options}\n{INSTRUCTION}"),
                format!("What?\n{options}\n{INSTRUCTION}"),
            ),
            (
                PromptStyle::LmmsEval,
                format!("It is\nMonday. What? There are several options:\n{options}\n\n{INSTRUCTION}"),
                format!("What? There are several options:\n{options}\n\n{INSTRUCTION}"),
            ),
            (
                PromptStyle::VlmEvalKit,
                format!(
                    "Hint: It is\nMonday.\nQuestion: What?\nOptions:\n{options}\nPlease select the correct answer from \
                     the options above. \n"
                ),
                format!(
                    "Question: What?\nOptions:\n{options}\nPlease select the correct answer from the options above. \n"
                ),
            ),
        ];
        for (style, with_hint, _) in &cases {
            assert_eq!(asked(&question, *style), *with_hint);
        }
        question.hint = None;
        for (style, _, without) in &cases {
            assert_eq!(asked(&question, *style), *without);
        }
        let last_lines = ["请直接回答选项字母。", "请直接使用所提供的选项字母作为答案回答。"];
        for ((style, _, without), last) in cases.iter().zip(last_lines) {
            let asked = question.prompt("What?", *style, Language::Chinese);
            assert_eq!(asked, without.replace(INSTRUCTION, last));
        }
        let (kit, _, without) = &cases[2];
        assert_eq!(question.prompt("What?", *kit, Language::Chinese), *without);
    }
}
