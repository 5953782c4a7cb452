//! Prediction files: our own `predictions.jsonl` and those of other programs, recognised by content.
//!
//! | format | id | answer | from |
//! |---|---|---|---|
//! | vila-bench | `id` | `answer`, or `error` for a sample that failed | `predictions.jsonl` of a run |
//! | LLaVA | `question_id`, number or text | `text` | LLaVA's and VILA's answer files, `merge.jsonl` |
//! | answers by id | the name of each member | its value, a text | MM-Vet's `results/<model>.json`: one object |
//! | upload sheet | `index` | `prediction` | MMBench's `.xlsx` |

mod by_id;

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::benchmark::SourceFile;
use crate::error::DataError;
use crate::jsonl::{JsonLines, Record, id_text};
use crate::mmbench;

/// By what a prediction names its sample.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PredictionKey {
    /// Our own sample id.
    Sample(String),
    /// The id that the source gives, numbers as their decimal text.
    Question(String),
}

impl PredictionKey {
    /// The id as the file has it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Sample(id) | Self::Question(id) => id,
        }
    }
}

/// What was predicted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PredictionOutcome {
    /// An answer, as it is scored.
    Answer(String),
    /// The sample failed; the reason.
    Failed(String),
}

/// One line of a prediction file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prediction {
    /// Which sample it is about.
    pub key: PredictionKey,
    /// The prompt that was asked, where the file holds it.
    pub prompt: Option<String>,
    /// What came of it.
    pub outcome: PredictionOutcome,
    /// The line in its file, from 1; in a file without lines the record.
    pub line: usize,
}

/// A prediction file, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PredictionFile {
    /// The file.
    pub path: PathBuf,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// The format that was recognised, in words.
    pub format: &'static str,
    /// Its lines in file order.
    pub predictions: Vec<Prediction>,
}

/// A line of any known format; other fields are ignored.
#[derive(Deserialize)]
struct Line {
    id: Option<Value>,
    answer: Option<Value>,
    error: Option<Value>,
    question_id: Option<Value>,
    text: Option<Value>,
    prompt: Option<Value>,
    vila_bench_journal: Option<IgnoredAny>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    VilaBench,
    Llava,
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Self::VilaBench => "vila-bench predictions",
            Self::Llava => "LLaVA answers",
        }
    }
}

impl PredictionFile {
    /// Reads a prediction file of any known format.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, holds no prediction, or has a line of no known format or of another one than
    /// the lines before.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        if let Some(file) = mmbench::predictions(path) {
            return file;
        }
        if let Some(file) = by_id::read(path) {
            return Ok(file);
        }
        let mut lines = JsonLines::open(path)?;
        let mut format = None;
        let mut predictions = Vec::new();
        while let Some(Record { line, value }) = lines.next::<Line>()? {
            let fault = |what: String| DataError::line(path, line, what);
            let Some(found) = value.format().map_err(fault)? else {
                continue;
            };
            let expected = *format.get_or_insert(found);
            if found != expected {
                let what = format!("one of {}, the lines before are {}", found.name(), expected.name());
                return Err(fault(what));
            }
            predictions.push(value.prediction(found, line).map_err(fault)?);
        }
        let Some(format) = format else {
            let what = "holds no prediction; expected JSON Lines with `id` and `answer`, or `question_id` and `text`";
            return Err(DataError::File {
                path: path.to_owned(),
                what: what.to_owned(),
            });
        };
        let SourceFile { path, sha256 } = lines.into_source_file();
        Ok(Self {
            path,
            sha256,
            format: format.name(),
            predictions,
        })
    }
}

impl Line {
    /// `None` for a line that is no prediction: the header of a segment of our journal.
    fn format(&self) -> Result<Option<Format>, String> {
        if self.id.is_some() && (self.answer.is_some() || self.error.is_some()) {
            Ok(Some(Format::VilaBench))
        } else if self.question_id.is_some() {
            Ok(Some(Format::Llava))
        } else if self.id.is_some() {
            Err("`id` without `answer` or `error`".to_owned())
        } else if self.vila_bench_journal.is_some() {
            Ok(None)
        } else {
            Err(
                "no prediction; expected `id` and `answer` (vila-bench), or `question_id` and `text` (LLaVA)"
                    .to_owned(),
            )
        }
    }

    fn prediction(self, format: Format, line: usize) -> Result<Prediction, String> {
        let prompt = self.prompt.map(|prompt| text("prompt", prompt)).transpose()?;
        let (key, outcome) = match format {
            Format::VilaBench => {
                let key = PredictionKey::Sample(id("id", self.id.as_ref())?);
                let outcome = match (self.answer, self.error) {
                    (Some(answer), None) => PredictionOutcome::Answer(text("answer", answer)?),
                    (None, Some(error)) => PredictionOutcome::Failed(text("error", error)?),
                    _ => return Err("both `answer` and `error`".to_owned()),
                };
                (key, outcome)
            }
            Format::Llava => {
                let key = PredictionKey::Question(id("question_id", self.question_id.as_ref())?);
                let answer = self.text.ok_or("`question_id` without `text`, LLaVA's answer")?;
                (key, PredictionOutcome::Answer(text("text", answer)?))
            }
        };
        Ok(Prediction {
            key,
            prompt,
            outcome,
            line,
        })
    }
}

fn id(field: &str, value: Option<&Value>) -> Result<String, String> {
    let id = value.and_then(id_text);
    id.ok_or_else(|| format!("`{field}` is neither text nor a whole number"))
}

