//! The sheet that is uploaded to the organisers' server: questions, options, predictions and, for `dev`, labels. As
//! data it serves scoring without the TSV; hints, categories and pictures are not in it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::MmBenchData;
use super::layout::{Candidate, Placed, assemble, row};
use super::split::Split;
use crate::error::DataError;
use crate::parquet::source_file;
use crate::picture::{Picture, PictureError};
use crate::sheet::Sheet;

/// Where LLaVA's script writes the sheets, one folder for each split.
const UPLOADS: &str = "answers_upload";

/// Columns that make a sheet one of these.
const NEEDED: [&str; 4] = ["index", "question", "A", "prediction"];

/// The sheets in `folder` and in its upload folders, one for each split: their labels are the same.
pub(super) fn find(folder: &Path) -> Result<Vec<Candidate>, DataError> {
    let mut places = vec![folder.to_owned()];
    places.extend(entries(&folder.join(UPLOADS)).into_iter().filter(|path| path.is_dir()));
    let mut candidates: Vec<Candidate> = Vec::new();
    for place in places {
        for path in entries(&place) {
            if !is_workbook(&path) {
                continue;
            }
            let Some(split) = Split::of_name(&place)
                .or_else(|| Split::of_name(&path))
                .or_else(|| split(&path))
            else {
                continue;
            };
            if !candidates.iter().any(|candidate| candidate.split == split) {
                candidates.push(Candidate {
                    split,
                    paths: vec![path],
                });
            }
        }
    }
    Ok(candidates)
}

/// Reads the rows of a sheet.
pub(super) fn read(candidate: &Candidate, _: &Path, _: Option<&Path>) -> Result<MmBenchData, DataError> {
    let path = candidate.paths.first().map(PathBuf::as_path).unwrap_or(Path::new(""));
    let sheet = upload(path)?;
    let labelled = sheet.has("answer");
    let mut rows = Vec::with_capacity(sheet.rows().len());
    for (number, cells) in sheet.rows() {
        let record = format!("row {number}");
        let row = row(|column| sheet.cell(cells, column), labelled);
        let row = row.map_err(|what| DataError::Record {
            path: path.to_owned(),
            record: record.clone(),
            what,
        })?;
        let name = format!("question {}", row.number);
        rows.push(Placed {
            path: path.to_owned(),
            record,
            picture: Picture::absent(name.clone(), PictureError::Missing { name }),
            row,
        });
    }
    assemble(
        rows,
        "upload sheet without pictures",
        candidate.split,
        vec![source_file(path)?],
        &[],
    )
}

/// The files and folders in `folder`, in order; none if it is not there.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}

fn is_workbook(path: &Path) -> bool {
    path.extension()
        .and_then(OsStr::to_str)
        .is_some_and(|suffix| suffix.eq_ignore_ascii_case("xlsx"))
}

/// The split that the rows themselves name; `None` also for a sheet of another kind, which may lie here.
fn split(path: &Path) -> Option<Split> {
    let sheet = upload(path).ok()?;
    let (_, first) = sheet.rows().first()?;
    Split::of_rows(&sheet.cell(first, "split")?, sheet.rows().len())
}

fn upload(path: &Path) -> Result<Sheet, DataError> {
    let sheet = Sheet::workbook(path)?;
    match NEEDED.into_iter().find(|needed| !sheet.has(needed)) {
        None => Ok(sheet),
        Some(absent) => Err(DataError::File {
            path: path.to_owned(),
            what: format!("no column `{absent}`; this is not an MMBench upload"),
        }),
    }
}
