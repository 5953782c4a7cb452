//! MM-Vet from VLMEvalKit's `MMVet.tsv`.

use std::path::Path;

use super::MmVetData;
use super::layout::{Labels, Row, assemble, parse_capabilities};
use crate::error::DataError;
use crate::parquet::source_file;
use crate::python_text;
use crate::sample::SampleId;
use crate::tsv::{self, Tsv, TsvRow};

/// The file.
pub(super) const FILE: &str = "MMVet.tsv";

/// The file's rows; `None` where it is not in `folder`.
pub(super) fn vlmevalkit(folder: &Path, _: Option<&Path>) -> Result<Option<MmVetData>, DataError> {
    let Some(path) = tsv::find(folder, FILE)? else {
        return Ok(None);
    };
    let table = Tsv::read(&path, "VLMEvalKit's MM-Vet", &["question", "answer", "category"])?;
    let rows = table.rows().map(|row| of_table(&row).map_err(|what| row.fault(what)));
    let mut rows: Vec<Row> = rows.collect::<Result<_, DataError>>()?;
    if !rows.iter().all(|row| is_id(&row.source_id)) {
        for (at, row) in rows.iter_mut().enumerate() {
            row.id = SampleId::row(at).to_string();
        }
    }
    assemble(rows, "VLMEvalKit TSV", vec![source_file(&path)?], &[]).map(Some)
}

fn of_table(row: &TsvRow<'_>) -> Result<Row, String> {
    let index = row.index()?.to_owned();
    let capabilities = row.needed("category")?.split(',').map(python_text::strip);
    Ok(Row {
        id: index.clone(),
        source_id: index,
        picture: row.picture(),
        question: row.needed("question")?.to_owned(),
        labels: Some(Labels {
            answer: row.needed("answer")?.to_owned(),
            capabilities: parse_capabilities(capabilities)?,
        }),
    })
}

/// Whether it is an id of the organisers; a bare number may be the row's alone.
fn is_id(index: &str) -> bool {
    let number = index.strip_prefix("v1_");
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use crate::mm_vet::layout_tests::{fault, load};
    use crate::tsv::fixture::{in_base64, picture, table};

    fn content(indices: [&str; 3]) -> String {
        let [first, second, third] = indices;
        let rows = [
            [first, &in_base64("page"), "What is y?", "3<OR>three", "ocr,math,ocr"],
            [second, first, "What is\nz?", "4<AND>5", "math, ocr"],
            [third, &in_base64("cat"), "Who | what?", "a \"cat\"", "rec"],
        ];
        let columns = ["index", "image", "question", "answer", "category"];
        table(columns, rows.map(|row| row.map(str::to_owned)))
    }

    #[test]
    fn rows_are_called_as_the_organisers_do_where_the_index_does() {
        let root = tempfile::tempdir().unwrap();
        let cases = [
            (["v1_0", "v1_1", "v1_7"], ["v1_0", "v1_1", "v1_7"]),
            (["0", "1", "7"], ["row/0", "row/1", "row/2"]),
            (["v1_0", "v1_", "7"], ["row/0", "row/1", "row/2"]),
        ];
        for (indices, ids) in cases {
            let crlf = format!(
                "\u{feff}{}",
                content(indices).replace('\n', "\r\n").replace("is\r", "is")
            );
            for content in [content(indices), crlf] {
                std::fs::write(root.path().join("MMVet.tsv"), content).unwrap();
                let data = load(root.path(), None).unwrap();
                assert_eq!(
                    (data.provenance().layout, data.provenance().split.as_str()),
                    ("VLMEvalKit TSV", "all")
                );
                let expected = [
                    ("What is y?", "3<OR>three", "math+ocr", "page"),
                    ("What is\nz?", "4<AND>5", "math+ocr", "page"),
                    ("Who | what?", "a \"cat\"", "rec", "cat"),
                ];
                for (n, (sample, row)) in data.samples().iter().zip(expected).enumerate() {
                    assert_eq!((sample.id.as_str(), sample.source_id.as_str()), (ids[n], indices[n]));
                    let category = sample.category.as_deref().unwrap();
                    let reference = sample.reference.as_deref().unwrap();
                    assert_eq!((sample.question.as_str(), reference, category), (row.0, row.1, row.2));
                    assert_eq!(sample.pictures[0].read(), Ok(picture(row.3)));
                }
            }
        }
    }

    #[test]
    fn faulty_rows_are_named() {
        let cases = [
            (
                "ocr,math,ocr",
                "ocr,maths",
                "`ROOT/MMVet.tsv`, line 2: unknown capability `maths`",
            ),
            ("3<OR>three", "n/a", "`ROOT/MMVet.tsv`, line 2: `answer` is missing"),
            (
                "\tcategory",
                "\tcapability",
                "`ROOT/MMVet.tsv`: no column `category`; this is not VLMEvalKit's MM-Vet",
            ),
            (
                "v1_1\tv1_0",
                "v1_1\tv1_9",
                "`ROOT/MMVet.tsv`, line 3: `image` names row `v1_9`",
            ),
            (
                "v1_7",
                "v1_0",
                "`ROOT/MMVet.tsv`, line 5: `index` v1_0 stands in an earlier row too",
            ),
        ];
        let root = tempfile::tempdir().unwrap();
        for (from, to, expected) in cases {
            let content = content(["v1_0", "v1_1", "v1_7"]).replacen(from, to, 1);
            std::fs::write(root.path().join("MMVet.tsv"), content).unwrap();
            let error = fault(root.path());
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
