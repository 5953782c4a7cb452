//! POPE: object hallucination, yes/no questions about 500 COCO val2014 pictures.
//!
//! Li et al. 2023, arXiv 2305.10355. Three categories differ in how the objects that are not there were picked;
//! half of the questions of each are to be answered yes. Splits: `coco-8910`, the labels of AoiDragon/POPE at
//! e3e39262 that LLaVA and VILA were scored with (2,910 random questions, 3,000 popular, 3,000 adversarial), and
//! `coco-9000`, the labels since 2023-10-09. The number in tables is 100 times the plain mean of the three F1.
//!
//! Layouts, where each is looked for and how it is read: [`layout`]. Parsing: [`parse`]. Metrics: [`score`].
//!
//! Metrics, with the same meaning under every protocol: `f1` and `accuracy`, means over the three categories;
//! `<category>/accuracy`, `/precision`, `/recall`, `/f1` and `/yes-ratio` of predictions, for each category and
//! `pooled`. What a harness prints itself comes last and under its own protocol only; all of it is pooled, and 0
//! where it is undefined:
//!
//! - `lmms-eval/accuracy`, `/precision`, `/recall`, `/f1` and `/yes-ratio`, which is that of the **labels**;
//! - `vlmevalkit/f1`, its column `Overall`, and `vlmevalkit/accuracy`, its column `acc`.

#[cfg(test)]
mod fixture;
mod label_files;
mod layout;
#[cfg(test)]
mod layout_tests;
mod parquet_files;
mod parse;
#[cfg(test)]
mod published_tests;
mod score;
mod tsv_file;

use std::collections::HashMap;

use crate::benchmark::{Benchmark, Dataset, KnownFile, Provenance, Version};
use crate::error::DataError;
use crate::matching::{Unlocated, at_row};
use crate::metric::Score;
use crate::prediction::{Prediction, PredictionKey};
use crate::python_text;
use crate::sample::Sample;
use crate::source::DataSource;
use crate::task::{PromptStyle, Protocol, Task};

/// What LLaVA's question file and lmms-eval append to a question.
const PROMPT_SUFFIX: &str = "\nAnswer the question using a single word or phrase.";

/// How many random questions the labels have that LLaVA's ids belong to (AoiDragon/POPE at e3e39262).
const RANDOM_2023_05: usize = 2910;

/// How many random questions the labels since 2023-10-09 have.
const RANDOM_2023_10: usize = 3000;

/// How many questions the other two categories have in both.
const OTHER: usize = 3000;

/// The benchmark.
#[derive(Debug)]
pub struct Pope;

/// How the objects that are not in the picture were picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Category {
    Random,
    Popular,
    Adversarial,
}

/// The files behind the papers' numbers (`pope.md` section 10).
const KNOWN_FILES: &[KnownFile] = &[
    KnownFile {
        sha256: "1d3b41f0dced74b4",
        what: "LLaVA's question file, 8,910 questions",
    },
    KnownFile {
        sha256: "c16b65d2df6d70bb",
        what: "labels of AoiDragon/POPE e3e39262, random, 2,910 rows",
    },
    KnownFile {
        sha256: "5b16653023bf4f64",
        what: "labels of AoiDragon/POPE e3e39262, popular",
    },
    KnownFile {
        sha256: "1d8f0906a9b50c05",
        what: "labels of AoiDragon/POPE e3e39262, adversarial",
    },
];

/// POPE with its data. `questions` and `samples` run side by side.
#[derive(Debug)]
struct PopeData {
    provenance: Provenance,
    ids: QuestionIds,
    samples: Vec<Sample>,
    questions: Vec<Question>,
    by_id: HashMap<String, usize>,
}

/// What the scorer needs of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Question {
    category: Category,
    /// Whether the right answer is yes.
    positive: bool,
}

/// What question ids of LLaVA's kind mean to a dataset.
#[derive(Debug)]
enum QuestionIds {
    /// The data have LLaVA's ids.
    Own(HashMap<String, usize>),
    /// The data number each category from 1: samples by category and position.
    Restarting([Vec<usize>; 3]),
}

impl Category {
    /// In the order of the papers' tables.
    const ALL: [Self; 3] = [Self::Random, Self::Popular, Self::Adversarial];

    const fn id(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Popular => "popular",
            Self::Adversarial => "adversarial",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|category| category.id() == text)
    }
}

impl Benchmark for Pope {
    fn task(&self) -> Task {
        Task::Pope
    }

