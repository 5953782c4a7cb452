//! VizWiz from VLMEvalKit's `VizWiz.tsv`: no picture's name, no answer types, the answers as a Python list.

use std::path::Path;

use super::layout::{Assembly, Label, Name, Row};
use super::{Split, VizwizData};
use crate::error::DataError;
use crate::parquet::source_file;
use crate::python_list;
use crate::tsv::{self, Tsv, TsvRow};

/// The file.
pub(super) const FILE: &str = "VizWiz.tsv";

/// What only the splits with public answers have.
const ANSWERS: &str = "answers";

/// The file's rows; `None` where it is not in `folder`, or holds the other split.
pub(super) fn vlmevalkit(folder: &Path, split: Split, _: Option<&Path>) -> Result<Option<VizwizData>, DataError> {
    let Some(path) = tsv::find(folder, FILE)? else {
        return Ok(None);
    };
    let answered = tsv::columns(&path)?.iter().any(|column| column == ANSWERS);
    if answered != (split == Split::Val) {
        return Ok(None);
    }
    let table = Tsv::read(&path, "VLMEvalKit's VizWiz", &["question"])?;
    let mut assembly = Assembly::default();
    for row in table.rows() {
        let added = of_table(&row, answered).and_then(|question| assembly.add(question));
        added.map_err(|what| row.fault(what))?;
    }
    let files = vec![source_file(&path)?];
    Ok(Some(assembly.finish(
        "VLMEvalKit TSV",
        split,
        folder,
        files,
        Vec::new(),
    )))
}

fn of_table(row: &TsvRow<'_>, answered: bool) -> Result<Row, String> {
    let label = if answered {
        let answers = python_list::parse(row.needed(ANSWERS)?).map_err(|what| format!("`{ANSWERS}`: {what}"))?;
        Some(Label {
            answers,
            answer_type: None,
            answerable: None,
        })
    } else {
        None
    };
    Ok(Row {
        position: None,
        name: Name::Own(row.index()?.to_owned()),
        question: row.needed("question")?.to_owned(),
        picture: row.picture(),
        label,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::task::{PromptStyle, Protocol};
    use crate::tsv::fixture::{in_base64, picture, table};
    use crate::vizwiz::tests::load;

    const MINT: &str = "['mint', 'mint', 'mint', 'mint', 'mint', 'mint', 'mint', 'Mint', 'Mint', 'unanswerable']";
    const YES: &str = r#"['yes', 'yes', "can't", 'yes', 'yes', 'yes', 'yes', 'yes', 'yes', 'yes']"#;

    fn content(answered: bool) -> String {
        let rows = [
            ["0", &in_base64("ice"), "What flavor is this? ", MINT],
            ["1", &in_base64("lamp"), "is this \"on\"", YES],
            ["2", "0", "and this?", YES],
        ];
        let last = if answered { "answers" } else { "split" };
        table(
            ["index", "image", "question", last],
            rows.map(|row| row.map(str::to_owned)),
        )
    }

    fn write(root: &Path, content: &str) {
        std::fs::write(root.join("VizWiz.tsv"), content).unwrap();
    }

    #[test]
    fn rows_with_answers_are_val() {
        let root = tempfile::tempdir().unwrap();
        let crlf = format!("\u{feff}{}", content(true).replace('\n', "\r\n"));
        for content in [content(true), crlf] {
            write(root.path(), &content);
            let data = load(root.path(), None).unwrap();
            let provenance = data.provenance();
            assert_eq!(
                (provenance.layout, provenance.split.as_str()),
                ("VLMEvalKit TSV", "val")
            );
            for ((n, sample), shown) in data.samples().iter().enumerate().zip(["ice", "lamp", "ice"]) {
                assert_eq!(
                    (sample.id.to_string(), sample.source_id.clone()),
                    (format!("row/{n}"), n.to_string())
                );
                assert_eq!(sample.category, None);
                assert_eq!(sample.pictures[0].read(), Ok(picture(shown)));
            }
            assert_eq!(data.prompt(0, PromptStyle::VlmEvalKit), "What flavor is this? ");
            let answers = ["mint", "yes", "no"].map(|answer| Some(answer.to_owned()));
            let score = data.score(&answers, Protocol::Official).unwrap();
            let scores: Vec<f64> = score.samples.iter().map(|sample| sample.score.unwrap()).collect();
            assert_eq!(scores, [1.0, 1.0, 0.0]);
            for id in ["accuracy/yes-no", "accuracy/other", "unanswerable/f1"] {
                let reason = score.metric(id).unwrap().value.clone().unwrap_err();
                assert!(reason.starts_with("the data do not say which "), "{id}: {reason}");
            }
        }
        assert!(
            load(root.path(), Some("test-dev"))
                .map(|data| data.provenance().layout)
                .is_err()
        );
    }

    #[test]
    fn rows_without_answers_are_test() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &content(false));
        let data = load(root.path(), None).unwrap();
        assert_eq!(
            (data.provenance().split.as_str(), data.samples().len()),
            ("test-dev", 3)
        );
        assert_eq!(data.samples()[2].reference, None);
    }

    #[test]
    fn faulty_rows_are_named() {
        let cases = [
            ("['mint'", "'mint'", "`ROOT/VizWiz.tsv`, line 2: `answers`: `'mint'"),
            (MINT, "NaN", "`ROOT/VizWiz.tsv`, line 2: `answers` is missing"),
            (
                "\tquestion",
                "\ttext",
                "`ROOT/VizWiz.tsv`: no column `question`; this is not VLMEvalKit's VizWiz",
            ),
            ("2\t0", "2\t7", "`ROOT/VizWiz.tsv`, line 4: `image` names row `7`"),
        ];
        let root = tempfile::tempdir().unwrap();
        for (from, to, expected) in cases {
            write(root.path(), &content(true).replacen(from, to, 1));
            let error = load(root.path(), None)
                .map(|data| data.provenance().layout)
                .unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
