//! The upload for EvalAI challenge 2185 (`vizwiz.md`, section 7): one object a question, in the order of the
//! questions, named by its picture.

use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::export::{Export, complete};
use crate::python_json::{self, Indent};
use crate::sample::Sample;
use crate::vqa_text::Normaliser;

/// A question's answer.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    /// The picture's file; all of VizWiz are JPEG.
    image: String,
    /// After the EvalAI processor.
    answer: String,
}

/// The upload of answers to all samples.
pub(super) fn upload(samples: &[Sample], answers: &[Option<String>]) -> Result<Export, DataError> {
    let answers = complete(samples, answers, "VizWiz's server")?;
    let records = samples.iter().zip(answers).map(|(sample, answer)| Record {
        image: format!("{}.jpg", sample.id),
        answer: Normaliser::EvalAi.apply(answer),
    });
    python_json::dump(&records.collect::<Vec<_>>(), Indent::None).map(Export::File)
}

#[cfg(test)]
mod tests {
    use crate::export::Export;
    use crate::sample::{Sample, SampleId};

    fn samples() -> Vec<Sample> {
        let sample = |n: usize| Sample {
            id: SampleId::new(format!("VizWiz_test_{n:08}")),
            source_id: n.to_string(),
            pictures: Vec::new(),
            question: String::new(),
            category: None,
            reference: None,
            scoring_group: n,
        };
        (0..3).map(sample).collect()
    }

    #[test]
    fn answers_are_uploaded_after_the_evalai_processor() {
        let answers = ["Unanswerable.", "", "A Dog's Café"].map(|answer| Some(answer.to_owned()));
        let Ok(Export::File(bytes)) = super::upload(&samples(), &answers) else {
            panic!("no file")
        };
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "[{\"image\": \"VizWiz_test_00000000.jpg\", \"answer\": \"unanswerable\"}, \
             {\"image\": \"VizWiz_test_00000001.jpg\", \"answer\": \"\"}, \
             {\"image\": \"VizWiz_test_00000002.jpg\", \"answer\": \"dog 's caf\\u00e9\"}]"
        );
    }

    #[test]
    fn a_question_without_an_answer_is_an_error() {
        let answers = [Some("yes".to_owned()), None, None];
        let error = super::upload(&samples(), &answers).unwrap_err().to_string();
        assert_eq!(
            error,
            "2 of 3 samples have no answer (first: `VizWiz_test_00000001`); VizWiz's server needs every one: resume \
             the run or complete the answer file"
        );
    }
}
