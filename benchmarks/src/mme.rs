//! MME: fourteen subtasks of yes/no questions, two about each picture.
//!
//! Fu et al. 2023, arXiv 2306.13394. Of the two questions about a picture the first is to be answered yes, the
//! second no. Split `all` is the whole release, 2,374 questions about 1,187 pictures; copies in which landmark
//! pictures are missing are `all-2370`, `all-2372`: their numbers differ. The number in tables is the perception
//! total, the sum over ten subtasks of accuracy and accuracy-plus (both questions of a picture right), each in per
//! cent; cognition is the same over the other four.
//!
//! Layouts, where each is looked for and how it is read: [`layout`]. The release's own files: [`truth`]. Parsing:
//! [`parse`]. Metrics, the same under every protocol: [`score`].

mod export;
#[cfg(test)]
mod fixture;
mod layout;
#[cfg(test)]
mod layout_tests;
mod parquet_files;
mod parse;
#[cfg(test)]
mod published_tests;
mod score;
mod subtask;
mod truth;
mod tsv_file;

use std::collections::HashMap;
use std::path::PathBuf;

use crate::benchmark::{Benchmark, Dataset, KnownFile, Provenance, Version};
use crate::error::DataError;
use crate::export::Export;
use crate::matching::{Unlocated, at_row};
use crate::metric::Score;
use crate::prediction::{Prediction, PredictionKey};
use crate::python_text;
use crate::sample::Sample;
use crate::source::DataSource;
use crate::task::{PromptStyle, Protocol, Task};

pub use subtask::Subtask;

/// What LLaVA and lmms-eval ask for after a newline.
const SUFFIX: &str = "Answer the question using a single word or phrase.";

/// What the release's questions end in, mostly after one space, in seven of them after two.
const RELEASE_SUFFIX: &str = "Please answer yes or no.";

/// How many questions the release has.
const ALL: usize = 2374;

/// Released files that are known by their hash (section 10 of the page).
const KNOWN_FILES: &[KnownFile] = &[
    KnownFile {
        sha256: "9f67707cb72d2a71",
        what: "LLaVA's question file, 2,374 questions",
    },
    tool("97a799f2ee295f3a"),
    tool("7aa71c678ccce1b7"),
    tool("a787ef71cdde4753"),
    tool("a46fd12b1211ece5"),
    tool("2c218a08e0d18b71"),
    tool("3fceadba7907a1ff"),
    tool("8e885f2e42abcae6"),
    tool("e17ea92527bdacd3"),
    tool("56299c035d72ad18"),
    tool("7d82c252b4e64365"),
    tool("0386f6b2a8ff27f2"),
    tool("2565d73d220e4a70"),
    tool("244f927035255a35"),
    tool("f4ab96b3f3bd1f44"),
];

/// One of the fourteen files of right answers.
const fn tool(sha256: &'static str) -> KnownFile {
    KnownFile {
        sha256,
        what: "`Your_Results` of MME's evaluation tool",
    }
}

/// The benchmark.
#[derive(Debug)]
pub struct Mme;

/// MME with its data. `questions` and `samples` run side by side.
#[derive(Debug)]
struct MmeData {
    provenance: Provenance,
    samples: Vec<Sample>,
    questions: Vec<Question>,
    by_id: HashMap<String, usize>,
    /// The two questions about a picture by `<subtask>/<file>`.
    by_picture: HashMap<String, [usize; 2]>,
    /// Where labels were looked for in vain.
    unlabelled: Option<Vec<PathBuf>>,
}

/// What the scorer needs of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Question {
    subtask: Subtask,
    /// Equal for the two questions about a picture.
    pair: usize,
    /// Whether the right answer is yes, `None` where the data do not say.
    positive: Option<bool>,
}

impl Benchmark for Mme {
    fn task(&self) -> Task {
        Task::Mme
    }

    fn about(&self) -> &'static str {
        "perception and cognition, yes/no pairs (Fu et al. 2023, arXiv 2306.13394)"
    }

    fn default_split(&self) -> &'static str {
        "all"
    }

    fn default_size(&self) -> usize {
        ALL
    }

    fn headline(&self) -> &'static str {
        "perception"
    }

    fn max_new_tokens(&self) -> usize {
        128
    }

    fn data_hint(&self) -> &'static str {
        "unpack MME's release to ROOT/MME/MME_Benchmark_release_version and, for LLaVA's order, its `eval.zip` to ROOT"
    }

    fn known_files(&self) -> &'static [KnownFile] {
        KNOWN_FILES
    }

    fn releases(&self) -> &'static [&'static str] {
        &["the release", "copies without two landmark pictures"]
    }

    fn load(&self, source: &DataSource) -> Result<Box<dyn Dataset>, DataError> {
        Ok(Box::new(layout::load(source)?))
    }

    fn versions(&self, source: &DataSource) -> Result<Vec<Version>, DataError> {
        layout::versions(source)
    }
}

impl Dataset for MmeData {
    fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    fn samples(&self) -> &[Sample] {
        &self.samples
    }

    fn prompt(&self, index: usize, style: PromptStyle) -> String {
        let question = self.samples.get(index).map_or("", |sample| sample.question.as_str());
        match style {
            PromptStyle::Paper => paper_prompt(question),
            // The second of two spaces stays, as in lmms-eval.
            PromptStyle::LmmsEval => {
                let kept = python_text::strip(question).replace(&format!(" {RELEASE_SUFFIX}"), "");
                format!("{kept}\n{SUFFIX}")
            }
            PromptStyle::VlmEvalKit => question.to_owned(),
        }
    }

