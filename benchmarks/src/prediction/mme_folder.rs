//! MME's result folder: `<subtask>.txt` with `picture<TAB>question<TAB>Yes|No<TAB>response`, as its evaluation tool
//! (`eval_tool/calculation.py`) takes it and LLaVA's converter writes it.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{Prediction, PredictionFile, PredictionKey, PredictionOutcome};
use crate::error::DataError;
use crate::mme::Subtask;
use crate::text_file;

/// Reads the folder; its SHA-256 is that of its files' hashes, in the order of the subtasks.
pub(super) fn read(folder: &Path) -> Result<PredictionFile, DataError> {
    let mut hasher = Sha256::new();
    let mut predictions = Vec::new();
    let present = Subtask::all().map(|subtask| (subtask, folder.join(format!("{}.txt", subtask.id()))));
    for (subtask, path) in present.filter(|(_, path)| path.is_file()) {
        let (content, file) = text_file::read(&path)?;
        hasher.update(&file.sha256);
        let lines = content.lines().enumerate().filter(|(_, text)| !text.is_empty());
        for (n, text) in lines {
            let prediction = prediction(subtask, text, n + 1);
            predictions.push(prediction.map_err(|what| DataError::line(&path, n + 1, what))?);
        }
    }
    if predictions.is_empty() {
        let what = "no prediction file in this folder; give the file, or MME's result folder with `<subtask>.txt`";
        return Err(file_fault(folder, what));
    }
    Ok(PredictionFile {
        path: folder.to_owned(),
        sha256: format!("{:x}", hasher.finalize()),
        format: "MME result folder",
        predictions,
    })
}

fn prediction(subtask: Subtask, text: &str, line: usize) -> Result<Prediction, String> {
    let fields: Vec<&str> = text.split('\t').collect();
    let [picture, question, _, response] = fields.as_slice() else {
        return Err(match fields.len() {
            3 => "no fourth field, the response; these are the questions of the evaluation tool".to_owned(),
            n => format!("{n} fields, expected four: picture, question, right answer and response, with one tab each"),
        });
    };
    Ok(Prediction {
        key: PredictionKey::Picture(format!("{}/{picture}", subtask.id())),
        prompt: Some((*question).to_owned()),
        outcome: PredictionOutcome::Answer((*response).to_owned()),
        line,
    })
}

fn file_fault(path: &Path, what: &str) -> DataError {
    DataError::File {
        path: PathBuf::from(path),
        what: what.to_owned(),
    }
}
