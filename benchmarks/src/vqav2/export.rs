//! The upload for EvalAI challenge 830, phase test-dev (`vqav2.md`, section 7): one object a question of the whole of
//! test2015, whose ids the server compares. What was not asked has the empty string, and so has what has no answer.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::json_files::{QUESTION_FOLDERS, find};
use super::{Split, Vqav2Data};
use crate::error::DataError;
use crate::export::Export;
use crate::json_document;
use crate::jsonl::{JsonLines, Record, id_text};
use crate::python_json::{self, Indent};
use crate::vqa_text::Normaliser;

/// LLaVA's question file of what is uploaded.
const LLAVA: &str = "llava_vqav2_mscoco_test2015.jsonl";

/// The organisers' question file of the same.
const OFFICIAL: &str = "v2_OpenEnded_mscoco_test2015_questions.json";

/// A question's answer.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Upload {
    question_id: u64,
    /// After the EvalAI processor.
    answer: String,
}

/// A line of LLaVA's file.
#[derive(Deserialize)]
struct Line {
    question_id: Value,
}

/// The organisers' file.
#[derive(Deserialize)]
struct Questions {
    questions: Vec<Question>,
}

#[derive(Deserialize)]
struct Question {
    question_id: u64,
}

/// The upload of `answers`, in the order of the question file of test2015.
pub(super) fn upload(data: &Vqav2Data, answers: &[Option<String>]) -> Result<Export, DataError> {
    if data.split != Split::TestDev {
        return Err(DataError::Mismatch(
            "VQAv2 val is scored here and not uploaded; answer and export `--split test-dev`".to_owned(),
        ));
    }
    let (path, ids) = test2015(&data.folder)?;
    let fault = |what: String| DataError::File {
        path: path.clone(),
        what,
    };
    let mut known = HashSet::with_capacity(ids.len());
    if let Some(twice) = ids.iter().find(|id| !known.insert(**id)) {
        return Err(fault(format!("question id {twice} stands here for the second time")));
    }
    if let Some(absent) = data.by_id.keys().filter(|id| !known.contains(id)).min() {
        return Err(fault(format!(
            "question {absent} of test-dev is not here; take the file of the whole of test2015"
        )));
    }
    let answer = |id: u64| data.by_id.get(&id).and_then(|index| answers.get(*index)?.as_deref());
    let records = ids.into_iter().map(|question_id| Upload {
        question_id,
        answer: answer(question_id)
            .map(|answer| Normaliser::EvalAi.apply(answer))
            .unwrap_or_default(),
    });
    python_json::dump(&records.collect::<Vec<_>>(), Indent::None).map(Export::File)
}

/// The ids of test2015 in file order, and the file.
fn test2015(folder: &Path) -> Result<(PathBuf, Vec<u64>), DataError> {
    let path = folder.join(LLAVA);
    if path.is_file() {
        let mut ids = Vec::new();
        let mut lines = JsonLines::open(&path)?;
        while let Some(Record { line, value }) = lines.next::<Line>()? {
            let id = id_text(&value.question_id).and_then(|id| id.parse().ok());
            ids.push(id.ok_or_else(|| DataError::line(&path, line, "`question_id` is no whole number"))?);
        }
        return Ok((path, ids));
    }
    let Some(path) = find(folder, QUESTION_FOLDERS, OFFICIAL) else {
        return Err(DataError::NotFound {
            what: format!("the question ids of the whole of test2015 (`{LLAVA}` or `{OFFICIAL}`)"),
            searched: vec![folder.to_owned()],
            remedy: "put that file there; the server takes uploads over all of them only".to_owned(),
        });
    };
    let (file, _) = json_document::read::<Questions>(&path)?;
    let ids = file.questions.iter().map(|question| question.question_id);
    Ok((path, ids.collect()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;
    use crate::benchmark::{Benchmark, Dataset};
    use crate::source::DataSource;
    use crate::vqav2::Vqav2;

    /// Questions 2 and 3 of test-dev.
    fn load(root: &Path) -> Box<dyn Dataset> {
        let line = |n: u64| {
            let text = format!("Is it {n}?\nAnswer the question using a single word or phrase.");
            json!({"question_id": n, "image": "COCO_test2015_000000900001.jpg", "text": text})
        };
        let lines: String = [3, 2].iter().map(|n| format!("{}\n", line(*n))).collect();
        fs::write(root.join("llava_vqav2_mscoco_test-dev2015.jsonl"), lines).unwrap();
        let source = DataSource {
            root: root.to_owned(),
            images: None,
            split: None,
            grades: None,
        };
        Vqav2.load(&source).unwrap()
    }

    fn write_llava(root: &Path, ids: &[u64]) {
        let lines: String = ids
            .iter()
            .map(|id| format!("{}\n", json!({"question_id": id, "text": "?"})))
            .collect();
        fs::write(root.join(LLAVA), lines).unwrap();
    }

    fn write_official(root: &Path, ids: &[u64]) {
        let questions: Vec<Value> = ids
            .iter()
            .map(|id| json!({"question_id": id, "question": "?"}))
            .collect();
        let folder = root.join("Questions");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(OFFICIAL), json!({"questions": questions}).to_string()).unwrap();
    }

    fn exported(data: &dyn Dataset, answers: [Option<&str>; 2]) -> Result<String, String> {
        match data.export(&answers.map(|answer| answer.map(str::to_owned))) {
            Ok(Export::File(bytes)) => Ok(String::from_utf8(bytes).unwrap()),
            Ok(Export::Folder(_)) => panic!("a folder"),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn all_of_test2015_is_uploaded_in_its_order() {
        for write in [write_llava, write_official] {
            let root = tempfile::tempdir().unwrap();
            let data = load(root.path());
            write(root.path(), &[1, 2, 4, 3]);
            assert_eq!(
                exported(&*data, [Some("The Cat's"), Some("Yes.")]).unwrap(),
                "[{\"question_id\": 1, \"answer\": \"\"}, {\"question_id\": 2, \"answer\": \"yes\"}, \
                 {\"question_id\": 4, \"answer\": \"\"}, {\"question_id\": 3, \"answer\": \"cat 's\"}]"
            );
            let unanswered = exported(&*data, [None, Some("no")]).unwrap();
            assert!(
                unanswered.ends_with("{\"question_id\": 3, \"answer\": \"\"}]"),
                "{unanswered}"
            );
        }
    }

    #[test]
    fn faults_name_the_file() {
        let root = tempfile::tempdir().unwrap();
        let data = load(root.path());
        let fault = || exported(&*data, [Some("a"), Some("b")]).unwrap_err();
        assert!(
            fault().starts_with("the question ids of the whole of test2015 (`"),
            "{}",
            fault()
        );
        let cases: [(&[u64], &str); 2] = [
            (
                &[1, 2],
                "question 3 of test-dev is not here; take the file of the whole of test2015",
            ),
            (&[2, 3, 2], "question id 2 stands here for the second time"),
        ];
        for (ids, expected) in cases {
            write_llava(root.path(), ids);
            assert!(fault().ends_with(expected), "{}", fault());
        }
    }
}
