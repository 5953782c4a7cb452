//! Grades that were published with their answers, as LLaVA's folder holds them: `results/<model>.json` (else
//! `answers/<model>.jsonl`) beside `results/<model>_<grader>-grade-<n>runs.json`. A judge is measured against them.

use std::fs;
use std::path::{Path, PathBuf};

use super::MmVet;
use crate::benchmark::Benchmark;
use crate::error::DataError;
use crate::source::DataSource;

/// What stands between the grader's name and the number of runs in the name of a grade file.
const MARK: &str = "-grade-";

/// A grade file and the answers that it grades.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferenceGrades {
    /// The model that answered, as the files name it.
    pub model: String,
    /// Its answers.
    pub answers: PathBuf,
    /// Their grades.
    pub grades: PathBuf,
}

/// The reference grades of MM-Vet under `source`, by the name of the grade file.
///
/// # Errors
///
/// None there, and one without its answers.
pub fn reference_grades(source: &DataSource) -> Result<Vec<ReferenceGrades>, DataError> {
    let mut searched = Vec::new();
    for folder in source.folders(MmVet.task().id())? {
        let results = folder.join("results");
        let entries = fs::read_dir(&results).into_iter().flatten();
        let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.sort();
        let found: Vec<(PathBuf, String)> = paths
            .into_iter()
            .filter_map(|path| Some((path.clone(), model_of(&path)?)))
            .collect();
        if !found.is_empty() {
            return found
                .into_iter()
                .map(|(grades, model)| with_answers(&folder, model, grades))
                .collect();
        }
        searched.push(results);
    }
    Err(DataError::NotFound {
        what: "reference grades (`<model>_<grader>-grade-<n>runs.json`)".to_owned(),
        searched,
        remedy: "unpack LLaVA's `eval.zip`, whose `mm-vet/results` has them".to_owned(),
    })
}

/// The model that a grade file's name begins with.
fn model_of(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?.strip_suffix("runs.json")?;
    let (whose, runs) = name.rsplit_once(MARK)?;
    let (model, grader) = whose.rsplit_once('_')?;
    let fits = !model.is_empty() && !grader.is_empty() && runs.parse::<u32>().is_ok();
    fits.then(|| model.to_owned())
}

fn with_answers(folder: &Path, model: String, grades: PathBuf) -> Result<ReferenceGrades, DataError> {
    let searched = vec![
        folder.join(format!("results/{model}.json")),
        folder.join(format!("answers/{model}.jsonl")),
    ];
    match searched.iter().find(|path| path.is_file()).cloned() {
        Some(answers) => Ok(ReferenceGrades { model, answers, grades }),
        None => Err(DataError::NotFound {
            what: format!("the answers that `{}` grades", grades.display()),
            searched,
            remedy: "put them there, or delete the grades".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grade_files_are_found_with_their_answers() {
        let root = tempfile::tempdir().unwrap();
        let source = DataSource {
            root: root.path().to_owned(),
            images: None,
            split: None,
            grades: None,
        };
        let folder = root.path().join("MM-Vet");
        fs::create_dir_all(folder.join("results")).unwrap();
        fs::create_dir_all(folder.join("answers")).unwrap();
        let error = reference_grades(&source).unwrap_err().to_string();
        assert!(error.starts_with("reference grades"), "{error}");
        for name in [
            "m_7b_gpt-4-grade-3runs.json",
            "m_7b_gpt-4-cap-score-3runs.csv",
            "_gpt-4-grade-1runs.json",
            "n_gpt-4-grade-runs.json",
        ] {
            fs::write(folder.join("results").join(name), "").unwrap();
        }
        let error = reference_grades(&source).unwrap_err().to_string();
        assert!(
            error.contains("m_7b_gpt-4-grade-3runs.json") && error.contains("answers/m_7b.jsonl"),
            "{error}"
        );
        let answers = folder.join("answers/m_7b.jsonl");
        fs::write(&answers, "").unwrap();
        let expected = ReferenceGrades {
            model: "m_7b".to_owned(),
            answers,
            grades: folder.join("results/m_7b_gpt-4-grade-3runs.json"),
        };
        assert_eq!(reference_grades(&source).unwrap(), std::slice::from_ref(&expected));
        let better = folder.join("results/m_7b.json");
        fs::write(&better, "").unwrap();
        let answers = better;
        assert_eq!(
            reference_grades(&source).unwrap(),
            [ReferenceGrades { answers, ..expected }]
        );
    }
}
