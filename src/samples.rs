//! `samples.parquet`: one row a sample, for notebooks. See `results/FORMATS.md` for every column.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use benchmarks::{Dataset, SampleScore, Score};
use polars::error::PolarsError;
use polars::prelude::{Column, DataFrame, ParquetReader, ParquetWriter, PolarsResult, SerReader as _};

use crate::artefact;
use crate::fault::Fault;
use crate::journal::Entry;

/// Writes the samples of `dataset`, in its order, with what `entries` and `score` say of each; without a score the
/// columns `parsed` and `score` are null.
pub fn write(
    path: &Path,
    dataset: &dyn Dataset,
    entries: &HashMap<String, Entry>,
    score: Option<&Score>,
) -> Result<(), Fault> {
    let mut frame = frame(dataset, entries, score).map_err(|error| Fault::Bug(format!("samples.parquet: {error}")))?;
    artefact::write(path, |out| {
        ParquetWriter::new(out)
            .finish(&mut frame)
            .map(drop)
            .map_err(std::io::Error::other)
    })
}

/// The texts of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleText {
    /// The question as the source spells it.
    pub question: String,
    /// The reference answer.
    pub reference: Option<String>,
    /// What was said.
    pub answer: Option<String>,
}

/// One row, without the counts of tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleRow {
    /// Sample id.
    pub id: String,
    /// What tables group by.
    pub category: Option<String>,
    /// Keys of the pictures shown, one a line.
    pub picture: String,
    /// The question as the source spells it.
    pub question: String,
    /// What was asked.
    pub prompt: Option<String>,
    /// What was said.
    pub answer: Option<String>,
    /// Why nothing was.
    pub error: Option<String>,
    /// What the protocol read in the answer.
    pub parsed: Option<String>,
    /// The reference answer.
    pub reference: Option<String>,
    /// 0 to 1; `None` where there is none.
    pub score: Option<f64>,
}

/// Reads all rows.
pub fn read_all(path: &Path) -> Result<Vec<SampleRow>, Fault> {
    let file = File::open(path).map_err(|error| Fault::read(path, &error))?;
    let rows = ParquetReader::new(file).finish().and_then(|frame| sample_rows(&frame));
    rows.map_err(|error| other_version(path, &error))
}

fn sample_rows(frame: &DataFrame) -> PolarsResult<Vec<SampleRow>> {
    let text = |name: &str| frame.column(name)?.str();
    let (id, category, picture, question) = (text("id")?, text("category")?, text("picture")?, text("question")?);
    let (prompt, answer, error) = (text("prompt")?, text("answer")?, text("error")?);
    let (parsed, reference) = (text("parsed")?, text("reference")?);
    let score = frame.column("score")?.f64()?;
    let row = |row: usize| SampleRow {
        id: id.get(row).unwrap_or_default().to_owned(),
        category: category.get(row).map(str::to_owned),
        picture: picture.get(row).unwrap_or_default().to_owned(),
        question: question.get(row).unwrap_or_default().to_owned(),
        prompt: prompt.get(row).map(str::to_owned),
        answer: answer.get(row).map(str::to_owned),
        error: error.get(row).map(str::to_owned),
        parsed: parsed.get(row).map(str::to_owned),
        reference: reference.get(row).map(str::to_owned),
        score: score.get(row),
    };
    Ok((0..frame.height()).map(row).collect())
}

fn other_version(path: &Path, error: &PolarsError) -> Fault {
    Fault::User(format!(
        "`{}` is no samples file of this version: {error}; run the same command again to have it rewritten",
        path.display()
    ))
}

/// Reads the texts of the rows with these ids.
pub fn read(path: &Path, ids: &[&str]) -> Result<HashMap<String, SampleText>, Fault> {
    let file = File::open(path).map_err(|error| Fault::read(path, &error))?;
    let columns = ["id", "question", "reference", "answer"];
    let wanted = columns.iter().map(|&name| name.to_owned()).collect();
    let rows = ParquetReader::new(file)
        .with_columns(Some(wanted))
        .finish()
        .and_then(|frame| texts(&frame, columns, ids));
    rows.map_err(|error| other_version(path, &error))
}

fn texts(frame: &DataFrame, columns: [&str; 4], ids: &[&str]) -> PolarsResult<HashMap<String, SampleText>> {
    let [id, question, reference, answer] = columns;
    let [id, question, reference, answer] = [
        frame.column(id)?.str()?,
        frame.column(question)?.str()?,
        frame.column(reference)?.str()?,
        frame.column(answer)?.str()?,
    ];
    let mut found = HashMap::new();
    for row in 0..frame.height() {
        if let Some(id) = id.get(row).filter(|id| ids.contains(id)) {
            let text = SampleText {
                question: question.get(row).unwrap_or_default().to_owned(),
                reference: reference.get(row).map(str::to_owned),
                answer: answer.get(row).map(str::to_owned),
            };
            found.insert(id.to_owned(), text);
        }
    }
    Ok(found)
}

fn frame(dataset: &dyn Dataset, entries: &HashMap<String, Entry>, score: Option<&Score>) -> PolarsResult<DataFrame> {
    let samples = dataset.samples();
    let scores: Vec<Option<&SampleScore>> = match score {
        Some(score) => score.samples.iter().map(Some).collect(),
        None => vec![None; samples.len()],
    };
    let entry = |id: &str| entries.get(id);
    let text = |name: &str, values: Vec<Option<String>>| Column::new(name.into(), values);
    let count = |name: &str, values: Vec<Option<u32>>| Column::new(name.into(), values);
    let tokens = |pick: fn(&Entry) -> usize| {
        samples
            .iter()
            .map(|sample| entry(sample.id.as_str()).and_then(|entry| u32::try_from(pick(entry)).ok()))
            .collect()
    };
    DataFrame::new(
        samples.len(),
        vec![
            text("id", samples.iter().map(|sample| Some(sample.id.to_string())).collect()),
            text(
                "source_id",
                samples.iter().map(|sample| Some(sample.source_id.clone())).collect(),
            ),
            text(
                "category",
                samples.iter().map(|sample| sample.category.clone()).collect(),
            ),
            text(
                "picture",
                samples.iter().map(|sample| Some(sample.picture_group())).collect(),
            ),
            text(
                "question",
                samples.iter().map(|sample| Some(sample.question.clone())).collect(),
            ),
            text(
                "prompt",
                samples
                    .iter()
                    .map(|sample| entry(sample.id.as_str()).map(|e| e.prompt.clone()))
                    .collect(),
            ),
            text(
                "answer",
                samples
                    .iter()
                    .map(|sample| entry(sample.id.as_str())?.answer.clone())
                    .collect(),
            ),
            text(
                "error",
                samples
                    .iter()
                    .map(|sample| entry(sample.id.as_str())?.error.clone())
                    .collect(),
            ),
            text(
                "parsed",
                scores.iter().map(|sample| sample.as_ref()?.parsed.clone()).collect(),
            ),
            text(
                "reference",
                samples.iter().map(|sample| sample.reference.clone()).collect(),
            ),
            Column::new(
                "score".into(),
                scores.iter().map(|sample| sample.as_ref()?.score).collect::<Vec<_>>(),
            ),
            count("prompt_tokens", tokens(|entry| entry.prompt_tokens)),
            count("new_tokens", tokens(|entry| entry.new_tokens)),
        ],
    )
}
