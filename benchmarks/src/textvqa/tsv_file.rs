//! TextVQA from VLMEvalKit's `TextVQA_VAL.tsv`: no picture's name, no OCR tokens, the ten answers as a Python list.

use std::path::Path;

use super::TextvqaData;
use super::layout::{Origin, Row, assemble};
use crate::error::DataError;
use crate::parquet::source_file;
use crate::python_list;
use crate::tsv::{self, Tsv, TsvRow};

/// The file.
pub(super) const FILE: &str = "TextVQA_VAL.tsv";

/// The file's rows; `None` where it is not in `folder`.
pub(super) fn vlmevalkit(folder: &Path, _: Option<&Path>) -> Result<Option<TextvqaData>, DataError> {
    let Some(path) = tsv::find(folder, FILE)? else {
        return Ok(None);
    };
    let table = Tsv::read(&path, "VLMEvalKit's TextVQA", &["question", "answer"])?;
    let rows = table.rows().map(|row| of_table(&row).map_err(|what| row.fault(what)));
    let rows: Vec<Row> = rows.collect::<Result<_, DataError>>()?;
    let origin = Origin {
        layout: "VLMEvalKit TSV",
        folder,
        files: vec![source_file(&path)?],
        picture_folders: Vec::new(),
    };
    assemble(rows, origin).map(Some)
}

fn of_table(row: &TsvRow<'_>) -> Result<Row, String> {
    let answers = python_list::parse(row.needed("answer")?).map_err(|what| format!("`answer`: {what}"))?;
    Ok(Row {
        place: row.place(),
        source_id: row.index()?.to_owned(),
        number: None,
        image_id: None,
        question: row.needed("question")?.to_owned(),
        ocr: None,
        picture: row.picture(),
        answers: Some(answers),
    })
}

#[cfg(test)]
mod tests {
    use crate::task::{PromptStyle, Protocol};
    use crate::textvqa::tests::load;
    use crate::tsv::fixture::{in_base64, picture, table};

    const ANSWERS: &str = r#"['acme', 'acme', 'acme', 'acme', 'acme', 'acme', 'acme', 'acme', "acme's", 'ac\\me']"#;

    fn content() -> String {
        let rows = [
            ["0", &in_base64("mug"), "what word is \"this\"?", ANSWERS],
            ["1", "0", "what brand?", &ANSWERS.replace("acme'", "ibm'")],
            ["2", &in_base64("cat"), "what is it?", ANSWERS],
        ];
        table(
            ["index", "image", "question", "answer"],
            rows.map(|row| row.map(str::to_owned)),
        )
    }

    #[test]
    fn rows_are_asked_and_scored_without_ocr_tokens() {
        let root = tempfile::tempdir().unwrap();
        let crlf = format!("\u{feff}{}", content().replace('\n', "\r\n"));
        for (folder, content) in [("textvqa", content()), ("", crlf)] {
            let root = tempfile::tempdir_in(root.path()).unwrap();
            let folder = root.path().join(folder);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("TextVQA_VAL.tsv"), content).unwrap();
            let data = load(root.path()).unwrap();
            let provenance = data.provenance();
            assert_eq!(
                (provenance.layout, provenance.split.as_str()),
                ("VLMEvalKit TSV", "val")
            );
            for ((n, sample), shown) in data.samples().iter().enumerate().zip(["mug", "mug", "cat"]) {
                assert_eq!(
                    (sample.id.to_string(), sample.source_id.clone()),
                    (format!("row/{n}"), n.to_string())
                );
                assert_eq!(sample.pictures[0].read(), Ok(picture(shown)));
            }
            let prompt = "what word is \"this\"?\nAnswer the question using a single word or phrase.";
            assert_eq!(data.prompt(0, PromptStyle::VlmEvalKit), prompt);
            assert_eq!(
                data.can_ask(PromptStyle::VlmEvalKit).map_err(|error| error.to_string()),
                Ok(())
            );
            assert!(
                data.can_ask(PromptStyle::Paper)
                    .unwrap_err()
                    .to_string()
                    .contains("OCR tokens")
            );
            let answers = ["Acme", "ibm", "cat"].map(|answer| Some(answer.to_owned()));
            let score = data.score(&answers, Protocol::Paper).unwrap();
            let scores: Vec<f64> = score.samples.iter().map(|sample| sample.score.unwrap()).collect();
            assert_eq!(scores, [1.0, 1.0, 0.0]);
        }
    }

    #[test]
    fn faulty_rows_are_named() {
        let cases = [
            (
                "'acme', ",
                "",
                "`ROOT/TextVQA_VAL.tsv`, line 2: 9 reference answers; the evaluator takes exactly 10",
            ),
            (
                "'acme', ",
                "'acme' ",
                "`ROOT/TextVQA_VAL.tsv`, line 2: `answer`: no comma or `]` after element 1",
            ),
            (
                "\"what word is \"\"this\"\"?\"",
                "nan",
                "`ROOT/TextVQA_VAL.tsv`, line 2: `question` is missing",
            ),
            (
                "\tanswer",
                "\tanswers",
                "`ROOT/TextVQA_VAL.tsv`: no column `answer`; this is not VLMEvalKit's TextVQA",
            ),
        ];
        let root = tempfile::tempdir().unwrap();
        for (from, to, expected) in cases {
            std::fs::write(root.path().join("TextVQA_VAL.tsv"), content().replacen(from, to, 1)).unwrap();
            let error = load(root.path()).map(|data| data.provenance().layout).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
