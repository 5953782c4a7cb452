//! Columns of lists of text, as the lmms-lab sets hold reference answers and OCR tokens.

use std::fs::File;
use std::path::Path;

use polars::prelude::{Column, DataType, ListChunked, ParallelStrategy, ParquetReader, PolarsResult, SerReader};

use super::first_line;
use crate::error::DataError;

/// A column of lists of text, or of lists of structs with a field of text.
#[derive(Debug)]
pub struct TextLists {
    /// `None` where every list is null.
    lists: Option<ListChunked>,
}

impl TextLists {
    /// Reads the column `name` of the table at `path`; where its lists hold structs, their field `field`. `None`
    /// if the table has no such column.
    pub fn read(path: &Path, name: &str, field: &str) -> Result<Option<Self>, DataError> {
        let fault = |what: String| DataError::File {
            path: path.to_owned(),
            what,
        };
        let unreadable = |error| fault(format!("not readable as Parquet: {}", first_line(&error)));
        let file = File::open(path).map_err(|error| DataError::unreadable(path, &error))?;
        let mut reader = ParquetReader::new(file);
        if !reader.schema().map_err(unreadable)?.contains(name) {
            return Ok(None);
        }
        let frame = reader
            .with_columns(Some(vec![name.to_owned()]))
            .read_parallel(ParallelStrategy::None)
            .finish()
            .map_err(unreadable)?;
        let column = frame.column(name).map_err(unreadable)?;
        if matches!(column.dtype(), DataType::Null) {
            return Ok(Some(Self { lists: None }));
        }
        if !matches!(column.dtype(), DataType::List(_)) {
            return Err(fault(format!("column `{name}` holds no lists but {}", column.dtype())));
        }
        let lists = of_text(column, field).map_err(unreadable)?;
        Ok(Some(Self { lists: Some(lists) }))
    }

    /// The list in row `row` (from 0) without its null entries; `None` where it is null or beyond the end.
    pub fn get(&self, row: usize) -> Option<Vec<String>> {
        // polars panics beyond the end.
        let lists = self.lists.as_ref().filter(|lists| row < lists.len())?;
        let list = lists.get_as_series(row)?;
        let texts = list.str().ok()?;
        Some(texts.iter().flatten().map(str::to_owned).collect())
    }
}

/// The lists with text in them, whatever they held.
fn of_text(column: &Column, field: &str) -> PolarsResult<ListChunked> {
    let lists = column.list()?;
    lists.apply_to_inner(&|inner| match inner.dtype() {
        DataType::Struct(_) => inner.struct_()?.field_by_name(field)?.cast(&DataType::String),
        _ => inner.cast(&DataType::String),
    })
}

#[cfg(test)]
mod tests {
    use polars::prelude::*;

    use super::*;

    /// Rows: two answers, none, null, one null and one answer.
    fn table(folder: &Path) -> std::path::PathBuf {
        let answers = [
            Some(vec![Some("a"), Some("b")]),
            Some(vec![]),
            None,
            Some(vec![None, Some("c")]),
        ];
        let texts: Vec<Option<Series>> = answers
            .iter()
            .map(|list| list.as_ref().map(|list| Series::new("".into(), list.clone())))
            .collect();
        let structs: Vec<Option<Series>> = answers
            .iter()
            .map(|list| {
                let list = list.clone()?;
                let ids: Vec<i64> = (0..list.len() as i64).collect();
                let fields = [
                    Series::new("answer_id".into(), ids),
                    Series::new("answer".into(), list.clone()),
                ];
                let structs = StructChunked::from_series("".into(), list.len(), fields.iter());
                Some(structs.unwrap().into_series())
            })
            .collect();
        let columns = vec![
            Column::new("texts".into(), texts),
            Column::new("structs".into(), structs),
            Column::new_empty("none".into(), &DataType::Null)
                .extend_constant(AnyValue::Null, 4)
                .unwrap(),
            Column::new("plain".into(), ["x"; 4]),
        ];
        let path = folder.join("t.parquet");
        let mut frame = DataFrame::new(4, columns).unwrap();
        ParquetWriter::new(std::fs::File::create(&path).unwrap())
            .with_row_group_size(Some(3))
            .finish(&mut frame)
            .unwrap();
        path
    }

    #[test]
    fn lists_of_texts_and_of_structs_are_read_alike() {
        let folder = tempfile::tempdir().unwrap();
        let path = table(folder.path());
        for name in ["texts", "structs"] {
            let lists = TextLists::read(&path, name, "answer").unwrap().unwrap();
            let rows: Vec<Option<Vec<String>>> = (0..5).map(|row| lists.get(row)).collect();
            let texts = |texts: &[&str]| Some(texts.iter().map(|text| (*text).to_owned()).collect());
            assert_eq!(
                rows,
                [texts(&["a", "b"]), texts(&[]), None, texts(&["c"]), None],
                "{name}"
            );
        }
    }

    #[test]
    fn null_columns_and_absent_ones_are_no_fault_and_others_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = table(folder.path());
        assert!(TextLists::read(&path, "absent", "answer").unwrap().is_none());
        assert_eq!(TextLists::read(&path, "none", "answer").unwrap().unwrap().get(0), None);
        let error = TextLists::read(&path, "plain", "answer").unwrap_err().to_string();
        assert!(error.ends_with("column `plain` holds no lists but str"), "{error}");
        let error = TextLists::read(&path, "structs", "reply").unwrap_err().to_string();
        assert!(error.contains("not readable as Parquet"), "{error}");
    }
}