    fn about(&self) -> &'static str {
        "object hallucination, yes/no (Li et al. 2023, arXiv 2305.10355)"
    }

    fn default_split(&self) -> &'static str {
        "coco-8910"
    }

    fn default_size(&self) -> usize {
        RANDOM_2023_05 + 2 * OTHER
    }

    fn headline(&self) -> &'static str {
        "f1"
    }

    fn max_new_tokens(&self) -> usize {
        128
    }

    fn data_hint(&self) -> &'static str {
        "unpack LLaVA's `eval.zip` and COCO's `val2014` pictures to ROOT/pope (ROOT/pope/val2014/COCO_val2014_*.jpg)"
    }

    fn known_files(&self) -> &'static [KnownFile] {
        KNOWN_FILES
    }

    fn releases(&self) -> &'static [&'static str] {
        &["AoiDragon/POPE e3e39262", "its labels since 2023-10-09"]
    }

    fn load(&self, source: &DataSource) -> Result<Box<dyn Dataset>, DataError> {
        Ok(Box::new(layout::load(source)?))
    }

    fn versions(&self, source: &DataSource) -> Result<Vec<Version>, DataError> {
        layout::versions(source)
    }
}

impl Dataset for PopeData {
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
            PromptStyle::LmmsEval => format!("{}{PROMPT_SUFFIX}", python_text::strip(question)),
            PromptStyle::VlmEvalKit => question.to_owned(),
        }
    }

    fn locate(&self, prediction: &Prediction) -> Result<usize, Unlocated> {
        let index = match &prediction.key {
            PredictionKey::Sample(id) => return self.by_id.get(id).copied().ok_or(Unlocated::Unknown),
            PredictionKey::Question(id) => self.by_question_id(id)?,
            PredictionKey::Row(row) => return at_row(&self.samples, *row, prediction.prompt.as_deref(), repaired),
            _ => return Err(Unlocated::other_way(prediction)),
        };
        let question = self.samples.get(index).map_or("", |sample| sample.question.as_str());
        match &prediction.prompt {
            Some(prompt) if !repaired(prompt).contains(&repaired(question)) => Err(Unlocated::Refused(format!(
                "`prompt` asks `{}`, question {} of the data is `{question}`; ids that start at 1 in each category \
                 do not name a question, LLaVA's ids do",
                prompt.lines().next().unwrap_or_default(),
                prediction.key,
            ))),
            _ => Ok(index),
        }
    }

    /// All questions in the order of the data, or those of one category, which POPE's own evaluation takes one by
    /// one. Most questions stand in two categories or three: the whole file tells which one it is.
    fn locate_in_order(&self, predictions: &[Prediction]) -> Result<Vec<usize>, String> {
        let asked: Vec<String> = predictions
            .iter()
            .map(|prediction| repaired(prediction.prompt.as_deref().unwrap_or_default()).to_lowercase())
            .collect();
        let of = |category: Category| {
            let questions = self.questions.iter().enumerate();
            let of_category = questions.filter(move |(_, question)| question.category == category);
            of_category.map(|(index, _)| index).collect::<Vec<_>>()
        };
        let orders = std::iter::once((0..self.samples.len()).collect()).chain(Category::ALL.map(of));
        let mut fitting = orders.filter(|order: &Vec<usize>| {
            let samples = order.iter().filter_map(|index| self.samples.get(*index));
            samples
                .map(|sample| repaired(&sample.question).to_lowercase())
                .eq(asked.iter().cloned())
        });
        match (fitting.next(), fitting.next()) {
            (Some(order), None) => Ok(order),
            (None, _) => Err(format!(
                "its {} questions are neither those of one category of split `{}` nor all of them, in that order; \
                 lines without ids must be whole and in the order of the labels",
                asked.len(),
                self.provenance.split,
            )),
            (Some(_), Some(_)) => Err("its questions are those of two categories; give answers with ids".to_owned()),
        }
    }

    fn remarks(&self) -> Vec<String> {
        let random = self
            .questions
            .iter()
            .filter(|question| question.category == Category::Random)
            .count();
        let misspelt = self
            .samples
            .iter()
            .filter(|sample| sample.question.contains("imange"))
            .count();
        let rows = match random {
            RANDOM_2023_05 => "random has 2,910 questions, as in the papers".to_owned(),
            RANDOM_2023_10 => "random has 3,000 questions (POPE since 2023-10-09); the papers asked 2,910".to_owned(),
            other => {
                return vec![format!(
                    "random has {other} questions: no release of POPE, comparable with no paper"
                )];
            }
        };
        let spelling = match misspelt {
            0 => "no question says `imange`; 246 of the papers' do".to_owned(),
            some => format!("{some} questions say `imange` for image; prompts keep it, as the papers' did"),
        };
        vec![rows, spelling]
    }

    fn score(&self, answers: &[Option<String>], protocol: Protocol) -> Result<Score, DataError> {
        score::score(&self.questions, answers, protocol)
    }
}

