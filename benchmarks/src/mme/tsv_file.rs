//! MME from VLMEvalKit's `MME.tsv`.

use std::collections::HashMap;
use std::path::Path;

use super::layout::{Row, assemble};
use super::truth::positive;
use super::{MmeData, Subtask};
use crate::error::DataError;
use crate::parquet::source_file;
use crate::tsv::{self, Tsv, TsvRow};

/// The file.
pub(super) const FILE: &str = "MME.tsv";

const COLUMNS: [&str; 4] = ["question", "answer", "category", "image_path"];

/// The file's rows; `None` where it is not in `folder`.
pub(super) fn vlmevalkit(folder: &Path, _: Option<&Path>) -> Result<Option<MmeData>, DataError> {
    let Some(path) = tsv::find(folder, FILE)? else {
        return Ok(None);
    };
    let table = Tsv::read(&path, "VLMEvalKit's MME", &COLUMNS)?;
    let mut contents = HashMap::new();
    let rows = table
        .rows()
        .map(|row| of_table(&row, &mut contents).map_err(|what| row.fault(what)));
    let rows: Vec<Row> = rows.collect::<Result<_, DataError>>()?;
    assemble(rows, "VLMEvalKit TSV", vec![source_file(&path)?], &[], folder).map(Some)
}

/// A row as MME's. `contents` holds by picture the hash that it was first seen with: a name that stands for two
/// pictures would make pairs of questions that belong to different ones.
fn of_table(row: &TsvRow<'_>, contents: &mut HashMap<String, String>) -> Result<Row, String> {
    let subtask = Subtask::parse(row.needed("category")?)?;
    let image_path = row.needed("image_path")?;
    let file = image_path.rsplit('/').next().filter(|file| !file.is_empty());
    let file = file.ok_or_else(|| format!("`image_path` `{image_path}` names no picture"))?;
    let key = format!("{}/{file}", subtask.id());
    let mut picture = row.picture();
    if picture.is_present() {
        let content = contents.entry(key.clone()).or_insert_with(|| picture.key().to_owned());
        if content != picture.key() {
            return Err(format!("another picture than that of an earlier row about `{key}`"));
        }
    }
    picture = picture.named(key);
    Ok(Row {
        place: row.place(),
        source_id: row.index()?.to_owned(),
        subtask,
        file: file.to_owned(),
        picture,
        question: row.needed("question")?.to_owned(),
        positive: Some(positive(row.needed("answer")?)?),
    })
}

#[cfg(test)]
mod tests {
    use crate::mme::fixture::{fault, load, rows, write};
    use crate::task::Protocol;
    use crate::tsv::fixture::{in_base64, picture, table};

    const COLUMNS: [&str; 6] = ["index", "image", "question", "answer", "category", "image_path"];

    /// The second question about a picture shows it through the first.
    fn content() -> String {
        let rows = rows().into_iter().enumerate().map(|(n, row)| {
            let image = if n % 2 == 0 {
                in_base64(&row.picture())
            } else {
                (n - 1).to_string()
            };
            let category = row.subtask.id().to_owned();
            [
                n.to_string(),
                image,
                row.question.clone(),
                row.label().to_owned(),
                category,
                row.path(),
            ]
        });
        table(COLUMNS, rows)
    }

    #[test]
    fn the_table_gives_the_same_samples_with_their_pictures() {
        let root = tempfile::tempdir().unwrap();
        let crlf = format!("\u{feff}{}", content().replace('\n', "\r\n"));
        for (name, content) in [("MME/MME.tsv", content()), ("mme.tsv", crlf)] {
            let root = tempfile::tempdir_in(root.path()).unwrap();
            write(root.path().join(name), content);
            let data = load(root.path()).unwrap();
            let provenance = data.provenance();
            assert_eq!(
                (provenance.layout, provenance.split.as_str()),
                ("VLMEvalKit TSV", "all-28")
            );
            for ((n, row), sample) in rows().iter().enumerate().zip(data.samples()) {
                assert_eq!(
                    (sample.id.to_string(), sample.source_id.clone()),
                    (row.id(), n.to_string())
                );
                assert_eq!(
                    (sample.question.as_str(), sample.reference.as_deref()),
                    (row.question.as_str(), Some(row.label()))
                );
                assert_eq!(sample.pictures[0].key(), row.picture());
                assert_eq!(sample.pictures[0].read(), Ok(picture(&row.picture())));
            }
            let right: Vec<Option<String>> = rows().iter().map(|row| Some(row.label().to_owned())).collect();
            let score = data.score(&right, Protocol::Paper).unwrap();
            assert_eq!(score.metric("perception").unwrap().value, Ok(2000.0));
        }
    }

    #[test]
    fn faulty_rows_are_named() {
        let first = &rows()[0];
        let cases = [
            (
                format!("\t{}", first.path()),
                "\texistence/".to_owned(),
                "line 2: `image_path` `existence/` names no picture",
            ),
            (
                format!("\t{}", first.path()),
                "\tNaN".to_owned(),
                "line 2: `image_path` is missing",
            ),
            (
                format!("\t{}", first.path()),
                "\t2.jpg".to_owned(),
                "line 2: number of questions about `existence/2.jpg`: 1",
            ),
            (
                "\texistence\t".to_owned(),
                "\texists\t".to_owned(),
                "line 2: unknown subtask `exists`",
            ),
            (
                "Yes\t".to_owned(),
                "yeah\t".to_owned(),
                "line 2: label `yeah` is neither",
            ),
            (
                "\n1\t0\t".to_owned(),
                "\n1\t2\t".to_owned(),
                "line 3: another picture than that of an earlier row",
            ),
            (
                "\n1\t0\t".to_owned(),
                "\n1\t99\t".to_owned(),
                "line 3: `image` names row `99`",
            ),
            (
                "image_path".to_owned(),
                "path".to_owned(),
                "no column `image_path`; this is not VLMEvalKit's MME",
            ),
        ];
        let root = tempfile::tempdir().unwrap();
        for (from, to, expected) in cases {
            write(root.path().join("MME.tsv"), content().replacen(&from, &to, 1));
            let error = fault(root.path());
            assert!(
                error.starts_with("`ROOT/MME.tsv`") && error.contains(expected),
                "{from:?}: {error}"
            );
        }
    }
}
