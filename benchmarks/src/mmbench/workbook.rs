//! The sheet that is uploaded to the organisers' server: questions, options, predictions and, for `dev`, labels. As
//! data it serves scoring without the TSV; hints, categories and pictures are not in it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use calamine::{Data, Reader, Xlsx};

use super::MmBenchData;
use super::layout::{Candidate, Placed, assemble, row, split_of_name, split_of_rows};
use crate::error::DataError;
use crate::parquet::source_file;
use crate::picture::{Picture, PictureError};
use crate::prediction::{Prediction, PredictionFile, PredictionKey, PredictionOutcome};
use crate::tsv::present;

/// Where LLaVA's script writes the sheets, one folder for each split.
const UPLOADS: &str = "answers_upload";

/// Columns that make a sheet one of these.
const NEEDED: [&str; 4] = ["index", "question", "A", "prediction"];

/// The first sheet of a workbook.
struct Sheet {
    header: Vec<String>,
    /// The rows below the header, each with its number in the sheet, from 1.
    rows: Vec<(usize, Vec<Option<String>>)>,
}

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
            let Some(split) = split_of_name(&place)
                .or_else(|| split_of_name(&path))
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
    let sheet = Sheet::read(path)?;
    let labelled = sheet.column("answer").is_some();
    let mut rows = Vec::with_capacity(sheet.rows.len());
    for (number, cells) in &sheet.rows {
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

/// The predictions of a sheet; a row whose cell is empty has none. `None` for a file of another kind.
pub(crate) fn predictions(path: &Path) -> Option<Result<PredictionFile, DataError>> {
    is_workbook(path).then(|| {
        let sheet = Sheet::read(path)?;
        let mut predictions = Vec::with_capacity(sheet.rows.len());
        for (number, cells) in &sheet.rows {
            let Some(index) = present(sheet.cell(cells, "index")) else {
                return Err(DataError::Record {
                    path: path.to_owned(),
                    record: format!("row {number}"),
                    what: "`index` is missing".to_owned(),
                });
            };
            if let Some(answer) = sheet.cell(cells, "prediction") {
                predictions.push(Prediction {
                    key: PredictionKey::Question(index.strip_suffix(".0").unwrap_or(&index).to_owned()),
                    prompt: None,
                    outcome: PredictionOutcome::Answer(answer),
                    line: *number,
                });
            }
        }
        let file = source_file(path)?;
        Ok(PredictionFile {
            path: file.path,
            sha256: file.sha256,
            format: "MMBench upload sheet",
            predictions,
        })
    })
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
fn split(path: &Path) -> Option<&'static str> {
    let sheet = Sheet::read(path).ok()?;
    let (_, first) = sheet.rows.first()?;
    split_of_rows(&sheet.cell(first, "split")?, sheet.rows.len())
}

impl Sheet {
    fn read(path: &Path) -> Result<Self, DataError> {
        let fault = |what: String| DataError::File {
            path: path.to_owned(),
            what,
        };
        let file = File::open(path).map_err(|error| DataError::unreadable(path, &error))?;
        let broken = |error: calamine::XlsxError| fault(format!("not readable as a spreadsheet: {error}"));
        let mut workbook = Xlsx::new(BufReader::new(file)).map_err(broken)?;
        let range = workbook
            .worksheet_range_at(0)
            .ok_or_else(|| fault("holds no sheet".to_owned()))?
            .map_err(broken)?;
        let mut rows = range.rows().map(|row| row.iter().map(text).collect::<Vec<_>>());
        let header: Vec<String> = rows
            .next()
            .unwrap_or_default()
            .into_iter()
            .map(Option::unwrap_or_default)
            .collect();
        if let Some(absent) = NEEDED
            .iter()
            .find(|needed| !header.iter().any(|column| column == *needed))
        {
            return Err(fault(format!("no column `{absent}`; this is not an MMBench upload")));
        }
        let first = range.start().map_or(0, |(row, _)| row as usize);
        let numbered = rows.enumerate().map(|(n, cells)| (first + n + 2, cells));
        let filled = numbered.filter(|(_, cells)| cells.iter().any(Option::is_some));
        Ok(Self {
            header,
            rows: filled.collect(),
        })
    }

    fn column(&self, name: &str) -> Option<usize> {
        self.header.iter().position(|column| column == name)
    }

    fn cell(&self, cells: &[Option<String>], name: &str) -> Option<String> {
        cells.get(self.column(name)?)?.clone()
    }
}

/// A cell as text; `None` where it is empty.
fn text(cell: &Data) -> Option<String> {
    match cell {
        Data::Empty | Data::Error(_) => None,
        Data::String(text) => (!text.is_empty()).then(|| text.clone()),
        other => Some(other.to_string()),
    }
}
