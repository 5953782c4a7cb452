//! Prediction files of one JSON object a line: ours, LLaVA's, lmms-eval's and POPE's.

use std::path::Path;

use serde_json::{Map, Value};

use super::{Prediction, PredictionFile, PredictionKey, PredictionOutcome, id, lmms_eval, text};
use crate::benchmark::SourceFile;
use crate::error::DataError;
use crate::jsonl::{JsonLines, Record};

/// What every line of these files has one of; a single object with one of them is a line.
pub(super) const TELLING: [&str; 5] = ["id", "question_id", "doc_id", "question", "vila_bench_journal"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    VilaBench,
    Llava,
    LmmsEval,
    /// POPE's own evaluation takes questions and answers in the order of the labels, without ids.
    Pope,
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Self::VilaBench => "vila-bench predictions",
            Self::Llava => "LLaVA answers",
            Self::LmmsEval => "lmms-eval samples",
            Self::Pope => "POPE answers",
        }
    }

    /// `None` for a line that is no prediction: the header of a segment of our journal.
    fn of(record: &Map<String, Value>) -> Result<Option<Self>, String> {
        let has = |name: &str| record.get(name).is_some_and(|value| !value.is_null());
        if has("doc_id") {
            Ok(Some(Self::LmmsEval))
        } else if has("id") && (has("answer") || has("error")) {
            Ok(Some(Self::VilaBench))
        } else if has("question_id") {
            Ok(Some(Self::Llava))
        } else if has("id") {
            Err("`id` without `answer` or `error`".to_owned())
        } else if has("question") && has("answer") {
            Ok(Some(Self::Pope))
        } else if record.contains_key("vila_bench_journal") {
            Ok(None)
        } else {
            Err(
                "no prediction; expected `id` and `answer` (vila-bench), `question_id` and `text` (LLaVA), `doc_id` \
                 and `resps` (lmms-eval), or `question` and `answer` (POPE)"
                    .to_owned(),
            )
        }
    }
}

/// Reads the file.
pub(super) fn read(path: &Path) -> Result<PredictionFile, DataError> {
    let mut lines = JsonLines::open(path)?;
    let mut format = None;
    let mut predictions = Vec::new();
    while let Some(Record { line, value }) = lines.next::<Map<String, Value>>()? {
        let fault = |what: String| DataError::line(path, line, what);
        let Some(found) = Format::of(&value).map_err(fault)? else {
            continue;
        };
        let expected = *format.get_or_insert(found);
        if found != expected {
            let what = format!("one of {}, the lines before are {}", found.name(), expected.name());
            return Err(fault(what));
        }
        let place = predictions.len();
        predictions.push(prediction(value, found, line, place).map_err(fault)?);
    }
    let Some(format) = format else {
        let what = "holds no prediction; expected JSON Lines with `id` and `answer`, or `question_id` and `text`";
        return Err(DataError::File {
            path: path.to_owned(),
            what: what.to_owned(),
        });
    };
    let SourceFile { path, sha256 } = lines.into_source_file();
    Ok(PredictionFile {
        path,
        sha256,
        format: format.name(),
        predictions,
    })
}

fn prediction(mut record: Map<String, Value>, format: Format, line: usize, place: usize) -> Result<Prediction, String> {
    let mut take = |name: &str| record.remove(name).filter(|value| !value.is_null());
    let answered = |name, value| Ok::<_, String>(PredictionOutcome::Answer(text(name, value)?));
    let (key, asked, outcome) = match format {
        Format::LmmsEval => return lmms_eval::prediction(&record, line),
        Format::VilaBench => {
            let outcome = match (take("answer"), take("error")) {
                (Some(answer), None) => answered("answer", answer)?,
                (None, Some(error)) => PredictionOutcome::Failed(text("error", error)?),
                _ => return Err("both `answer` and `error`".to_owned()),
            };
            (PredictionKey::Sample(id("id", take("id").as_ref())?), "prompt", outcome)
        }
        Format::Llava => {
            let key = PredictionKey::Question(id("question_id", take("question_id").as_ref())?);
            let answer = take("text").ok_or("`question_id` without `text`, LLaVA's answer")?;
            (key, "prompt", answered("text", answer)?)
        }
        Format::Pope => {
            let answer = take("answer").ok_or("`question` without `answer`")?;
            (PredictionKey::Place(place), "question", answered("answer", answer)?)
        }
    };
    let prompt = take(asked).map(|prompt| text(asked, prompt)).transpose()?;
    Ok(Prediction {
        key,
        prompt,
        outcome,
        line,
    })
}