    fn remarks(&self) -> Vec<String> {
        let landmark = self
            .samples
            .iter()
            .filter(|sample| sample.category.as_deref() == Some("landmark"))
            .count();
        match landmark {
            400 => vec!["landmark has 400 questions, as in the papers".to_owned()],
            some => vec![format!(
                "landmark has {some} of 400 questions: perception differs by up to about half a point (LLaVA-1.5-13B \
                 has 1531.8 with 396 and 1531.3 with all)"
            )],
        }
    }

    fn locate(&self, prediction: &Prediction) -> Result<usize, Unlocated> {
        match &prediction.key {
            PredictionKey::Sample(id) => self.by_id.get(id).copied().ok_or(Unlocated::Unknown),
            PredictionKey::Question(id) | PredictionKey::Picture(id) => {
                self.by_question_id(id, prediction.prompt.as_deref())
            }
            PredictionKey::Row(row) => at_row(&self.samples, *row, prediction.prompt.as_deref(), bare),
            _ => Err(Unlocated::other_way(prediction)),
        }
    }

    fn score(&self, answers: &[Option<String>], protocol: Protocol) -> Result<Score, DataError> {
        self.need_labels()?;
        score::score(&self.samples, &self.questions, answers, protocol)
    }

    fn export(&self, answers: &[Option<String>]) -> Result<Export, DataError> {
        self.need_labels()?;
        export::results(self, answers)
    }
}

impl MmeData {
    fn need_labels(&self) -> Result<(), DataError> {
        match &self.unlabelled {
            Some(searched) => Err(DataError::NotFound {
                what: "MME's right answers".to_owned(),
                searched: searched.clone(),
                remedy: "put the release's `MME_Benchmark_release_version` or the `eval_tool` of its evaluation zip \
                         beside LLaVA's questions"
                    .to_owned(),
            }),
            None => Ok(()),
        }
    }

    /// A question id names a picture; which of its two questions was asked, the prompt tells.
    fn by_question_id(&self, id: &str, prompt: Option<&str>) -> Result<usize, Unlocated> {
        let key = picture_key(id).ok_or(Unlocated::Unknown)?;
        let pair = self.by_picture.get(&key).or_else(|| self.by_text_file(&key));
        let pair = pair.ok_or(Unlocated::Unknown)?;
        let Some(prompt) = prompt else {
            return Err(Unlocated::Refused(format!(
                "`{id}` names two questions, and there is no `prompt` to tell which one was asked; give answers with \
                 `prompt`, or our sample ids"
            )));
        };
        let asked = bare(prompt);
        let question = |index: usize| bare(self.samples.get(index).map_or("", |sample| sample.question.as_str()));
        let same = pair.iter().copied().find(|index| question(*index) == asked);
        let within = || {
            let mut found = pair.iter().copied().filter(|index| asked.contains(&question(*index)));
            found.next().filter(|_| found.next().is_none())
        };
        same.or_else(within).ok_or_else(|| {
            let [first, second] = pair.map(question);
            Unlocated::Refused(format!(
                "`prompt` asks `{}`, the questions about `{key}` are `{first}` and `{second}`; give the data that \
                 were asked",
                asked.lines().next().unwrap_or_default(),
            ))
        })
    }

    /// LLaVA's converter names a picture by its text file, `<subtask>/<file to its first dot>.txt`.
    fn by_text_file(&self, key: &str) -> Option<&[usize; 2]> {
        let (subtask, file) = key.strip_suffix(".txt")?.split_once('/')?;
        let mut pictures = self.by_picture.iter();
        let found = pictures.find(|(picture, _)| {
            let picture = picture.split_once('/');
            picture.is_some_and(|(of, picture)| of == subtask && truth::text_stem(picture) == file)
        });
        found.map(|(_, pair)| pair)
    }
}

/// What the papers ask, of a question with or without the release's last sentence.
pub(crate) fn paper_prompt(question: &str) -> String {
    format!("{}\n{SUFFIX}", bare(question))
}

/// A question without what any prompt or file appends to it.
fn bare(question: &str) -> String {
    python_text::strip(&question.replace(SUFFIX, "").replace(RELEASE_SUFFIX, "")).to_owned()
}

/// `<subtask>/<file>` of a path such as `artwork/images/10002.jpg`.
fn picture_key(path: &str) -> Option<String> {
    let (subtask, file) = (path.split('/').next()?, path.rsplit('/').next()?);
    Some(format!("{}/{file}", Subtask::parse(subtask).ok()?.id()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pictures_are_named_by_subtask_and_file() {
        let cases = [
            ("color/900001.jpg", Some("color/900001.jpg")),
            ("artwork/images/10002.jpg", Some("artwork/10002.jpg")),
            ("OCR/0001.v2.jpg", Some("OCR/0001.v2.jpg")),
            ("ocr/0001.jpg", None),
            ("0001.jpg", None),
            ("", None),
        ];
        for (path, expected) in cases {
            assert_eq!(picture_key(path).as_deref(), expected, "{path}");
        }
    }

    proptest! {
        #[test]
        fn a_question_is_known_in_every_wording(question in "[A-Z][a-z ]*[a-z]\\??", spaces in 1_usize..3) {
            let release = format!("{question}{}{RELEASE_SUFFIX}", " ".repeat(spaces));
            prop_assert_eq!(bare(&release), question.clone());
            prop_assert_eq!(bare(&format!("{question}\n{SUFFIX}")), question);
        }

        #[test]
        fn no_id_makes_it_panic(id: String) {
            let _ = picture_key(&id);
        }
    }
}
