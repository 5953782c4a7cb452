//! Result tables of VLMEvalKit, `.xlsx` or `.tsv`, and MMBench's upload sheet: a row a sample, columns `index` and
//! `prediction`; `question`, `category` and `image_path` where they are there.
//!
//! A cell cannot tell an empty answer from none: a row whose `prediction` is empty has no prediction.

use std::path::Path;

use super::{Prediction, PredictionFile, PredictionKey, PredictionOutcome};
use crate::error::DataError;
use crate::parquet::source_file;
use crate::sheet::Sheet;

/// Columns without which a table is none of these.
const NEEDED: [&str; 2] = ["index", "prediction"];

/// Reads a workbook.
pub(super) fn workbook(path: &Path) -> Result<PredictionFile, DataError> {
    predictions(path, &Sheet::workbook(path)?, "sheet with `index` and `prediction`")
}

/// Reads tab-separated values.
pub(super) fn tab_separated(path: &Path) -> Result<PredictionFile, DataError> {
    let format = "tab-separated values with `index` and `prediction`";
    predictions(path, &Sheet::tab_separated(path)?, format)
}

/// Whether the first line of a file is the header of tab-separated values.
pub(super) fn is_header(line: &str) -> bool {
    let mut names = line.split('\t').map(|name| name.trim_matches('"'));
    line.contains('\t') && names.any(|name| NEEDED.contains(&name))
}

fn predictions(path: &Path, sheet: &Sheet, format: &'static str) -> Result<PredictionFile, DataError> {
    let fault = |what: &str| DataError::File {
        path: path.to_owned(),
        what: what.to_owned(),
    };
    if let Some(absent) = NEEDED.into_iter().find(|needed| !sheet.has(needed)) {
        let what = format!("no column `{absent}`; a table of predictions has `index` and `prediction`");
        return Err(fault(&what));
    }
    let mut predictions = Vec::with_capacity(sheet.rows().len());
    for (number, cells) in sheet.rows() {
        let Some(index) = sheet.cell(cells, "index") else {
            return Err(DataError::Record {
                path: path.to_owned(),
                record: format!("row {number}"),
                what: "`index` is empty; each row needs its own, merged cells have it in the first row only".to_owned(),
            });
        };
        let picture = match (sheet.cell(cells, "category"), sheet.cell(cells, "image_path")) {
            (Some(category), Some(picture)) => {
                let file = picture.rsplit('/').next().unwrap_or_default();
                Some(PredictionKey::Picture(format!("{category}/{file}")))
            }
            _ => None,
        };
        // A column of numbers with an empty cell becomes decimal in pandas.
        let index = || PredictionKey::Index(index.strip_suffix(".0").unwrap_or(&index).to_owned());
        if let Some(answer) = sheet.cell(cells, "prediction") {
            predictions.push(Prediction {
                key: picture.unwrap_or_else(index),
                prompt: sheet.cell(cells, "question"),
                outcome: PredictionOutcome::Answer(answer),
                line: *number,
            });
        }
    }
    if predictions.is_empty() {
        return Err(fault("holds no prediction; all cells under `prediction` are empty"));
    }
    let file = source_file(path)?;
    Ok(PredictionFile {
        path: file.path,
        sha256: file.sha256,
        format,
        predictions,
    })
}
