//! Which prediction is about which sample.

use crate::benchmark::Dataset;
use crate::error::DataError;
use crate::prediction::{Prediction, PredictionFile, PredictionKey, PredictionOutcome};
use crate::python_text;
use crate::sample::Sample;

/// Why a prediction is about no sample of a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unlocated {
    /// No sample has that id.
    Unknown,
    /// No sample has that id, and the protocol's own scorer passes over such lines.
    PassedOver,
    /// The id fits, and yet the prediction cannot be taken; why not, and what to do.
    Refused(String),
}

impl Unlocated {
    /// The prediction names its sample in a way that the benchmark's data do not know.
    pub(crate) fn other_way(prediction: &Prediction) -> Self {
        let way = match &prediction.key {
            PredictionKey::Sample(_) => "our sample id",
            PredictionKey::Question(_) => "the question id",
            PredictionKey::Row(_) => "`doc_id`, the row of lmms-eval's data,",
            PredictionKey::Index(_) => "`index` of VLMEvalKit's data",
            PredictionKey::Picture(_) => "the picture",
            PredictionKey::Place(_) => "its place in the file, without an id,",
        };
        Self::Refused(format!(
            "{way} does not name a question of this benchmark; give answers with question ids, or our sample ids"
        ))
    }
}

/// The sample in `row` of the data, if the prompt asks its question: rows name a question in one order of one
/// release only. `bare` takes off what the questions of the data and of the prompt may differ in.
pub(crate) fn at_row(
    samples: &[Sample],
    row: usize,
    prompt: Option<&str>,
    bare: impl Fn(&str) -> String,
) -> Result<usize, Unlocated> {
    let sample = samples.get(row).ok_or(Unlocated::Unknown)?;
    let Some(prompt) = prompt else {
        return Err(Unlocated::Refused(format!(
            "row {row} comes without `input` or `arguments`, the prompt, so that its question cannot be checked; \
             give answers with question ids, or our sample ids"
        )));
    };
    if bare(prompt)
        .to_lowercase()
        .contains(&bare(&sample.question).to_lowercase())
    {
        return Ok(row);
    }
    Err(Unlocated::Refused(format!(
        "`input` asks `{}`, row {row} of the data is `{}`; give the data that lmms-eval asked, in its order",
        prompt.trim_start().lines().next().unwrap_or_default(),
        sample.question.trim_start().lines().next().unwrap_or_default(),
    )))
}

/// A text without white space at its ends.
pub(crate) fn stripped(text: &str) -> String {
    python_text::strip(text).to_owned()
}

/// What two lines about one sample mean in a file of another program. In our own files the last one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duplicates {
    /// The file is faulty.
    Refuse,
    /// The protocol's own scorer lets the last line count.
    LastWins,
}

