//! Tables in every form that pictures have, and faulty ones.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::fixture::{in_base64, picture, table};
use super::*;

const COLUMNS: [&str; 3] = ["index", "image", "question"];

fn read(content: impl AsRef<[u8]>) -> Result<(tempfile::TempDir, Tsv), String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.tsv");
    std::fs::write(&path, content).unwrap();
    let table = Tsv::read(&path, "some table", &["question"]);
    table
        .map(|table| (folder, table))
        .map_err(|error| error.to_string().replace(&path.display().to_string(), "FILE"))
}

fn rows(cells: &[[&str; 3]]) -> String {
    table(COLUMNS, cells.iter().map(|row| row.map(str::to_owned)))
}

#[test]
fn pictures_are_found_in_every_form() {
    let (cat, dog) = (in_base64("cat"), in_base64("dog"));
    let list = format!("['{dog}']");
    let short = format!("['{}']", BASE64_STANDARD.encode("owl"));
    let content = rows(&[
        ["7.0", &cat, "What is\n\"this\"?"],
        ["8", "7", "And\tthis?"],
        ["9", &list, "nan"],
        ["10", &dog, "NA "],
        ["x", "9.0", "NA"],
        ["11", "NaN", "None"],
        ["12", &short, "?"],
        ["13", &cat, "last"],
    ]);
    for content in [
        content.clone(),
        format!("\u{feff}{}", content.replace("\n", "\r\n").replace("is\r", "is")),
    ] {
        let (_folder, table) = read(content).unwrap();
        let rows: Vec<TsvRow<'_>> = table.rows().collect();
        let shown = ["cat", "cat", "dog", "dog", "dog", "", "owl", "cat"];
        for (row, name) in rows.iter().zip(shown).rev() {
            let expected = match name {
                "" => Err("picture missing in `FILE`, row 5".to_owned()),
                "owl" => Ok(b"owl".to_vec()),
                name => Ok(picture(name)),
            };
            let path = table.path.display().to_string();
            let read = row
                .picture()
                .read()
                .map_err(|error| error.to_string().replace(&path, "FILE"));
            assert_eq!(read, expected, "{row:?}");
        }
        let keys: Vec<String> = rows.iter().map(|row| row.picture().key().to_owned()).collect();
        assert_eq!((&keys[0], &keys[2], &keys[2]), (&keys[7], &keys[3], &keys[4]));
        assert_ne!(keys[0], keys[2]);
        let questions: Vec<Option<&str>> = rows.iter().map(|row| row.cell("question")).collect();
        let expected = [
            Some("What is\n\"this\"?"),
            Some("And\tthis?"),
            None,
            Some("NA "),
            None,
            None,
            Some("?"),
            Some("last"),
        ];
        assert_eq!(questions, expected);
        assert_eq!((rows[0].index(), rows[4].index()), (Ok("7"), Ok("x")));
        assert_eq!((rows[0].cell("image"), rows[0].cell("absent")), (None, None));
        assert_eq!(rows[1].place().1, "line 4");
    }
}

#[test]
fn faults_name_line_and_remedy() {
    let cat = in_base64("cat");
    let whole = rows(&[["7", &cat, "a"], ["8", "7", "b"]]);
    let cases = [
        (String::new(), "`FILE`: no column `index`; this is not some table"),
        (
            whole.replace("image", "picture"),
            "`FILE`: no column `image`; this is not some table",
        ),
        (
            whole.replace("question", "text"),
            "`FILE`: no column `question`; this is not some table",
        ),
        (
            whole.replace("8\t7", "8\t9"),
            "`FILE`, line 3: `image` names row `9`, which holds no picture",
        ),
        (
            whole.replace("8\t7", "8\t8"),
            "`FILE`, line 3: `image` names row `8`, which holds no picture",
        ),
        (
            whole.replace("8\t7", "7\t7"),
            "`FILE`, line 3: `index` 7 stands in an earlier row too",
        ),
        (whole.replace("8\t7", "\t7"), "`FILE`, line 3: `index` is missing"),
        (
            whole.replace("\tb", ""),
            "`FILE`, line 3: 2 cells for 3 columns; the file is cut",
        ),
        (
            whole.replace("\tb", "\tb\tc"),
            "`FILE`, line 3: 4 cells for 3 columns; is a tab",
        ),
        (
            whole.replace("8\t7", "8\t['a', 'b']"),
            "`FILE`, line 3: several pictures in one cell, 2;",
        ),
        (
            whole.replace("8\t7", "8\t[]"),
            "`FILE`, line 3: an empty list of pictures",
        ),
        (
            whole.replace("8\t7", "8\t[a]"),
            "`FILE`, line 3: `image`: `a]` where the list should",
        ),
    ];
    for (content, expected) in cases {
        let error = read(&content).map(|(_, table)| table.rows.len()).unwrap_err();
        assert!(error.starts_with(expected), "{content}: {error}");
    }
    let error = read(
        whole
            .replace('b', "\u{1}")
            .into_bytes()
            .iter()
            .map(|b| if *b == 1 { 0xff } else { *b })
            .collect::<Vec<u8>>(),
    );
    assert_eq!(
        error.map(|(_, table)| table.rows.len()),
        Err("`FILE`, line 3: `question` is not UTF-8".to_owned())
    );
}

#[test]
fn broken_base64_is_a_fault_of_its_picture_alone() {
    let content = rows(&[["1", &"!".repeat(80), "a"], ["2", &in_base64("cat"), "b"]]);
    let (_folder, table) = read(content).unwrap();
    let pictures: Vec<Picture> = table.rows().map(|row| row.picture()).collect();
    let error = pictures[0].read().unwrap_err().to_string();
    assert!(error.contains("row 0: Invalid symbol 33"), "{error}");
    assert_eq!(pictures[1].read(), Ok(picture("cat")));
}

#[test]
fn a_table_is_found_by_name_without_case() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.tsv", "pope.TSV", "POPE.txt"] {
        std::fs::write(folder.path().join(name), "index\timage\n").unwrap();
    }
    assert_eq!(files(folder.path()).unwrap().len(), 2);
    let path = folder.path().join("pope.TSV");
    assert_eq!(columns(&path).unwrap(), ["index", "image"]);
    assert_eq!(find(folder.path(), "POPE.tsv").unwrap(), Some(path));
    assert_eq!(find(folder.path(), "MME.tsv").unwrap(), None);
    assert_eq!(find(&folder.path().join("absent"), "POPE.tsv").unwrap(), None);
}

#[test]
fn a_row_without_end_is_refused_before_it_fills_the_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.tsv");
    for begun in ["", "index\timage\tquestion\n1\t\ta\n2\t\t\"b"] {
        std::fs::write(&path, begun).unwrap();
        // Zeros that take no room on the disk.
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(1 << 30)
            .unwrap();
        let error = Tsv::read(&path, "some table", &["question"]).unwrap_err().to_string();
        let expected = format!(
            "`{}`, line {}: not readable as TSV: a row without end; is a quote not closed?",
            path.display(),
            1 + begun.matches('\n').count()
        );
        assert_eq!(error, expected);
    }
}
