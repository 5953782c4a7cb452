//! MMBench from the organisers' TSV or VLMEvalKit's.

use std::path::Path;

use super::MmBenchData;
use super::layout::{Candidate, Placed, assemble, row};
use super::split::Split;
use crate::error::DataError;
use crate::parquet::source_file;
use crate::tsv::{self, Tsv};

/// The TSV files of known names in `folder`.
pub(super) fn find(folder: &Path) -> Result<Vec<Candidate>, DataError> {
    let candidates = tsv::files(folder)?.into_iter().filter_map(|path| {
        Some(Candidate {
            split: Split::of_name(&path)?,
            paths: vec![path],
        })
    });
    Ok(candidates.collect())
}

/// Reads the rows of a file.
pub(super) fn read(candidate: &Candidate, _: &Path, _: Option<&Path>) -> Result<MmBenchData, DataError> {
    let path = candidate.paths.first().map_or(Path::new(""), |path| path.as_path());
    let table = Tsv::read(path, "MMBench's TSV", &["question"])?;
    let labelled = table.has("answer");
    let rows = table.rows().map(|of_table| {
        let cell = |column: &str| of_table.cell(column).map(str::to_owned);
        Ok(Placed {
            path: path.to_owned(),
            record: of_table.place().1,
            row: row(cell, labelled).map_err(|what| of_table.fault(what))?,
            picture: of_table.picture(),
        })
    });
    let rows: Vec<Placed> = rows.collect::<Result<_, DataError>>()?;
    assemble(rows, "TSV", candidate.split, vec![source_file(path)?], &[])
}
