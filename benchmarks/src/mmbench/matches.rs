//! Match files: which options a judge found in the answers that no rule reads. The organisers have no such file, so
//! that its form is ours; `results/FORMATS.md` gives every field.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Letter, Question, matcher};
use crate::benchmark::SourceFile;
use crate::error::DataError;
use crate::json_document;
use crate::judge::{Finding, Judge, Verdict};
use crate::sample::Sample;

/// The version of the document.
const FORMAT: u32 = 1;

/// The document.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Document {
    format: u32,
    task: String,
    matcher: String,
    judge: String,
    matches: Vec<Match>,
}

/// What the judge said of one answer.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Match {
    id: String,
    answer_sha256: String,
    reply: String,
    letter: Option<String>,
}

/// What a judge said of the answers that no rule reads.
#[derive(Debug)]
pub(super) struct Matches {
    judge: String,
    /// How many answers it was asked about.
    asked: usize,
    by_row: HashMap<usize, (String, Letter)>,
}

impl Matches {
    /// Reads a file about these rows.
    ///
    /// # Errors
    ///
    /// A file that is no match file of this version, a row that is not in the data or stands there twice, a letter
    /// that its row does not offer.
    pub(super) fn read(
        path: &Path,
        by_id: &HashMap<String, usize>,
        questions: &[Question],
    ) -> Result<(Self, SourceFile), DataError> {
        let (document, file) = json_document::read::<Document>(path)?;
        if (document.format, document.task.as_str()) != (FORMAT, "mmbench") {
            return Err(DataError::File {
                path: path.to_owned(),
                what: format!(
                    "holds matches of `{}` in format {}, not of `mmbench` in format {FORMAT}; write it anew with \
                     `vila-bench grade --task mmbench`",
                    document.task, document.format
                ),
            });
        }
        let mut by_row = HashMap::new();
        let mut seen = BTreeSet::new();
        for entry in document.matches {
            let fault = |what: &str| DataError::Record {
                path: path.to_owned(),
                record: format!("`{}`", entry.id),
                what: what.to_owned(),
            };
            let row = *by_id
                .get(&entry.id)
                .ok_or_else(|| fault("not in the data; these are matches of another split"))?;
            if !seen.insert(row) {
                return Err(fault("matched twice; keep one of the two"));
            }
            let Some(letter) = &entry.letter else {
                continue;
            };
            let offered = questions.get(row).map_or(&[][..], Question::offered);
            let known = offered.iter().chain(&[Letter::Z]).find(|known| known.id() == letter);
            let letter = *known.ok_or_else(|| fault("its letter is no option of the row, nor Z; match it again"))?;
            by_row.insert(row, (entry.answer_sha256, letter));
        }
        let matches = Self {
            judge: document.judge,
            asked: seen.len(),
            by_row,
        };
        Ok((matches, file))
    }

    /// The option that the judge found in `answer` to `row`, `Z` where it found none; `None` where it was not asked
    /// about this answer or gave no letter.
    pub(super) fn letter(&self, row: usize, answer: &str) -> Option<Letter> {
        let (sha256, letter) = self.by_row.get(&row)?;
        (*sha256 == digest(answer)).then_some(*letter)
    }

    /// What a judge read in answers to rows.
    #[cfg(test)]
    pub(super) fn of(letters: impl Iterator<Item = (usize, String, Letter)>) -> Self {
        Self {
            judge: "test".to_owned(),
            asked: 0,
            by_row: letters
                .map(|(row, answer, letter)| (row, (digest(&answer), letter)))
                .collect(),
        }
    }

    /// Who matched; `None` where there was nothing to match.
    pub(super) fn judge(&self) -> Option<Judge> {
        (self.asked > 0).then(|| Judge {
            name: self.judge.clone(),
            remark: (!self.by_row.is_empty()).then(|| {
                "the matcher's wording is ours: answers that it resolved may be read otherwise by the organisers'"
                    .to_owned()
            }),
        })
    }
}