/// Puts the predictions of `file` beside the samples of `dataset`: one entry a sample, `None` where the file has
/// no line about it.
///
/// # Errors
///
/// A prediction that is about no sample of the dataset, unless [`Unlocated::PassedOver`] and others are, and, where
/// [`Dataset::duplicates`] says so, two lines of another program's file about one sample.
pub fn match_predictions(
    dataset: &dyn Dataset,
    file: &PredictionFile,
) -> Result<Vec<Option<PredictionOutcome>>, DataError> {
    let mut matched: Vec<Option<&Prediction>> = vec![None; dataset.samples().len()];
    let mut unknown: Option<&Prediction> = None;
    let mut passed_over: Option<&Prediction> = None;
    let mut known = 0_usize;
    let in_order = match file.predictions.first() {
        Some(Prediction {
            key: PredictionKey::Place(_),
            ..
        }) => Some(dataset.locate_in_order(&file.predictions)),
        _ => None,
    };
    let in_order = in_order.transpose().map_err(|what| DataError::File {
        path: file.path.clone(),
        what,
    })?;
    for (place, prediction) in file.predictions.iter().enumerate() {
        let fault = |what: String| DataError::line(&file.path, prediction.line, what);
        let located = match &in_order {
            Some(indices) => indices.get(place).copied().ok_or(Unlocated::Unknown),
            None => dataset.locate(prediction),
        };
        let index = match located {
            Ok(index) => index,
            Err(Unlocated::Refused(why)) => return Err(fault(why)),
            Err(Unlocated::Unknown) => {
                unknown = unknown.or(Some(prediction));
                continue;
            }
            Err(Unlocated::PassedOver) => {
                passed_over = passed_over.or(Some(prediction));
                continue;
            }
        };
        known += 1;
        let Some(place) = matched.get_mut(index) else {
            return Err(fault(format!(
                "located at sample {index}, which the dataset does not have"
            )));
        };
        if let Some(earlier) = place
            && !matches!(prediction.key, PredictionKey::Sample(_))
            && dataset.duplicates() == Duplicates::Refuse
        {
            let id = &prediction.key;
            let what = format!(
                "`{id}` was answered in line {} already; a file may answer each sample once",
                earlier.line
            );
            return Err(fault(what));
        }
        *place = Some(prediction);
    }
    if let Some(first) = unknown.or(passed_over.filter(|_| known == 0)) {
        let split = &dataset.provenance().split;
        let id = &first.key;
        let what = if known == 0 {
            format!("none of its ids is in split `{split}` (first: `{id}`); it belongs to another benchmark or split")
        } else {
            format!("`{id}` is not in split `{split}`; delete the line or give the data that have this sample")
        };
        return Err(DataError::line(&file.path, first.line, what));
    }
    let outcomes = matched
        .into_iter()
        .map(|prediction| prediction.map(|p| p.outcome.clone()));
    Ok(outcomes.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::benchmark::Provenance;
    use crate::metric::Score;
    use crate::sample::SampleId;
    use crate::task::{PromptStyle, Protocol};

    /// Samples `0`, `1`, …; the question id `refused` may not be used, `extra` is passed over.
    struct Numbers {
        samples: Vec<Sample>,
        provenance: Provenance,
        duplicates: Duplicates,
    }

    impl Numbers {
        fn new(duplicates: Duplicates) -> Self {
            let sample = |n: usize| Sample {
                id: SampleId::row(n),
                source_id: n.to_string(),
                pictures: Vec::new(),
                question: String::new(),
                category: None,
                reference: None,
                scoring_group: n,
            };
            Self {
                samples: (0..3).map(sample).collect(),
                provenance: Provenance {
                    layout: "numbers",
                    split: "toy".to_owned(),
                    files: Vec::new(),
                    picture_folders: Vec::new(),
                },
                duplicates,
            }
        }
    }

    impl Dataset for Numbers {
        fn provenance(&self) -> &Provenance {
            &self.provenance
        }
        fn samples(&self) -> &[Sample] {
            &self.samples
        }
        fn prompt(&self, _: usize, _: PromptStyle) -> String {
            String::new()
        }
        fn locate(&self, prediction: &Prediction) -> Result<usize, Unlocated> {
            match prediction.key.to_string().as_str() {
                "refused" => Err(Unlocated::Refused("not like this".to_owned())),
                "extra" => Err(Unlocated::PassedOver),
                id => {
                    let found = self
                        .samples
                        .iter()
                        .position(|s| s.id.as_str() == id || s.source_id == id);
                    found.ok_or(Unlocated::Unknown)
                }
            }
        }
        fn duplicates(&self) -> Duplicates {
            self.duplicates
        }
        fn score(&self, _: &[Option<String>], _: Protocol) -> Result<Score, DataError> {
            Err(DataError::Mismatch("not scored".to_owned()))
        }
    }

    fn matched(duplicates: Duplicates, content: &str) -> Result<Vec<Option<String>>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("answers.jsonl");
        std::fs::write(&path, content).unwrap();
        let file = PredictionFile::read(&path).unwrap();
        let outcomes = match_predictions(&Numbers::new(duplicates), &file).map_err(|error| error.to_string())?;
        let text = |outcome| match outcome {
            PredictionOutcome::Answer(answer) => answer,
            PredictionOutcome::Failed(reason) => format!("failed: {reason}"),
        };
        Ok(outcomes.into_iter().map(|outcome| outcome.map(text)).collect())
    }

    #[test]
    fn predictions_find_their_samples() {
        let answers = matched(
            Duplicates::Refuse,
            "{\"question_id\": 2, \"text\": \"c\"}\n{\"question_id\": 0, \"text\": \"a\"}",
        );
        assert_eq!(answers, Ok(vec![Some("a".to_owned()), None, Some("c".to_owned())]));
    }

    #[test]
    fn the_last_line_wins_in_our_files_and_where_the_protocol_says_so() {
        let ours = "{\"id\": \"row/1\", \"answer\": \"a\"}\n{\"id\": \"row/1\", \"error\": \"b\"}";
        let expected = Ok(vec![None, Some("failed: b".to_owned()), None]);
        assert_eq!(matched(Duplicates::Refuse, ours), expected);
        let theirs = "{\"question_id\": 1, \"text\": \"a\"}\n\n{\"question_id\": 1, \"text\": \"b\"}";
        assert_eq!(
            matched(Duplicates::LastWins, theirs),
            Ok(vec![None, Some("b".to_owned()), None])
        );
        let error = matched(Duplicates::Refuse, theirs).unwrap_err();
        assert!(
            error.ends_with("line 3: `1` was answered in line 1 already; a file may answer each sample once"),
            "{error}"
        );
    }

    #[test]
    fn lines_that_the_protocol_passes_over_are_no_fault_beside_others() {
        let extra = "{\"question_id\": \"extra\", \"text\": \"x\"}";
        let known = "{\"question_id\": 2, \"text\": \"c\"}";
        assert_eq!(
            matched(Duplicates::Refuse, &format!("{extra}\n{known}\n{extra}")),
            Ok(vec![None, None, Some("c".to_owned())])
        );
        let error = matched(Duplicates::Refuse, &format!("{extra}\n{extra}")).unwrap_err();
        assert!(
            error.contains("line 1: none of its ids is in split `toy` (first: `extra`)"),
            "{error}"
        );
    }

    #[test]
    fn unknown_and_refused_ids_are_named() {
        let cases = [
            (
                "{\"question_id\": 1, \"text\": \"\"}\n\
                 {\"question_id\": 7, \"text\": \"\"}\n\
                 {\"question_id\": 8, \"text\": \"\"}",
                "line 2: `7` is not in split `toy`; delete the line or give the data that have this sample",
            ),
            (
                "{\"question_id\": 7, \"text\": \"\"}",
                "line 1: none of its ids is in split `toy` (first: `7`); it belongs to another benchmark or split",
            ),
            (
                "{\"question_id\": 1, \"text\": \"\"}\n{\"question_id\": \"refused\", \"text\": \"\"}",
                "line 2: not like this",
            ),
        ];
        for (content, expected) in cases {
            let error = matched(Duplicates::Refuse, content).unwrap_err();
            assert!(error.ends_with(expected), "{error}");
        }
    }
}
