//! The sheet for the organisers' server (`mmbench.md`, section 7): the TSV less its hints, categories and pictures,
//! with the predictions before the labels; rows in the order of the TSV, a missing option or prediction an empty cell.

use std::io::Cursor;
use std::path::Path;

use rust_xlsxwriter::{DocProperties, ExcelDateTime, Workbook, Worksheet, XlsxError};

use super::{Letter, MmBenchData};
use crate::error::DataError;
use crate::export::Export;
use crate::sheet::Sheet;

/// The first column, the one that holds numbers.
const INDEX: &str = "index";

/// One row of cells, `None` where empty.
type Cells = Vec<Option<String>>;

/// The sheet of `answers`.
pub(super) fn sheet(data: &MmBenchData, answers: &[Option<String>]) -> Result<Export, DataError> {
    let (header, rows) = table(data, answers);
    let bytes = write(&header, &rows)?;
    let read = Sheet::parse_workbook(Cursor::new(&bytes), Path::new("the exported sheet"))
        .map_err(|error| DataError::Unfaithful(error.to_string()))?;
    let read_rows = read.rows().iter().map(|(_, cells)| cells);
    if read.header() != header || read.rows().len() != rows.len() {
        return Err(DataError::Unfaithful("the sheet has other columns or rows".to_owned()));
    }
    let different = rows.iter().zip(read_rows).flat_map(|(row, read)| {
        let cells = header.iter().zip(row.iter().zip(read));
        cells.filter_map(move |(column, (cell, read))| (cell != read).then_some((column, row)))
    });
    match different.into_iter().next() {
        None => Ok(Export::File(bytes)),
        Some((column, row)) => {
            let index = row.first().cloned().flatten().unwrap_or_default();
            Err(DataError::Unfaithful(format!("`{column}` of question {index} differs")))
        }
    }
}

/// Header and rows. The answers of `dev` are in it, those of test are hidden and their column is left out.
fn table(data: &MmBenchData, answers: &[Option<String>]) -> (Vec<&'static str>, Vec<Cells>) {
    let labelled = data.questions.iter().any(|question| question.answer.is_some());
    let said = data.split.said();
    let mut header = vec![INDEX, "question"];
    header.extend(Letter::OPTIONS.map(Letter::id));
    header.push("prediction");
    header.extend(labelled.then_some("answer"));
    header.extend(said.map(|_| "split"));
    let samples = data.samples.iter().zip(&data.questions).zip(answers);
    let rows = samples.map(|((sample, question), answer)| {
        let mut cells = vec![Some(sample.id.to_string()), Some(sample.question.clone())];
        cells.extend((0..Letter::OPTIONS.len()).map(|option| question.options.get(option).cloned()));
        cells.push(answer.clone().filter(|answer| !answer.is_empty()));
        cells.extend(labelled.then(|| question.answer.map(|letter| letter.id().to_owned())));
        cells.extend(said.map(|split| Some(split.to_owned())));
        cells
    });
    (header, rows.collect())
}

fn write(header: &[&str], rows: &[Cells]) -> Result<Vec<u8>, DataError> {
    let ours = |error: XlsxError| DataError::Unfaithful(error.to_string());
    let mut workbook = Workbook::new();
    // The day of the data: the same answers give the same bytes.
    let created = ExcelDateTime::from_ymd(2023, 7, 12).map_err(ours)?;
    workbook.set_properties(&DocProperties::new().set_creation_datetime(&created));
    let sheet = workbook.add_worksheet();
    for (column, name) in (0..).zip(header) {
        sheet.write_string(0, column, *name).map_err(ours)?;
    }
    for (line, row) in (1..).zip(rows) {
        for (column, (name, cell)) in (0..).zip(header.iter().zip(row)) {
            let Some(text) = cell else { continue };
            write_cell(sheet, (line, column), name, text).map_err(|error| {
                let index = row.first().cloned().flatten().unwrap_or_default();
                DataError::Mismatch(format!(
                    "`{name}` of question {index} does not go into a sheet: {error}"
                ))
            })?;
        }
    }
    workbook.save_to_buffer().map_err(ours)
}

