//! POPE from VLMEvalKit's `POPE.tsv`: one row for a question about a picture, with the categories that ask it.

use std::path::Path;

use super::PopeData;
use super::layout::{Row, assemble, category, positive};
use crate::error::DataError;
use crate::parquet::source_file;
use crate::python_text;
use crate::tsv::{self, Tsv, TsvRow};

/// The file.
pub(super) const FILE: &str = "POPE.tsv";

/// The file's rows, each once for every category; `None` where it is not in `folder`.
pub(super) fn vlmevalkit(folder: &Path, _: Option<&Path>) -> Result<Option<PopeData>, DataError> {
    let Some(path) = tsv::find(folder, FILE)? else {
        return Ok(None);
    };
    let table = Tsv::read(&path, "VLMEvalKit's POPE", &["question", "answer", "category"])?;
    let mut rows = Vec::new();
    for row in table.rows() {
        add_rows(&row, &mut rows).map_err(|what| row.fault(what))?;
    }
    assemble(rows, None, "VLMEvalKit TSV", vec![source_file(&path)?], &[]).map(Some)
}

fn add_rows(row: &TsvRow<'_>, rows: &mut Vec<Row>) -> Result<(), String> {
    let positive = positive(python_text::strip(&row.needed("answer")?.to_lowercase()))?;
    let mut categories = Vec::new();
    for name in row.needed("category")?.split(',') {
        let category = category(python_text::strip(name))?;
        if categories.contains(&category) {
            return Err(format!("category `{}` twice in one row", category.id()));
        }
        categories.push(category);
        rows.push(Row {
            place: row.place(),
            source_id: row.index()?.to_owned(),
            category,
            stem: None,
            picture: row.picture(),
            question: row.needed("question")?.to_owned(),
            positive,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::pope::fixture::{ROWS, answers, fault, load, write};
    use crate::task::Protocol;
    use crate::tsv::fixture::{in_base64, picture, table};

    const COLUMNS: [&str; 5] = ["index", "image", "question", "answer", "category"];

    /// The fixture's first and third row are one here; the last shows its picture through the fourth.
    fn content() -> String {
        let image = |n: usize| in_base64(ROWS[n].1);
        let row = |index: &str, image: String, n: usize, answer: &str, category: &str| {
            [index, &image, ROWS[n].2, answer, category].map(str::to_owned)
        };
        let rows = [
            row("0", image(0), 0, "Yes", "random,popular"),
            row("1", image(1), 1, "No", "random"),
            row("2", image(3), 3, " no", " popular"),
            row("3", image(4), 4, "Yes", "adversarial"),
            row("4", "2".to_owned(), 5, "No", "adversarial"),
        ];
        table(COLUMNS, rows)
    }

    #[test]
    fn rows_are_asked_once_for_every_category() {
        let root = tempfile::tempdir().unwrap();
        let crlf = format!("\u{feff}{}", content().replace('\n', "\r\n"));
        for (name, content) in [("POPE/POPE.tsv", content()), ("pope.tsv", crlf)] {
            let root = tempfile::tempdir_in(root.path()).unwrap();
            write(root.path().join(name), content);
            let data = load(root.path()).unwrap();
            let provenance = data.provenance();
            assert_eq!(
                (provenance.layout, provenance.split.as_str()),
                ("VLMEvalKit TSV", "coco-6")
            );
            let order = [0, 2, 1, 3, 4, 5];
            let of_rows = ["0", "0", "1", "2", "3", "4"];
            for (at, sample) in data.samples().iter().enumerate() {
                let (category, shown, question, label) = ROWS[order[at]];
                assert_eq!(sample.id.to_string(), format!("row/{at}"));
                assert_eq!(sample.source_id, of_rows[at]);
                assert_eq!(sample.category.as_deref(), Some(category));
                assert_eq!(
                    (sample.question.as_str(), sample.reference.as_deref()),
                    (question, Some(label))
                );
                assert_eq!(sample.pictures[0].read(), Ok(picture(shown)));
            }
            let mut groups: Vec<String> = data.samples().iter().map(|sample| sample.picture_group()).collect();
            groups.dedup();
            assert_eq!(groups.len(), 2);
            let lines: Vec<serde_json::Value> = data
                .samples()
                .iter()
                .map(|sample| serde_json::json!({"id": sample.id, "answer": sample.reference}))
                .collect();
            let given = answers(&*data, &lines).unwrap();
            let score = data.score(&given, Protocol::Paper).unwrap();
            assert_eq!(score.metric("f1").unwrap().value, Ok(100.0));
        }
    }

    #[test]
    fn llava_ids_are_refused() {
        let root = tempfile::tempdir().unwrap();
        write(root.path().join("POPE.tsv"), content());
        let data = load(root.path()).unwrap();
        let error = answers(&*data, &[serde_json::json!({"question_id": 1, "text": "no"})]).unwrap_err();
        assert!(
            error.contains("these data have 2 + 2 + 2; give the data that were asked"),
            "{error}"
        );
    }

    #[test]
    fn faulty_rows_are_named() {
        let cases = [
            (
                "random,popular",
                "random,unknown",
                "`ROOT/POPE.tsv`, line 2: unknown category `unknown`",
            ),
            (
                "random,popular",
                "random, random",
                "`ROOT/POPE.tsv`, line 2: category `random` twice in one row",
            ),
            ("random,popular", "", "`ROOT/POPE.tsv`, line 2: `category` is missing"),
            (
                "Yes",
                "perhaps",
                "`ROOT/POPE.tsv`, line 2: label `perhaps` is neither `yes` nor `no`",
            ),
            ("Yes", "nan", "`ROOT/POPE.tsv`, line 2: `answer` is missing"),
            (
                "\tcategory",
                "\tkind",
                "`ROOT/POPE.tsv`: no column `category`; this is not VLMEvalKit's POPE",
            ),
            (
                "4\t2",
                "4\t5",
                "`ROOT/POPE.tsv`, line 6: `image` names row `5`, which holds no picture",
            ),
            ("\tadversarial", "\trandom", "`ROOT/POPE.tsv`: no adversarial question"),
        ];
        let root = tempfile::tempdir().unwrap();
        for (from, to, expected) in cases {
            let changed = match to {
                "\trandom" => content().replace(from, to),
                _ => content().replacen(from, to, 1),
            };
            write(Path::new(root.path()).join("POPE.tsv"), changed);
            let error = fault(root.path());
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