impl PopeData {
    fn by_question_id(&self, id: &str) -> Result<usize, Unlocated> {
        let positions = match &self.ids {
            QuestionIds::Own(indices) => return indices.get(id).copied().ok_or(Unlocated::Unknown),
            QuestionIds::Restarting(positions) => positions,
        };
        let (category, position) = llava_number(id).ok_or(Unlocated::Unknown)?;
        let [random, popular, adversarial] = positions;
        if [random.len(), popular.len(), adversarial.len()] != [RANDOM_2023_05, OTHER, OTHER] {
            return Err(Unlocated::Refused(format!(
                "question id {id} belongs to LLaVA's {RANDOM_2023_05} + {OTHER} + {OTHER} questions or starts at 1 in \
                 each category, and these data have {} + {} + {}; give the data that were asked, or our sample ids",
                random.len(),
                popular.len(),
                adversarial.len(),
            )));
        }
        let positions = match category {
            Category::Random => random,
            Category::Popular => popular,
            Category::Adversarial => adversarial,
        };
        positions.get(position).copied().ok_or(Unlocated::Unknown)
    }
}

/// What LLaVA's question file numbers so: from 1 adversarial, from 10000001 random, from 20000001 popular. The
/// position counts from 0.
fn llava_number(id: &str) -> Option<(Category, usize)> {
    let number: usize = id.parse().ok()?;
    let (category, position) = match number / 10_000_000 {
        0 => (Category::Adversarial, number),
        1 => (Category::Random, number - 10_000_000),
        2 => (Category::Popular, number - 20_000_000),
        _ => return None,
    };
    let most = RANDOM_2023_10.max(OTHER);
    (1..=most).contains(&position).then(|| (category, position - 1))
}

/// What the papers ask.
pub(crate) fn paper_prompt(question: &str) -> String {
    format!("{question}{PROMPT_SUFFIX}")
}

/// The question with the one misspelling of the early files put right, for comparing.
fn repaired(question: &str) -> String {
    python_text::strip(question).replace("imange", "image")
}

/// The object that a question asks for: `dining table` of `Is there a dining table in the image?`.
fn object(question: &str) -> Option<String> {
    let question = repaired(question);
    let rest = question.strip_prefix("Is there a")?;
    let rest = rest.strip_prefix('n').unwrap_or(rest).strip_prefix(' ')?;
    let object = rest.strip_suffix(" in the image?")?;
    (!object.is_empty()).then(|| object.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn objects_are_read_from_questions() {
        let cases = [
            ("Is there a kite in the image?", Some("kite")),
            ("Is there an airplane in the imange?", Some("airplane")),
            ("Is there a dining table in the image?\n", Some("dining table")),
            ("Is there a nest in the image?", Some("nest")),
            ("Is there any kite in the image?", None),
            ("Is there a kite in the picture?", None),
            ("Is there a  in the image?", None),
            ("Is there a in the image?", None),
            ("", None),
        ];
        for (question, expected) in cases {
            assert_eq!(object(question).as_deref(), expected, "{question}");
        }
    }

    #[test]
    fn llava_numbers_name_category_and_position() {
        let cases = [
            ("1", Some((Category::Adversarial, 0))),
            ("3000", Some((Category::Adversarial, 2999))),
            ("10000001", Some((Category::Random, 0))),
            ("20003000", Some((Category::Popular, 2999))),
            ("0", None),
            ("3001", None),
            ("10000000", None),
            ("30000001", None),
            ("262148000", None),
            ("n123", None),
            ("99999999999999999999999", None),
        ];
        for (id, expected) in cases {
            assert_eq!(llava_number(id), expected, "{id}");
        }
    }

    proptest! {
        #[test]
        fn every_object_comes_back(name in "[a-z]([a-z ]*[a-z])?", an: bool, typo: bool) {
            prop_assume!(!name.contains("imange"));
            let article = if an { "an" } else { "a" };
            let image = if typo { "imange" } else { "image" };
            let question = format!("Is there {article} {name} in the {image}?");
            prop_assert_eq!(object(&question), Some(name));
        }

        #[test]
        fn no_question_makes_it_panic(text: String) {
            let _ = object(&text);
            let _ = llava_number(&text);
        }
    }
}