fn write_cell(sheet: &mut Worksheet, (row, column): (u32, u16), name: &str, text: &str) -> Result<(), XlsxError> {
    match text.parse::<f64>() {
        Ok(index) if name == INDEX => sheet.write_number(row, column, index)?,
        _ => sheet.write_string(row, column, text)?,
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::super::fixture::{ROWS, answers, load, tsv, write};
    use super::*;
    use crate::benchmark::Dataset;
    use crate::reference_data;

    fn bytes(data: &dyn Dataset, answers: &[Option<String>]) -> Vec<u8> {
        match data.export(answers).unwrap() {
            Export::File(bytes) => bytes,
            Export::Folder(_) => panic!("a folder"),
        }
    }

    fn parse(bytes: &[u8]) -> Sheet {
        Sheet::parse_workbook(Cursor::new(bytes), Path::new("sheet")).unwrap()
    }

    fn invented(labelled: bool) -> (tempfile::TempDir, Box<dyn Dataset>) {
        let root = tempfile::tempdir().unwrap();
        let content = tsv(&ROWS, labelled, |row| row.7.repeat(9).replace(' ', "A"));
        let split = if labelled { "dev" } else { "test" };
        write(root.path().join(format!("mmbench_{split}_20230712.tsv")), content);
        let data = load(root.path(), Some(split)).unwrap();
        (root, data)
    }

    #[test]
    fn rows_are_those_of_the_tsv() {
        let said = ["A", "", "=1+1", " two\nlines ", "é😀 <&>", "_x0041_", "Answer: B"];
        let mut given: Vec<Option<String>> = said.iter().map(|text| Some((*text).to_owned())).collect();
        given[0] = None;
        for labelled in [true, false] {
            let (root, data) = invented(labelled);
            let exported = bytes(&*data, &given);
            assert!(exported == bytes(&*data, &given), "not the same bytes again");
            let sheet = parse(&exported);
            let mut header = vec!["index", "question", "A", "B", "C", "D", "prediction"];
            header.extend(labelled.then_some("answer"));
            header.push("split");
            assert_eq!(sheet.header(), header);
            for ((row, said), (_, cells)) in ROWS.iter().zip(&given).zip(sheet.rows()) {
                // LLaVA and pandas see no option in these.
                let options = row
                    .3
                    .map(|option| (!["", "None"].contains(&option)).then(|| option.to_owned()));
                let mut expected = vec![Some(row.0.to_owned()), Some(row.1.to_owned())];
                expected.extend(options);
                expected.push(said.clone().filter(|said| !said.is_empty()));
                expected.extend(labelled.then(|| Some(row.4.to_owned())));
                expected.push(Some(if labelled { "dev" } else { "test" }.to_owned()));
                assert_eq!(*cells, expected);
            }
            assert_eq!(sheet.rows().len(), ROWS.len());
            let path = root.path().join("export.xlsx");
            fs::write(&path, &exported).unwrap();
            let read = answers(&*data, &path).unwrap();
            let expected: Vec<_> = given
                .iter()
                .map(|said| said.clone().filter(|said| !said.is_empty()))
                .collect();
            assert_eq!(read, expected);
        }
    }

    #[test]
    fn an_answer_that_no_cell_holds_is_named() {
        let (_root, data) = invented(true);
        let mut given = vec![Some("A".to_owned()); ROWS.len()];
        given[2] = Some("x".repeat(32_768));
        let error = data.export(&given).unwrap_err().to_string();
        assert!(
            error.starts_with("`prediction` of question 8 does not go into a sheet: "),
            "{error}"
        );
    }

    fn reads_back(text: &str) {
        let (root, data) = invented(true);
        let mut given = vec![Some("A".to_owned()); ROWS.len()];
        given[2] = Some(text.to_owned()).filter(|text| !text.is_empty());
        let path = root.path().join("export.xlsx");
        fs::write(&path, bytes(&*data, &given)).unwrap();
        assert_eq!(answers(&*data, &path).unwrap(), given, "{text:?}");
    }

    #[test]
    fn what_xml_does_not_hold_as_it_stands_reads_back() {
        for text in [
            "a\rb", "\r\n", "\u{1}", "\u{7f}", "\u{fffe}", "_x000D_", "_x005F_", " ", "\t",
        ] {
            reads_back(text);
        }
    }

    #[test]
    fn the_export_is_llavas_upload_cell_by_cell() {
        let Some(folder) = reference_data::folder("the_export_is_llavas_upload_cell_by_cell") else {
            return;
        };
        let folder = folder.join("llava-eval");
        let upload = folder.join("mmbench/answers_upload/mmbench_dev_20230712/llava-v1.5-13b.xlsx");
        let data = load(&folder, None).unwrap();
        let lines = folder.join("mmbench/answers/mmbench_dev_20230712/llava-v1.5-13b.jsonl");
        let ours = parse(&bytes(&*data, &answers(&*data, &lines).unwrap()));
        let theirs = parse(&fs::read(upload).unwrap());
        assert_eq!(ours.header(), theirs.header());
        assert_eq!(ours.rows().len(), 4377);
        assert_eq!(ours.rows(), theirs.rows());
    }
    proptest! {
        #[test]
        fn any_answer_reads_back(text: String) {
            reads_back(&text);
        }
    }
}
