//! The questions that were put to Bard too: split `bard`, 168 of the 218, the organisers' `bard_set.json` beside
//! `mm-vet.json` (an option of their grader; `mm-vet.md`, section 1). The papers' number is over all.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::layout::{LABEL_FOLDERS, LABELS};
use super::{MmVet, MmVetData};
use crate::benchmark::Benchmark;
use crate::error::DataError;
use crate::json_document;
use crate::source::DataSource;

/// The split.
pub(super) const SPLIT: &str = "bard";

/// The list of ids.
const FILE: &str = "bard_set.json";

/// Those of the questions that the list names, with their grades.
///
/// # Errors
///
/// A list that is not there, names an id twice or one that the data do not have, or names none.
pub(super) fn subset(data: MmVetData, source: &DataSource) -> Result<MmVetData, DataError> {
    let folders = source.folders(MmVet.task().id())?;
    let places = folders
        .iter()
        .flat_map(|folder| LABEL_FOLDERS.map(|sub| folder.join(sub).join(FILE)));
    let Some(path) = places.into_iter().find(|path| path.is_file()) else {
        return Err(DataError::NotFound {
            what: format!("the ids of MM-Vet's Bard set (`{FILE}`)"),
            searched: folders,
            remedy: format!("put the organisers' `{FILE}` beside `{LABELS}`; both are in `mm-vet.zip`"),
        });
    };
    let (ids, file) = json_document::read::<Vec<String>>(&path)?;
    let mut data = among(data, ids, &path)?;
    data.provenance.files.push(file);
    Ok(data)
}

fn among(mut data: MmVetData, ids: Vec<String>, path: &Path) -> Result<MmVetData, DataError> {
    let fault = |what: String| DataError::File {
        path: path.to_owned(),
        what,
    };
    if ids.is_empty() {
        return Err(fault("names no question; download it again".to_owned()));
    }
    let mut wanted = HashSet::with_capacity(ids.len());
    for id in ids {
        if !data.by_id.contains_key(&id) {
            return Err(fault(format!("`{id}` is not in the data; take files of one release")));
        }
        if let Some(id) = wanted.replace(id) {
            return Err(fault(format!("`{id}` stands here twice; delete one of the two")));
        }
    }
    // Old positions to new ones.
    let mut moved = HashMap::with_capacity(wanted.len());
    let mut samples = Vec::with_capacity(wanted.len());
    for (index, mut sample) in data.samples.into_iter().enumerate() {
        if wanted.contains(sample.id.as_str()) {
            moved.insert(index, samples.len());
            sample.scoring_group = samples.len();
            samples.push(sample);
        } else {
            data.left_out.insert(sample.id.to_string());
        }
    }
    data.samples = samples;
    data.capabilities = data.capabilities.map(|all| {
        let kept = all
            .into_iter()
            .enumerate()
            .filter(|(index, _)| moved.contains_key(index));
        kept.map(|(_, capabilities)| capabilities).collect()
    });
    data.by_id = data
        .by_id
        .into_iter()
        .filter_map(|(id, index)| Some((id, *moved.get(&index)?)))
        .collect();
    if let Some(grades) = &mut data.grades {
        let graded = std::mem::take(&mut grades.graded).into_iter();
        grades.graded = graded
            .filter_map(|(index, runs)| Some((*moved.get(&index)?, runs)))
            .collect();
    }
    data.provenance.split = SPLIT.to_owned();
    Ok(data)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use crate::benchmark::{Benchmark, Dataset};
    use crate::matching::match_predictions;
    use crate::mm_vet::MmVet;
    use crate::mm_vet::layout_tests::official;
    use crate::prediction::{PredictionFile, PredictionOutcome};
    use crate::source::DataSource;
    use crate::task::Protocol;

    const GRADES: &str = r#"{"v1_902": {"content": ["0.5"], "score": [0.5]},
                             "v1_900": {"content": ["1"], "score": [1]},
                             "v1_901": {"content": ["0.3"], "score": [0.3]}}"#;

    fn load(root: &Path, split: &str) -> Result<Box<dyn Dataset>, String> {
        let grades = root.join("grades.json");
        fs::write(&grades, GRADES).unwrap();
        let source = DataSource {
            root: root.to_owned(),
            images: None,
            split: Some(split.to_owned()),
            grades: Some(grades),
        };
        let data = MmVet.load(&source);
        data.map_err(|error| error.to_string().replace(&root.display().to_string(), "ROOT"))
    }

    #[test]
    fn answers_and_grades_of_all_questions_score_the_subset() {
        for place in ["mm-vet", "mm-vet/mm-vet", ""] {
            let root = tempfile::tempdir().unwrap();
            official(&root.path().join("mm-vet"));
            fs::create_dir_all(root.path().join(place)).unwrap();
            fs::write(root.path().join(place).join("bard_set.json"), r#"["v1_902", "v1_900"]"#).unwrap();
            let data = load(root.path(), "bard").unwrap();
            let ids: Vec<&str> = data.samples().iter().map(|sample| sample.id.as_str()).collect();
            assert_eq!(
                (ids, data.provenance().split.as_str()),
                (vec!["v1_900", "v1_902"], "bard")
            );
            let names = data
                .provenance()
                .files
                .iter()
                .map(|file| file.path.file_name().unwrap());
            assert_eq!(
                names.collect::<Vec<_>>(),
                ["mm-vet.json", "grades.json", "bard_set.json"]
            );
            let answers = root.path().join("answers.json");
            fs::write(&answers, r#"{"v1_900": "a", "v1_901": "b", "v1_902": "c"}"#).unwrap();
            let outcomes = match_predictions(&*data, &PredictionFile::read(&answers).unwrap()).unwrap();
            let answer = |text: &str| Some(PredictionOutcome::Answer(text.to_owned()));
            assert_eq!(outcomes, [answer("a"), answer("c")]);
            let answers = ["a", "c"].map(|text| Some(text.to_owned()));
            for protocol in [Protocol::Paper, Protocol::Official] {
                let score = data.score(&answers, protocol).unwrap();
                assert_eq!(score.metric("total").unwrap().value, Ok(75.0));
                assert_eq!(score.metric("capability/rec").unwrap().value, Ok(50.0));
            }
            let all = load(root.path(), "all").unwrap();
            assert_eq!((all.samples().len(), all.provenance().split.as_str()), (3, "all"));
        }
    }

    #[test]
    fn faulty_lists_are_named() {
        let root = tempfile::tempdir().unwrap();
        official(root.path());
        let fault = || load(root.path(), "bard").map(|data| data.samples().len()).unwrap_err();
        let expected =
            "the ids of MM-Vet's Bard set (`bard_set.json`) not found; looked for `ROOT`; put the organisers'";
        assert!(fault().starts_with(expected), "{}", fault());
        let cases = [
            (
                r#"["v1_903"]"#,
                "`v1_903` is not in the data; take files of one release",
            ),
            (
                r#"["v1_900", "v1_900"]"#,
                "`v1_900` stands here twice; delete one of the two",
            ),
            ("[]", "names no question; download it again"),
            (
                r#"["v1_9"#,
                "cut off in the middle, at line 1 column 6; copy the file again",
            ),
        ];
        for (content, expected) in cases {
            fs::write(root.path().join("bard_set.json"), content).unwrap();
            assert_eq!(fault(), format!("`ROOT/bard_set.json`: {expected}"));
        }
        let error = load(root.path(), "brad").map(|data| data.samples().len()).unwrap_err();
        assert!(
            error.contains("unknown split of MM-Vet `brad`; did you mean `bard`?"),
            "{error}"
        );
    }
}
