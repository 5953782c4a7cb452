//! LLaVA's answer file, which its scripts and VILA's read: a line a sample with `question_id`, `prompt` and `text`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Export;
use crate::benchmark::Dataset;
use crate::error::DataError;
use crate::prediction::{Prediction, PredictionKey, PredictionOutcome};
use crate::python_json::{self, Indent};
use crate::task::{PromptStyle, Task};

/// A line. LLaVA's own has `answer_id`, `model_id` and an empty `metadata` too, which nothing reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    /// A number or a text, as in LLaVA's question file.
    question_id: Value,
    /// As in LLaVA's question file.
    prompt: String,
    /// The answer.
    text: String,
}

/// The answer file of `answers`, one entry a sample in dataset order; samples without an answer have no line.
///
/// # Errors
///
/// Data from which LLaVA's question ids or prompts cannot be had.
pub fn llava_answers(dataset: &dyn Dataset, task: Task, answers: &[Option<String>]) -> Result<Export, DataError> {
    dataset.can_ask(PromptStyle::Paper)?;
    let mut bytes = Vec::new();
    for (index, (sample, answer)) in dataset.samples().iter().zip(answers).enumerate() {
        let Some(text) = answer else { continue };
        let prompt = dataset.prompt(index, PromptStyle::Paper);
        let unknown = || {
            DataError::Mismatch(format!(
                "LLaVA's question id of `{}` is not in these data ({}); give LLaVA's question file",
                sample.id,
                dataset.provenance().layout,
            ))
        };
        let question_id = question_id(task, &sample.source_id).ok_or_else(unknown)?;
        let line = Line {
            question_id,
            prompt: prompt.clone(),
            text: text.clone(),
        };
        let read = Prediction {
            key: PredictionKey::Question(sample.source_id.clone()),
            prompt: Some(prompt),
            outcome: PredictionOutcome::Answer(text.clone()),
            line: index + 1,
        };
        // Ids of other layouts may repeat, or name other questions in LLaVA's numbering.
        if dataset.locate(&read) != Ok(index) {
            return Err(unknown());
        }
        bytes.extend(python_json::dump(&line, Indent::None)?);
        bytes.push(b'\n');
    }
    Ok(Export::File(bytes))
}

/// The id as LLaVA's question file of that task has it; `None` where it cannot be one of those.
fn question_id(task: Task, source_id: &str) -> Option<Value> {
    let number = |text: &str| text.parse::<u64>().ok().map(Value::from);
    match task {
        Task::Gqa | Task::Textvqa | Task::Mme => Some(Value::from(source_id)),
        Task::MmVet => number(source_id.strip_prefix("v1_").unwrap_or(source_id)),
        Task::Vqav2 | Task::Vizwiz | Task::Pope | Task::Mmbench => number(source_id),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::matching::match_predictions;
    use crate::prediction::PredictionFile;
    use crate::reference_data;
    use crate::registry::benchmark;
    use crate::source::DataSource;

    fn load(task: Task, root: &Path) -> Box<dyn Dataset> {
        let source = DataSource {
            root: root.to_owned(),
            images: None,
            split: None,
            grades: None,
        };
        benchmark(task).unwrap().load(&source).unwrap()
    }

    fn answers(data: &dyn Dataset, path: &Path) -> Vec<Option<String>> {
        let outcomes = match_predictions(data, &PredictionFile::read(path).unwrap()).unwrap();
        let text = |outcome| match outcome {
            Some(PredictionOutcome::Answer(text)) => Some(text),
            _ => None,
        };
        outcomes.into_iter().map(text).collect()
    }

    #[test]
    fn ids_are_of_the_kind_that_llava_has() {
        let cases = [
            (Task::Gqa, "201307251", Some(Value::from("201307251"))),
            (Task::Mme, "color/1.jpg", Some(Value::from("color/1.jpg"))),
            (Task::MmVet, "v1_7", Some(Value::from(7))),
            (Task::Vizwiz, "7", Some(Value::from(7))),
            (Task::Vizwiz, "VizWiz_val_00000007", None),
        ];
        for (task, id, expected) in cases {
            assert_eq!(question_id(task, id), expected, "{task} {id}");
        }
    }

    /// LLaVA's own lines come out again, but for the prompts of MMBench, whose hints an upload sheet lacks.
    #[test]
    fn llavas_own_files_come_out_again() {
        let Some(folder) = reference_data::folder("llavas_own_files_come_out_again") else {
            return;
        };
        let root = folder.join("llava-eval");
        let cases = [
            (Task::Gqa, "gqa/answers/llava_gqa_testdev_balanced"),
            (Task::Textvqa, "textvqa/answers"),
            (Task::Vizwiz, "vizwiz/answers"),
            (Task::Pope, "pope/answers"),
            (Task::Mme, "MME/answers"),
            (Task::Mmbench, "mmbench/answers/mmbench_dev_20230712"),
            (Task::MmVet, "mm-vet/answers"),
        ];
        for (task, place) in cases {
            let path = root.join(place).join("llava-v1.5-13b.jsonl");
            let data = load(task, &root);
            let Ok(Export::File(bytes)) = llava_answers(&*data, task, &answers(&*data, &path)) else {
                panic!("no file for {task}")
            };
            let lines = |text: &str| -> Vec<Line> {
                let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
                lines
                    .map(|line: Line| Line {
                        prompt: if task == Task::Mmbench {
                            String::new()
                        } else {
                            line.prompt
                        },
                        ..line
                    })
                    .collect()
            };
            let ours = lines(std::str::from_utf8(&bytes).unwrap());
            let theirs = lines(&std::fs::read_to_string(&path).unwrap());
            assert_eq!(ours.len(), data.samples().len(), "{task}");
            assert_eq!(ours, theirs, "{task}");
        }
    }

    #[test]
    fn a_layout_without_llavas_ids_is_refused() {
        let Some(folder) = reference_data::folder("a_layout_without_llavas_ids_is_refused") else {
            return;
        };
        let root = tempfile::tempdir().unwrap();
        let coco = root.path().join("coco");
        std::fs::create_dir(&coco).unwrap();
        for category in ["random", "popular", "adversarial"] {
            let name = format!("coco_pope_{category}.json");
            std::fs::copy(folder.join("llava-eval/pope/coco").join(&name), coco.join(&name)).unwrap();
        }
        let data = load(Task::Pope, root.path());
        let answers = vec![Some("No".to_owned()); data.samples().len()];
        let error = llava_answers(&*data, Task::Pope, &answers).unwrap_err().to_string();
        assert!(error.starts_with("LLaVA's question id of `"), "{error}");
        let none = vec![None; answers.len()];
        assert_eq!(
            llava_answers(&*data, Task::Pope, &none).unwrap(),
            Export::File(Vec::new())
        );
    }
}
