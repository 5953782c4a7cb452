//! Grade files of the organisers' grader: `{"v1_0": {"model": ["gpt-4"], "content": ["0.5"], "score": [0.5]}, …}`,
//! one list entry a run.

use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{grader, rule};
use crate::benchmark::SourceFile;
use crate::error::DataError;
use crate::json_object::{self, Members};
use crate::judge::{Finding, Judge, Verdict};
use crate::python_json::{self, Indent};
use crate::sample::Sample;

/// The graders of the published scores: LLaVA-1.5's was the alias, VILA-1.5's the version.
const PUBLISHED_GRADERS: [&str; 3] = ["gpt-4", "gpt-4-0314", "gpt-4-0613"];

/// One sample in the file.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Entry {
    #[serde(default)]
    model: Vec<String>,
    content: Vec<String>,
    score: Vec<f64>,
}

/// One run's judgement of one answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Grade {
    /// What counts for it; 0.0 where the grader never gave a number.
    pub(super) score: f64,
    /// Whether the grader gave no number in all its retries.
    pub(super) exhausted: bool,
}

/// The grades of one prediction file.
#[derive(Debug)]
pub(super) struct Grades {
    /// The most runs that any sample has; where another has fewer, those it lacks are ungraded.
    pub(super) runs: usize,
    /// Sample and grades, one a run, in file order: sums are taken in it.
    pub(super) graded: Vec<(usize, Vec<Grade>)>,
    /// Who graded, each once; empty where the file does not say.
    judges: Vec<String>,
}

impl Grades {
    /// Reads a file about the samples of `by_id`.
    ///
    /// # Errors
    ///
    /// A file that is no grade file, a sample that is not in the data or stands there twice, a score outside 0 to 1.
    pub(super) fn read(path: &Path, by_id: &HashMap<String, usize>) -> Result<(Self, SourceFile), DataError> {
        let expected = "MM-Vet grades, {\"v1_0\": {\"content\": [\"0.5\"], \"score\": [0.5]}, …}";
        let (entries, file) = json_object::read::<Entry>(path, expected)?;
        let mut graded = Vec::with_capacity(entries.len());
        let mut judges: Vec<String> = Vec::new();
        let mut seen = vec![false; by_id.len()];
        for (id, entry) in entries {
            let fault = |what: String| DataError::Record {
                path: path.to_owned(),
                record: format!("`{id}`"),
                what,
            };
            let index = *by_id
                .get(&id)
                .ok_or_else(|| fault("not in the data; these are grades of another benchmark".to_owned()))?;
            if seen.get(index) == Some(&true) {
                return Err(fault("graded twice; keep one of the two".to_owned()));
            }
            if let Some(seen) = seen.get_mut(index) {
                *seen = true;
            }
            for name in &entry.model {
                if !judges.contains(name) {
                    judges.push(name.clone());
                }
            }
            let grades = entry.grades().map_err(fault)?;
            if !grades.is_empty() {
                graded.push((index, grades));
            }
        }
        let runs = graded.iter().map(|(_, grades)| grades.len()).max();
        let Some(runs) = runs else {
            return Err(DataError::File {
                path: path.to_owned(),
                what: "holds no grade; run the grader again".to_owned(),
            });
        };
        Ok((Self { runs, graded, judges }, file))
    }

    /// Grades that no file names a grader of.
    #[cfg(test)]
    pub(super) fn of(runs: usize, graded: Vec<(usize, Vec<Grade>)>) -> Self {
        Self {
            runs,
            graded,
            judges: Vec::new(),
        }
    }

    /// Who graded, as far as the file says.
    pub(super) fn judge(&self) -> Judge {
        let published = |name: &String| PUBLISHED_GRADERS.contains(&name.as_str());
        let (name, remark) = if self.judges.is_empty() {
            let remark = "the grade file does not name its grader: not comparable with scores by GPT-4";
            ("unknown".to_owned(), Some(remark))
        } else if self.judges.iter().all(published) {
            (self.judges.join(", "), None)
        } else if self.judges == [rule::NAME] {
            let remark = "graded by rule, words of the reference in the answer, and not by GPT-4: not comparable";
            (rule::NAME.to_owned(), Some(remark))
        } else {
            let remark = "published MM-Vet scores were graded by GPT-4 (gpt-4-0613): not comparable with them";
            (self.judges.join(", "), Some(remark))
        };
        Judge {
            name,
            remark: remark.map(str::to_owned),
        }
    }
}

/// The file of these verdicts as the organisers' tool writes it, `json.dump(…, indent=4)`: an exhausted judgement has
/// its last reply and 0.0.
pub(super) fn file(
    samples: &[Sample],
    judge: &str,
    judged: &[Option<(String, Vec<Verdict>)>],
) -> Result<Vec<u8>, DataError> {
    let score = |verdict: &Verdict| match verdict.finding {
        Some(Finding::Score(score)) => score,
        Some(Finding::Letter(_)) | None => 0.0,
    };
    let entries = samples.iter().zip(judged).filter_map(|(sample, judged)| {
        let (_, verdicts) = judged.as_ref()?;
        let entry = Entry {
            model: vec![judge.to_owned(); verdicts.len()],
            content: verdicts.iter().map(|verdict| verdict.content.clone()).collect(),
            score: verdicts.iter().map(score).collect(),
        };
        (!verdicts.is_empty()).then(|| (sample.id.to_string(), entry))
    });
    python_json::dump(&Members(entries.collect()), Indent::Four)
}

