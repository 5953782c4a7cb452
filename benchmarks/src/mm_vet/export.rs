//! `results/<model>.json` (`mm-vet.md`, section 7): one object from ids to answers, which the organisers' grader
//! takes. It looks up every question, so that none may lack an answer.

use crate::error::DataError;
use crate::export::{Export, complete};
use crate::json_object::Members;
use crate::python_json::{self, Indent};
use crate::sample::Sample;

/// The results of answers to all samples, in the order of the dataset.
pub(super) fn results(samples: &[Sample], answers: &[Option<String>]) -> Result<Export, DataError> {
    let answers = complete(samples, answers, "MM-Vet's grader")?;
    let members = samples
        .iter()
        .zip(answers)
        .map(|(sample, answer)| (sample.id.to_string(), answer.to_owned()));
    python_json::dump(&Members(members.collect()), Indent::Two).map(Export::File)
}
