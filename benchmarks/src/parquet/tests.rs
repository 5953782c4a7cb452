//! Invented tables: values, pictures in every form, shards.

use polars::prelude::*;

use super::*;

/// A table of `rows` rows in groups of 7: row 3's image is null, row 4 only names its picture, row 5's name
/// leaves the folder, row 6 has bytes and no name.
fn table(folder: &Path, rows: usize) -> PathBuf {
    let bytes: Vec<Option<Vec<u8>>> = (0..rows)
        .map(|n| (!(3..=5).contains(&n)).then(|| vec![n as u8; 3]))
        .collect();
    let paths: Vec<Option<String>> = (0..rows)
        .map(|n| match n {
            3 | 6 => None,
            5 => Some("../out.jpg".to_owned()),
            n => Some(format!("{n}.jpg")),
        })
        .collect();
    let fields = [Series::new("bytes".into(), bytes), Series::new("path".into(), paths)];
    let image = StructChunked::from_series(IMAGE.into(), rows, fields.iter())
        .unwrap()
        .into_series();
    let answers: Vec<Option<String>> = (0..rows).map(|n| (n != 2).then(|| format!("a{n}"))).collect();
    let numbers: Vec<i64> = (0..rows as i64).collect();
    let columns = vec![
        Column::new("question_id".into(), numbers),
        Column::new("answer".into(), answers),
        image.into_column(),
    ];
    let path = folder.join("test-00000-of-00001.parquet");
    let mut frame = DataFrame::new(rows, columns).unwrap();
    ParquetWriter::new(File::create(&path).unwrap())
        .with_row_group_size(Some(7))
        .finish(&mut frame)
        .unwrap();
    path
}

fn pictures(folder: &Path, path: &Path) -> ParquetPictures {
    SplitPictures::new(PictureFolders::new(folder, &[""], None))
        .open(path)
        .unwrap()
}

#[test]
fn columns_are_taken_by_name_and_may_be_null_or_absent() {
    let folder = tempfile::tempdir().unwrap();
    let path = table(folder.path(), 9);
    let columns = TextColumns::read(&path, &["answer", "question_id", "image_source"]).unwrap();
    assert_eq!(columns.rows, 9);
    assert_eq!(columns.get("question_id", 8), Some("8"));
    assert_eq!(columns.get("answer", 1), Some("a1"));
    assert_eq!(columns.get("answer", 2), None);
    assert_eq!(columns.get("answer", 9), None);
    assert_eq!(columns.get("image_source", 0), None);
    assert!(columns.has("answer") && !columns.has("image_source"));
    assert_eq!(TextColumns::read(&path, &["x"]).unwrap().rows, 9);
}

#[test]
fn fields_of_structs_are_taken_by_name_and_may_be_absent() {
    let folder = tempfile::tempdir().unwrap();
    let path = table(folder.path(), 9);
    let names = ["image.path", "image.size", "answer.x", "absent.x", "answer"];
    let columns = TextColumns::read(&path, &names).unwrap();
    assert_eq!(columns.get("image.path", 7), Some("7.jpg"));
    assert_eq!(columns.get("image.path", 3), None);
    assert_eq!(columns.get("answer", 7), Some("a7"));
    assert!(names[1..4].iter().all(|name| !columns.has(name)));
}

#[test]
fn pictures_are_read_in_any_order_across_row_groups_and_windows() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = pictures(folder.path(), &table(folder.path(), 250));
    for row in [0, 6, 7, 99, 100, 249, 1, 200, 199] {
        assert_eq!(pictures.read(row), Ok(vec![row as u8; 3]), "row {row}");
    }
    assert_eq!(pictures.name(101), Ok(Some("101.jpg".to_owned())));
    let held = pictures.split.window.lock().unwrap();
    let held = held.as_ref().unwrap();
    assert_eq!((held.start, held.bytes.as_ref().unwrap().len()), (100, WINDOW));
}

#[test]
fn of_the_row_groups_only_those_of_the_window_are_gone_through() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = pictures(folder.path(), &table(folder.path(), 250));
    for (start, before, rows) in [(0, 0, 105), (100, 98, 105), (200, 196, 54)] {
        let (metadata, found) = pictures.groups_of(start);
        assert_eq!((found, metadata.num_rows), (before, rows));
    }
}

#[test]
fn the_tables_of_a_split_hold_the_pictures_of_one_window_together() {
    let folder = tempfile::tempdir().unwrap();
    let split = SplitPictures::new(PictureFolders::new(folder.path(), &[""], None));
    let tables: Vec<ParquetPictures> = (0..4)
        .map(|n| {
            let place = folder.path().join(n.to_string());
            std::fs::create_dir(&place).unwrap();
            split.open(&table(&place, 120)).unwrap()
        })
        .collect();
    for row in [0, 110, 7] {
        for table in &tables {
            assert_eq!(table.read(row), Ok(vec![row as u8; 3]));
            let held = split.window.lock().unwrap();
            let held = held.as_ref().unwrap();
            assert_eq!(held.table, table.path);
            assert!(held.bytes.as_ref().unwrap().len() <= WINDOW);
        }
    }
    assert_eq!(Arc::strong_count(&split.window), 1 + tables.len());
}

#[test]
fn a_picture_without_bytes_is_looked_for_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = pictures(folder.path(), &table(folder.path(), 9));
    let missing = PictureError::Missing {
        name: "4.jpg".to_owned(),
    };
    assert_eq!(pictures.read(4), Err(missing));
    std::fs::write(folder.path().join("4.jpg"), b"file").unwrap();
    let pictures = self::pictures(folder.path(), pictures.path());
    assert_eq!(pictures.read(4), Ok(b"file".to_vec()));
    let null = PictureError::NullInTable {
        file: pictures.path().display().to_string(),
        row: 3,
    };
    assert_eq!(pictures.read(3), Err(null.clone()));
    let leaves = PictureError::LeavesFolder {
        name: "../out.jpg".to_owned(),
    };
    assert_eq!(pictures.read(5), Err(leaves));
    assert_eq!(pictures.read(6), Ok(vec![6; 3]));
    assert!(matches!(
        pictures.read(9),
        Err(PictureError::NullInTable { row: 9, .. })
    ));
    assert_eq!(pictures.read(1), Ok(vec![1; 3]));
}

#[test]
fn a_file_that_is_no_table_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = table(folder.path(), 9);
    let whole = std::fs::read(&path).unwrap();
    let cut = folder.path().join("cut.parquet");
    for length in [0, 3, 4, 12, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&cut, &whole[..length]).unwrap();
        let error = TextColumns::read(&cut, &["answer"]).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("`{}`: not readable as Parquet: ", cut.display())),
            "{error}"
        );
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn shards_are_all_there_or_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let touch = |name: &str| std::fs::write(folder.path().join(name), b"").unwrap();
    assert!(shards(folder.path(), "test").unwrap().is_none());
    touch("test-00001-of-00002-0123abcd.parquet");
    touch("test-x-of-00002.parquet");
    touch("testdev-00000-of-00002.parquet");
    let error = shards(folder.path(), "test").unwrap_err().to_string();
    assert!(
        error.contains("split `test` needs each of its 2 files once, 1 are here"),
        "{error}"
    );
    touch("test-00000-of-00002-0123abcd.parquet");
    let found = shards(folder.path(), "test").unwrap().unwrap();
    let names: Vec<_> = found
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "test-00000-of-00002-0123abcd.parquet",
            "test-00001-of-00002-0123abcd.parquet"
        ]
    );
    touch("test-00000-of-00003.parquet");
    assert!(shards(folder.path(), "test").is_err());
}