impl Entry {
    fn grades(self) -> Result<Vec<Grade>, String> {
        if self.content.len() != self.score.len() {
            let (replies, scores) = (self.content.len(), self.score.len());
            return Err(format!("{replies} replies and {scores} scores; grade it again"));
        }
        let grades = self.content.iter().zip(self.score).map(|(content, score)| {
            if !(0.0..=1.0).contains(&score) {
                return Err(format!("score {score} is not from 0 to 1; grade it again"));
            }
            // The reply that is stored with an exhausted judgement is that of the last retry, which nobody read.
            let exhausted = score == 0.0 && grader::parse(content) != Some(0.0);
            Ok(Grade { score, exhausted })
        });
        grades.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &str) -> Result<Grades, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("grades.json");
        std::fs::write(&path, content).unwrap();
        let by_id = HashMap::from([("v1_0".to_owned(), 0), ("v1_1".to_owned(), 1)]);
        let grades = Grades::read(&path, &by_id).map(|(grades, _)| grades);
        grades.map_err(|error| error.to_string().replace(&path.display().to_string(), "FILE"))
    }

    #[test]
    fn the_order_stays_and_missing_runs_are_missing() {
        let grades = read(
            r#"{"v1_1": {"model": ["gpt-4", "gpt-4"], "content": ["0.5", "1"], "score": [0.5, 1.0]},
                "v1_0": {"model": ["gpt-4"], "content": ["0"], "score": [0]}}"#,
        )
        .unwrap();
        assert_eq!(grades.runs, 2);
        let grade = |score| Grade {
            score,
            exhausted: false,
        };
        assert_eq!(
            grades.graded,
            [(1, vec![grade(0.5), grade(1.0)]), (0, vec![grade(0.0)])]
        );
    }

    #[test]
    fn a_judge_of_ones_own_is_no_gpt_4() {
        let judge = |models: &[&str]| {
            let entry = serde_json::json!({"v1_0": {"model": models, "content": ["1"], "score": [1.0]}});
            read(&entry.to_string()).unwrap().judge()
        };
        for (models, name, comparable) in [
            (vec![], "unknown", false),
            (vec!["gpt-4"], "gpt-4", true),
            (vec!["gpt-4-0613", "gpt-4"], "gpt-4-0613, gpt-4", true),
            (vec!["gpt-4o"], "gpt-4o", false),
            (vec!["gpt-4", "qwen"], "gpt-4, qwen", false),
            (vec!["rule"], "rule", false),
        ] {
            let judge = judge(&models);
            assert_eq!((judge.name.as_str(), judge.remark.is_none()), (name, comparable));
        }
    }

    #[test]
    fn a_file_reads_back_and_has_the_organisers_layout() {
        let sample = |n: usize| Sample {
            id: crate::sample::SampleId::new(format!("v1_{n}")),
            source_id: n.to_string(),
            pictures: Vec::new(),
            question: String::new(),
            category: None,
            reference: None,
            scoring_group: n,
        };
        let verdict = |content: &str, score: Option<f64>| Verdict {
            content: content.to_owned(),
            finding: score.map(Finding::Score),
        };
        let verdicts = vec![
            verdict("1", Some(1.0)),
            verdict("no \"é\"", None),
            verdict("1e-5", Some(1e-5)),
        ];
        let judged = [None, Some((String::new(), verdicts))];
        let bytes = file(&[sample(0), sample(1)], "judge/x", &judged).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        // Python 3.11, `json.dumps(…, indent=4)`.
        let expected = r#"{
    "v1_1": {
        "model": [
            "judge/x",
            "judge/x",
            "judge/x"
        ],
        "content": [
            "1",
            "no \"\u00e9\"",
            "1e-5"
        ],
        "score": [
            1.0,
            0.0,
            1e-05
        ]
    }
}"#;
        assert_eq!(text, expected);
        let grades = read(&text).unwrap();
        let exhausted: Vec<bool> = grades.graded[0].1.iter().map(|grade| grade.exhausted).collect();
        assert_eq!(exhausted, [false, true, false]);
    }

    #[test]
    fn exhausted_judgements_are_told_from_zeros() {
        let cases = [("0.0", false), ("0", false), ("x", true), ("0.9", true), (" 0.0", true)];
        for (content, exhausted) in cases {
            let entry = serde_json::json!({"v1_0": {"content": [content], "score": [0.0]}});
            let grades = read(&entry.to_string()).unwrap();
            assert_eq!(grades.graded[0].1[0].exhausted, exhausted, "{content}");
        }
    }

    #[test]
    fn faults_name_the_sample() {
        let cases = [
            (
                r#"{"v1_7": {"content": [], "score": []}}"#,
                "`FILE`, `v1_7`: not in the data",
            ),
            (
                r#"{"v1_0": {"content": ["1"], "score": [1]}, "v1_0": {"content": ["1"], "score": [1]}}"#,
                "`FILE`, `v1_0`: graded twice",
            ),
            (
                r#"{"v1_0": {"content": ["1"], "score": []}}"#,
                "`FILE`, `v1_0`: 1 replies and 0 scores",
            ),
            (
                r#"{"v1_0": {"content": ["2"], "score": [2.0]}}"#,
                "`FILE`, `v1_0`: score 2 is not from 0 to 1",
            ),
            (r#"{"v1_0": {"content": [], "score": []}}"#, "`FILE`: holds no grade"),
            (r#"{"v1_0": "an answer"}"#, "`FILE`: expected MM-Vet grades, "),
        ];
        for (content, expected) in cases {
            let error = read(content).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
