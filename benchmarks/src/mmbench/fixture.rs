//! Small invented MMBench files for tests.

use std::fs;
use std::path::{Path, PathBuf};

use rust_xlsxwriter::Workbook;

use super::MmBench;
use crate::benchmark::{Benchmark, Dataset};
use crate::matching::match_predictions;
use crate::prediction::{PredictionFile, PredictionOutcome};
use crate::source::DataSource;

/// Index, question, hint, options, answer, category, L2 group, picture.
pub(super) type Row = (
    &'static str,
    &'static str,
    &'static str,
    [&'static str; 4],
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

/// Two options in two rotations; four of which the last stays, in three, with a hint; three, the third of which
/// pandas does not see.
pub(super) const ROWS: [Row; 7] = [
    (
        "7",
        "What is on the \"desk\"?",
        "",
        ["mug", "cat", "", ""],
        "A",
        "desk",
        "FP",
        "first picture",
    ),
    (
        "1000007",
        "What is on the \"desk\"?",
        "",
        ["cat", "mug", "", ""],
        "B",
        "desk",
        "FP",
        "first picture",
    ),
    (
        "8",
        "Which\nday?",
        "It is\nMonday.",
        ["a", "b", "c", "All not right"],
        "C",
        "day",
        "LR",
        "second picture",
    ),
    (
        "1000008",
        "Which\nday?",
        "It is\nMonday.",
        ["c", "a", "b", "All not right"],
        "A",
        "day",
        "LR",
        "second picture",
    ),
    (
        "2000008",
        "Which\nday?",
        "It is\nMonday.",
        ["b", "c", "a", "All not right"],
        "B",
        "day",
        "LR",
        "second picture",
    ),
    (
        "9",
        "How many?",
        "nan",
        ["7", "0.5", "None", ""],
        "B",
        "count",
        "FP",
        "first picture",
    ),
    (
        "1000009",
        "How many?",
        "nan",
        ["0.5", "7", "None", ""],
        "A",
        "count",
        "FP",
        "first picture",
    ),
];

/// The picture of a row: its base64 text is too long to be the index of another row.
pub(super) fn picture(row: &Row) -> Vec<u8> {
    row.7.repeat(9).into_bytes()
}

/// Writes a file and the folders above it.
pub(super) fn write(path: PathBuf, content: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// A cell as pandas writes it.
pub(super) fn quoted(cell: &str) -> String {
    if cell.contains(['\t', '\n', '"']) {
        return format!("\"{}\"", cell.replace('"', "\"\""));
    }
    cell.to_owned()
}

/// The TSV of these rows; `image` makes the cell of the picture.
pub(super) fn tsv(rows: &[Row], labelled: bool, image: impl Fn(&Row) -> String) -> String {
    let mut header = vec!["index", "question", "hint", "A", "B", "C", "D"];
    header.extend(labelled.then_some("answer"));
    header.extend(["category", "image", "source", "l2-category", "comment", "split"]);
    let mut content = header.join("\t") + "\n";
    for row in rows {
        let mut cells = vec![row.0.to_owned(), quoted(row.1), quoted(row.2)];
        cells.extend(row.3.iter().map(|option| quoted(option)));
        cells.extend(labelled.then(|| row.4.to_owned()));
        cells.extend([row.5.to_owned(), image(row), "invented".to_owned(), row.6.to_owned()]);
        cells.extend([String::new(), "dev".to_owned()]);
        content += &(cells.join("\t") + "\n");
    }
    content
}

/// The upload of these rows with these predictions.
pub(super) fn workbook(path: PathBuf, rows: &[Row], predictions: &[Option<&str>], labelled: bool) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet();
    let mut header = vec!["index", "question", "A", "B", "C", "D", "prediction"];
    header.extend(labelled.then_some("answer"));
    header.push("split");
    for (column, name) in (0..).zip(header) {
        sheet.write(0, column, name).unwrap();
    }
    for ((line, row), prediction) in (1..).zip(rows).zip(predictions) {
        sheet.write(line, 0, row.0.parse::<u32>().unwrap()).unwrap();
        let mut cells = vec![Some(row.1)];
        cells.extend(
            row.3
                .iter()
                .map(|option| (!["", "None"].contains(option)).then_some(*option)),
        );
        cells.push(*prediction);
        cells.extend(labelled.then_some(Some(row.4)));
        cells.push(Some("dev"));
        for (column, cell) in (1..).zip(cells) {
            if let Some(cell) = cell {
                sheet.write(line, column, cell).unwrap();
            }
        }
    }
    workbook.save(path).unwrap();
}

/// Loads MMBench from `root`; messages name it `ROOT`.
pub(super) fn load(root: &Path, split: Option<&str>) -> Result<Box<dyn Dataset>, String> {
    let source = DataSource {
        root: root.to_owned(),
        images: None,
        split: split.map(str::to_owned),
        grades: None,
    };
    let shown = root.display().to_string();
    MmBench
        .load(&source)
        .map_err(|error| error.to_string().replace(&shown, "ROOT"))
}

/// What `load` complains about.
pub(super) fn fault(root: &Path) -> String {
    load(root, None).map(|data| data.provenance().layout).unwrap_err()
}

/// The answers of a prediction file, beside the samples.
pub(super) fn answers(data: &dyn Dataset, path: &Path) -> Result<Vec<Option<String>>, String> {
    let file = PredictionFile::read(path).map_err(|error| error.to_string())?;
    let text = |outcome| match outcome {
        PredictionOutcome::Answer(text) => Some(text),
        PredictionOutcome::Failed(_) => None,
    };
    let outcomes = match_predictions(data, &file).map_err(|error| error.to_string())?;
    Ok(outcomes.into_iter().map(|outcome| outcome.and_then(text)).collect())
}
