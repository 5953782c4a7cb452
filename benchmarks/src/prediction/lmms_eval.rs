//! Lines of lmms-eval's `*_samples_<task>.jsonl`: one sample each.
//!
//! `doc_id` is the row of the split, from 0. `resps` holds what the model said, in lists within lists; newer
//! versions leave it out where `filtered_resps`, the same after the task's filters, does not differ. The prompt is
//! `input`, in older versions the first of `arguments`.

use serde_json::{Map, Value};

use super::{Prediction, PredictionKey, PredictionOutcome};

/// Reads one line.
pub(super) fn prediction(record: &Map<String, Value>, line: usize) -> Result<Prediction, String> {
    let row = record.get("doc_id").and_then(Value::as_u64);
    let row = row.and_then(|row| usize::try_from(row).ok());
    let answers = ["resps", "filtered_resps"]
        .into_iter()
        .find_map(|name| Some((name, record.get(name)?)));
    let (name, answers) = answers.ok_or("`doc_id` without `resps` or `filtered_resps`, lmms-eval's answers")?;
    let prompt = record.get("input").or_else(|| record.get("arguments")?.get(0));
    Ok(Prediction {
        key: PredictionKey::Row(row.ok_or("`doc_id` is no whole number from 0")?),
        prompt: prompt.and_then(Value::as_str).map(str::to_owned),
        outcome: PredictionOutcome::Answer(only(name, answers)?.to_owned()),
        line,
    })
}

/// The one text in lists within lists.
fn only<'a>(name: &str, mut value: &'a Value) -> Result<&'a str, String> {
    loop {
        value = match value {
            Value::String(text) => return Ok(text),
            Value::Array(members) => match members.as_slice() {
                [one] => one,
                _ => {
                    let what = format!(
                        "`{name}` holds {} answers; one to a sample can be scored",
                        members.len()
                    );
                    return Err(what);
                }
            },
            _ => return Err(format!("`{name}` holds no text")),
        }
    }
}
