//! GQA from VLMEvalKit's `GQA_TestDev_Balanced.tsv`: questions and answers alone.

use super::DEFAULT_SPLIT;
use super::layout::{Found, Place};
use super::question_file::Row;
use crate::error::DataError;
use crate::parquet::source_file;
use crate::picture::Picture;
use crate::sample::SampleId;
use crate::tsv::{self, Tsv};

/// The file of the default split; there is none of another.
const FILE: &str = "GQA_TestDev_Balanced.tsv";

/// The file's rows; `None` where it is not in the folder, or the split another.
pub(super) fn vlmevalkit(place: &Place<'_>) -> Result<Option<Found>, DataError> {
    if place.split != DEFAULT_SPLIT {
        return Ok(None);
    }
    let Some(path) = tsv::find(place.folder, FILE)? else {
        return Ok(None);
    };
    let table = Tsv::read(&path, "VLMEvalKit's GQA", &["question", "answer"])?;
    let rows = table.rows().enumerate().map(|(at, row)| {
        let text = |column: &str| row.needed(column).map(str::to_owned).map_err(|what| row.fault(what));
        Ok(Row {
            id: SampleId::row(at).to_string(),
            index: Some(row.index().map_err(|what| row.fault(what))?.to_owned()),
            question: text("question")?,
            answer: Some(text("answer")?),
            balanced: true,
            ..Row::default()
        })
    });
    let rows: Vec<Row> = rows.collect::<Result<_, DataError>>()?;
    let pictures: Vec<Picture> = table.rows().map(|row| row.picture()).collect();
    Ok(Some(Found {
        layout: "VLMEvalKit TSV",
        rows,
        pictures,
        files: vec![source_file(&path)?],
        beside: None,
    }))
}

#[cfg(test)]
mod tests {
    use crate::gqa::fixture::{fault, load, load_split, write};
    use crate::task::Protocol;
    use crate::tsv::fixture::{in_base64, picture, table};

    const FILE: &str = "GQA_TestDev_Balanced.tsv";

    fn content() -> String {
        let rows = [
            ["20", &in_base64("mug"), "What color is the mug?", "red"],
            ["21", "20", "Is it \"red\"?", "yes"],
            ["35", &in_base64("cat"), "Is it a cat?", "no"],
        ];
        let columns = ["index", "image", "question", "answer"];
        table(columns, rows.map(|row| row.map(str::to_owned)))
    }

    #[test]
    fn rows_are_questions_without_an_id() {
        let root = tempfile::tempdir().unwrap();
        let crlf = format!("\u{feff}{}", content().replace('\n', "\r\n"));
        for (name, content) in [("gqa/GQA_TestDev_Balanced.tsv", content()), (FILE, crlf)] {
            let root = tempfile::tempdir_in(root.path()).unwrap();
            write(root.path().join(name), content);
            let data = load(root.path()).unwrap();
            let provenance = data.provenance();
            assert_eq!(
                (provenance.layout, provenance.split.as_str()),
                ("VLMEvalKit TSV", "testdev-balanced-3")
            );
            let expected = [
                ("row/0", "20", "What color is the mug?", "red", "mug"),
                ("row/1", "21", "Is it \"red\"?", "yes", "mug"),
                ("row/2", "35", "Is it a cat?", "no", "cat"),
            ];
            for (sample, (id, index, question, answer, shown)) in data.samples().iter().zip(expected) {
                assert_eq!((sample.id.as_str(), sample.source_id.as_str()), (id, index));
                assert_eq!(
                    (sample.question.as_str(), sample.reference.as_deref()),
                    (question, Some(answer))
                );
                assert_eq!(sample.pictures[0].read(), Ok(picture(shown)));
            }
            let answers = ["Red.", "no", "no"].map(|answer| Some(answer.to_owned()));
            let score = data.score(&answers, Protocol::Paper).unwrap();
            let accuracy = score.metric("accuracy").unwrap();
            assert_eq!(accuracy.n, 3);
            assert!((accuracy.value.clone().unwrap() - 200.0 / 3.0).abs() < 1e-9);
        }
    }

    #[test]
    fn faulty_files_are_named() {
        let cases = [
            (
                "\tanswer",
                "\tlabel",
                "`ROOT/GQA_TestDev_Balanced.tsv`: no column `answer`; this is not VLMEvalKit's GQA",
            ),
            (
                "\tred",
                "\tNaN",
                "`ROOT/GQA_TestDev_Balanced.tsv`, line 2: `answer` is missing",
            ),
            (
                "21\t20",
                "21\t22",
                "`ROOT/GQA_TestDev_Balanced.tsv`, line 3: `image` names row `22`",
            ),
        ];
        let root = tempfile::tempdir().unwrap();
        for (from, to, expected) in cases {
            write(root.path().join(FILE), content().replacen(from, to, 1));
            let error = fault(root.path());
            assert!(error.starts_with(expected), "{error}");
        }
        write(root.path().join(FILE), content());
        let other = load_split(root.path(), Some("val-balanced")).map(|data| data.provenance().layout);
        assert!(other.unwrap_err().contains("not found"));
    }
}