fn text(field: &str, value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(format!("`{field}` is not text")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(content: &str) -> Result<PredictionFile, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("answers.jsonl");
        std::fs::write(&path, content).unwrap();
        PredictionFile::read(&path).map_err(|error| error.to_string().replace(&path.display().to_string(), "FILE"))
    }

    fn answer(key: PredictionKey, prompt: Option<&str>, answer: &str, line: usize) -> Prediction {
        Prediction {
            key,
            prompt: prompt.map(str::to_owned),
            outcome: PredictionOutcome::Answer(answer.to_owned()),
            line,
        }
    }

    #[test]
    fn our_journal_is_read_header_and_all() {
        let file = read(concat!(
            "{\"vila_bench_journal\": 1, \"prompt\": \"not a prediction\"}\n",
            "{\"id\": \"random/x/dog\", \"answer\": \"No\", \"prompt\": \"Is?\", \"tokens\": [1]}\n",
            "{\"vila_bench_journal\": 1}\n",
            "{\"id\": \"random/x/cat\", \"error\": \"picture missing\", \"answer\": null}\n",
        ))
        .unwrap();
        assert_eq!(file.format, "vila-bench predictions");
        let failed = Prediction {
            key: PredictionKey::Sample("random/x/cat".to_owned()),
            prompt: None,
            outcome: PredictionOutcome::Failed("picture missing".to_owned()),
            line: 4,
        };
        let dog = PredictionKey::Sample("random/x/dog".to_owned());
        assert_eq!(file.predictions, [answer(dog, Some("Is?"), "No", 2), failed]);
    }

    #[test]
    fn llava_answers_are_read_with_ids_of_both_kinds() {
        let file = read(concat!(
            "\u{feff}{\"question_id\": 10000001, \"prompt\": \"Is?\", \"text\": \"No\", \"metadata\": {}}\r\n",
            "{\"question_id\": \"v1_0\", \"text\": \"\", \"round_id\": 0}\r\n",
        ))
        .unwrap();
        assert_eq!(file.format, "LLaVA answers");
        let key = |id: &str| PredictionKey::Question(id.to_owned());
        let expected = [
            answer(key("10000001"), Some("Is?"), "No", 1),
            answer(key("v1_0"), None, "", 2),
        ];
        assert_eq!(file.predictions, expected);
    }

    #[test]
    fn one_object_from_ids_to_texts_is_answers_and_one_line_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("answers.json");
        let read = |content: &str| {
            std::fs::write(&path, content).unwrap();
            PredictionFile::read(&path).map_err(|error| error.to_string())
        };
        let file = read("{\n  \"v1_1\": \"a\\nb\",\n  \"v1_0\": \"\"\n}").unwrap();
        let key = |id: &str| PredictionKey::Question(id.to_owned());
        assert_eq!(file.format, "answers by id");
        assert_eq!(
            file.predictions,
            [answer(key("v1_1"), None, "a\nb", 1), answer(key("v1_0"), None, "", 2)]
        );
        let one_line = read("{\"question_id\": \"7\", \"text\": \"a\"}").unwrap();
        assert_eq!(one_line.format, "LLaVA answers");
        assert!(read("{\"v1_1\": 3}").is_err());
    }

    #[test]
    fn faults_name_the_line_and_what_was_expected() {
        let expected = "expected `id` and `answer` (vila-bench), or `question_id` and `text` (LLaVA)";
        let cases = [
            (
                "",
                "`FILE`: holds no prediction; expected JSON Lines with `id` and `answer`, or `question_id` and `text`"
                    .to_owned(),
            ),
            (
                "{\"vila_bench_journal\": 1}\n",
                "`FILE`: holds no prediction; expected JSON Lines with `id` and `answer`, or `question_id` and `text`"
                    .to_owned(),
            ),
            (
                "{\"question\": \"q\", \"answer\": \"no\"}",
                format!("`FILE`, line 1: no prediction; {expected}"),
            ),
            (
                "{\"id\": \"a\"}",
                "`FILE`, line 1: `id` without `answer` or `error`".to_owned(),
            ),
            (
                "{\"id\": \"a\", \"answer\": 3}",
                "`FILE`, line 1: `answer` is not text".to_owned(),
            ),
            (
                "{\"id\": \"a\", \"answer\": \"\", \"error\": \"\"}",
                "`FILE`, line 1: both `answer` and `error`".to_owned(),
            ),
            (
                "{\"question_id\": 1}",
                "`FILE`, line 1: `question_id` without `text`, LLaVA's answer".to_owned(),
            ),
            (
                "{\"question_id\": 1.5, \"text\": \"\"}",
                "`FILE`, line 1: `question_id` is neither text nor a whole number".to_owned(),
            ),
            (
                "{\"id\": \"a\", \"answer\": \"\"}\n{\"question_id\": 1, \"text\": \"\"}",
                "`FILE`, line 2: one of LLaVA answers, the lines before are vila-bench predictions".to_owned(),
            ),
            ("[1, 2]", "`FILE`, line 1: not a JSON object".to_owned()),
        ];
        for (content, expected) in cases {
            let error = read(content).unwrap_err();
            assert!(error.starts_with(&expected), "{content}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(content: String) {
            let _ = read(&content);
        }

        #[test]
        fn any_text_survives_as_an_answer(text: String, id: String) {
            let line = serde_json::json!({ "id": id, "answer": text });
            let file = read(&line.to_string()).unwrap();
            prop_assert_eq!(&file.predictions, &[answer(PredictionKey::Sample(id), None, &text, 1)]);
        }
    }
}
