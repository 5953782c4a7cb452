//! Grade files of the organisers' grader: `{"v1_0": {"model": ["gpt-4"], "content": ["0.5"], "score": [0.5]}, …}`,
//! one list entry a run.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;

use super::grader;
use crate::benchmark::SourceFile;
use crate::error::DataError;
use crate::json_object;

/// One sample in the file.
#[derive(Deserialize)]
struct Entry {
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
    /// How many runs there are of every graded sample; those begun and not ended are left out.
    pub(super) runs: usize,
    /// Sample and grades, one a run, in file order: sums are taken in it.
    pub(super) graded: Vec<(usize, Vec<Grade>)>,
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
            let grades = entry.grades().map_err(fault)?;
            if !grades.is_empty() {
                graded.push((index, grades));
            }
        }
        let runs = graded.iter().map(|(_, grades)| grades.len()).min();
        let Some(runs) = runs else {
            return Err(DataError::File {
                path: path.to_owned(),
                what: "holds no grade; run the grader again".to_owned(),
            });
        };
        for (_, grades) in &mut graded {
            grades.truncate(runs);
        }
        Ok((Self { runs, graded }, file))
    }
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
    fn the_runs_that_every_sample_has_count_and_the_order_stays() {
        let grades = read(
            r#"{"v1_1": {"model": ["gpt-4", "gpt-4"], "content": ["0.5", "1"], "score": [0.5, 1.0]},
                "v1_0": {"model": ["gpt-4"], "content": ["0"], "score": [0]}}"#,
        )
        .unwrap();
        assert_eq!(grades.runs, 1);
        let grade = |score| Grade {
            score,
            exhausted: false,
        };
        assert_eq!(grades.graded, [(1, vec![grade(0.5)]), (0, vec![grade(0.0)])]);
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