/// The file of these verdicts.
pub(super) fn file(
    samples: &[Sample],
    judge: &str,
    judged: &[Option<(String, Vec<Verdict>)>],
) -> Result<Vec<u8>, DataError> {
    let matches = samples.iter().zip(judged).filter_map(|(sample, judged)| {
        let (answer, verdicts) = judged.as_ref()?;
        let verdict = verdicts.first()?;
        Some(Match {
            id: sample.id.to_string(),
            answer_sha256: digest(answer),
            reply: verdict.content.clone(),
            letter: match verdict.finding {
                Some(Finding::Letter(letter)) => Some(letter.to_owned()),
                Some(Finding::Score(_)) | None => None,
            },
        })
    });
    let document = Document {
        format: FORMAT,
        task: "mmbench".to_owned(),
        matcher: matcher::WORDING.to_owned(),
        judge: judge.to_owned(),
        matches: matches.collect(),
    };
    let mut bytes = serde_json::to_vec_pretty(&document).map_err(|error| DataError::Unfaithful(error.to_string()))?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn digest(answer: &str) -> String {
    format!("{:x}", Sha256::digest(answer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::SampleId;

    fn question() -> Question {
        Question {
            base: true,
            hint: None,
            options: vec!["mug".to_owned(), "cat".to_owned()],
            answer: None,
            ability: None,
        }
    }

    fn read(content: &[u8]) -> Result<Matches, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("matches.json");
        std::fs::write(&path, content).unwrap();
        let by_id = HashMap::from([("7".to_owned(), 0), ("8".to_owned(), 1), ("9".to_owned(), 2)]);
        let questions = [question(), question(), question()];
        let matches = Matches::read(&path, &by_id, &questions).map(|(matches, _)| matches);
        matches.map_err(|error| error.to_string().replace(&path.display().to_string(), "FILE"))
    }

    #[test]
    fn a_file_reads_back() {
        let sample = |id: &str| Sample {
            id: SampleId::new(id),
            source_id: id.to_owned(),
            pictures: Vec::new(),
            question: String::new(),
            category: None,
            reference: None,
            scoring_group: 0,
        };
        let judged = |letter: Option<&'static str>| {
            let verdict = Verdict {
                content: "said".to_owned(),
                finding: letter.map(Finding::Letter),
            };
            Some(("a tabby".to_owned(), vec![verdict]))
        };
        let bytes = file(
            &[sample("7"), sample("8"), sample("9")],
            "qwen",
            &[judged(Some("B")), judged(None), judged(Some("Z"))],
        )
        .unwrap();
        insta::assert_snapshot!(String::from_utf8_lossy(&bytes));
        let matches = read(&bytes).unwrap();
        let letters = [0, 1, 2].map(|row| matches.letter(row, "a tabby"));
        assert_eq!(letters, [Some(Letter::B), None, Some(Letter::Z)]);
        // Another answer than the one that was matched.
        assert_eq!(matches.letter(0, "a mug"), None);
        assert_eq!(matches.judge().unwrap().name, "qwen");
    }

    #[test]
    fn faults_name_the_row() {
        let document = |task: &str, matches: serde_json::Value| serde_json::json!({"format": 1, "task": task, "matcher": "m", "judge": "j", "matches": matches});
        let entry = |id: &str, letter: &str| serde_json::json!({"id": id, "answer_sha256": "x", "reply": letter, "letter": letter});
        let cases = [
            (
                document("mm-vet", serde_json::json!([])),
                "`FILE`: holds matches of `mm-vet`",
            ),
            (
                document("mmbench", serde_json::json!([entry("6", "A")])),
                "`FILE`, `6`: not in the data",
            ),
            (
                document("mmbench", serde_json::json!([entry("7", "A"), entry("7", "B")])),
                "`FILE`, `7`: matched twice",
            ),
            (
                document("mmbench", serde_json::json!([entry("7", "C")])),
                "`FILE`, `7`: its letter is no option",
            ),
            (serde_json::json!({"v1_0": {}}), "`FILE`: "),
        ];
        for (content, expected) in cases {
            let error = read(content.to_string().as_bytes()).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
