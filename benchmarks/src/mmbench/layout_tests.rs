//! MMBench's layouts: invented files in all of them give the same rows.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Cursor;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use polars::prelude::*;

use super::MmBench;
use super::fixture::{ROWS, Row, answers, fault, load, picture, tsv, workbook, write};
use crate::benchmark::{Benchmark, Dataset};
use crate::export::Export;
use crate::sheet::Sheet;
use crate::source::DataSource;
use crate::task::{PromptStyle, Protocol};

fn in_base64(row: &Row) -> String {
    BASE64_STANDARD.encode(picture(row))
}

/// Rotations name the row that holds their picture, as in VLMEvalKit's files.
fn by_reference(row: &Row) -> String {
    match row.0.parse::<u32>().unwrap() {
        index @ 0..1_000_000 if index != 9 => in_base64(row),
        9 => "7".to_owned(),
        index => format!("{}", if index % 1_000_000 == 9 { 7 } else { index % 1_000_000 }),
    }
}

fn parquet(path: PathBuf, l2: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let column = |name: &str, value: &dyn Fn(&Row) -> &'static str| {
        let values: Vec<&str> = ROWS
            .iter()
            .map(|row| Some(value(row)).filter(|v| !v.is_empty()).unwrap_or("nan"))
            .collect();
        Column::new(name.into(), values)
    };
    let indices: Vec<i64> = ROWS.iter().map(|row| row.0.parse().unwrap()).collect();
    let bytes: Vec<Option<Vec<u8>>> = ROWS.iter().map(|row| Some(picture(row))).collect();
    let paths: Vec<Option<String>> = vec![None; ROWS.len()];
    let fields = [Series::new("bytes".into(), bytes), Series::new("path".into(), paths)];
    let image = StructChunked::from_series("image".into(), ROWS.len(), fields.iter()).unwrap();
    let columns = vec![
        Column::new("index".into(), indices),
        column("question", &|row| row.1),
        column("hint", &|row| row.2),
        column("answer", &|row| row.4),
        column("A", &|row| row.3[0]),
        column("B", &|row| row.3[1]),
        column("C", &|row| row.3[2]),
        column("D", &|row| row.3[3]),
        column("category", &|row| row.5),
        column(l2, &|row| row.6),
        image.into_series().into_column(),
    ];
    let mut frame = DataFrame::new(ROWS.len(), columns).unwrap();
    ParquetWriter::new(File::create(path).unwrap())
        .finish(&mut frame)
        .unwrap();
}

/// What every layout has in common.
fn check(data: &dyn Dataset, hints: bool) {
    let ids: Vec<&str> = data.samples().iter().map(|sample| sample.id.as_str()).collect();
    assert_eq!(ids, ROWS.map(|row| row.0));
    let groups: Vec<usize> = data.samples().iter().map(|sample| sample.scoring_group).collect();
    assert_eq!(groups, [0, 0, 1, 1, 1, 2, 2]);
    for (sample, row) in data.samples().iter().zip(&ROWS) {
        assert_eq!(
            (sample.question.as_str(), sample.reference.as_deref()),
            (row.1, Some(row.4))
        );
    }
    let instruction = "Answer with the option's letter from the given choices directly.";
    let asked = data.prompt(0, PromptStyle::Paper);
    assert_eq!(
        asked,
        format!("What is on the \"desk\"?\nA. mug\nB. cat\n{instruction}")
    );
    let asked = data.prompt(3, PromptStyle::Paper);
    let hint = if hints { "It is\nMonday.\n" } else { "" };
    assert_eq!(
        asked,
        format!("{hint}Which\nday?\nA. c\nB. a\nC. b\nD. All not right\n{instruction}")
    );
    assert_eq!(
        data.prompt(5, PromptStyle::Paper),
        format!("How many?\nA. 7\nB. 0.5\n{instruction}")
    );
}

#[test]
fn every_layout_gives_the_same_rows() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    write(
        at("a/mmbench/mmbench_dev_20230712.tsv"),
        format!("\u{feff}{}", tsv(&ROWS, true, in_base64)),
    );
    write(
        at("b/MMBench_DEV_EN.tsv"),
        tsv(&ROWS, true, by_reference)
            .replace('\n', "\r\n")
            .replace("Which\r", "Which")
            .replace("is\r", "is"),
    );
    parquet(at("c/MMBench_EN/data/dev-00000-of-00001-0a.parquet"), "l2-category");
    parquet(at("d/MMBench/en/dev-00000-of-00001.parquet"), "L2-category");
    let cases = [
        ("a", "TSV", "dev"),
        ("b", "TSV", "dev-en"),
        ("c/MMBench_EN", "lmms-lab Parquet", "dev"),
        ("d", "lmms-lab Parquet", "dev-en"),
    ];
    for (folder, layout, split) in cases {
        let data = load(&at(folder), None).unwrap();
        assert_eq!(
            (data.provenance().layout, data.provenance().split.as_str()),
            (layout, split)
        );
        check(&*data, true);
        let groups: BTreeSet<String> = data.samples().iter().map(|sample| sample.picture_group()).collect();
        assert_eq!(groups.len(), 2);
        for (sample, row) in data.samples().iter().zip(&ROWS).rev() {
            assert_eq!(sample.pictures[0].read(), Ok(picture(row)), "{folder}");
            assert_eq!(sample.category.as_deref(), Some(row.5));
        }
        let right: Vec<Option<String>> = ROWS.iter().map(|row| Some(row.4.to_owned())).collect();
        let score = data.score(&right, Protocol::Paper).unwrap();
        let of = |id: &str| score.metric(id).unwrap();
        assert_eq!((of("accuracy").value.clone(), of("accuracy").n), (Ok(100.0), 3));
        assert_eq!((of("ability/FP").n, of("category/day").n), (2, 1));
    }
}

/// The rows as they would be in Chinese files; the questions stay as they are.
#[test]
fn chinese_files_are_told_by_name_and_config_and_asked_in_chinese() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    let content = tsv(&ROWS, true, in_base64);
    write(at("a/mmbench/mmbench_dev_cn_20231003.tsv"), content.clone());
    write(at("b/MMBench_DEV_CN.tsv"), content);
    parquet(at("c/MMBench/cn/dev-00000-of-00001.parquet"), "L2-category");
    parquet(at("d/cc/test-00000-of-00001.parquet"), "l2");
    let cases = [
        ("a", "dev-cn"),
        ("b", "dev-cn"),
        ("c", "dev-cn"),
        ("c/MMBench/cn", "dev-cn"),
        ("d", "cc"),
        ("d/cc", "cc"),
    ];
    for (folder, split) in cases {
        let data = load(&at(folder), None).unwrap();
        assert_eq!(data.provenance().split, split, "{folder}");
        let asked = "What is on the \"desk\"?\nA. mug\nB. cat\n请直接回答选项字母。";
        assert_eq!(data.prompt(0, PromptStyle::Paper), asked);
        let asked = data.prompt(0, PromptStyle::LmmsEval);
        assert!(
            asked.ends_with("B. cat\n\n请直接使用所提供的选项字母作为答案回答。"),
            "{asked}"
        );
        let right: Vec<Option<String>> = ROWS.iter().map(|row| Some(row.4.to_owned())).collect();
        let score = data.score(&right, Protocol::Paper).unwrap();
        assert_eq!(score.metric("accuracy").unwrap().value, Ok(100.0));
        assert_eq!(score.metric("ability/FP").is_some(), split == "dev-cn");
        assert!(data.remarks()[0].starts_with("7 rows in Chinese; the papers' MMBench is the English"));
        let Export::File(sheet) = data.export(&right).unwrap() else {
            unreachable!("MMBench's upload is a file");
        };
        let sheet = Sheet::parse_workbook(Cursor::new(sheet), Path::new("sheet")).unwrap();
        assert_eq!(sheet.has("split"), split == "dev-cn");
    }
}

#[test]
fn pictures_larger_than_a_buffer_are_found_again() {
    let root = tempfile::tempdir().unwrap();
    let large = |row: &Row| row.7.repeat(100_000);
    let content = tsv(&ROWS, true, |row| BASE64_STANDARD.encode(large(row)));
    write(root.path().join("mmbench_dev_20230712.tsv"), content);
    let data = load(root.path(), None).unwrap();
    for n in [6, 2, 0, 4, 1, 3, 5] {
        assert_eq!(
            data.samples()[n].pictures[0].read(),
            Ok(large(&ROWS[n]).into_bytes()),
            "{n}"
        );
    }
}

#[test]
fn an_upload_is_scored_on_its_own() {
    let root = tempfile::tempdir().unwrap();
    let path = root
        .path()
        .join("mmbench/answers_upload/mmbench_dev_20230712/model.xlsx");
    let predictions = [Some("A"), Some("B"), Some("C"), Some("A"), Some("D"), None, Some("mug")];
    workbook(path.clone(), &ROWS, &predictions, true);
    let data = load(root.path(), None).unwrap();
    assert_eq!(
        (data.provenance().layout, data.provenance().split.as_str()),
        ("upload sheet without pictures", "dev")
    );
    check(&*data, false);
    assert!(!data.samples()[0].pictures[0].is_present());
    let read = answers(&*data, &path).unwrap();
    assert_eq!(read, predictions.map(|prediction| prediction.map(str::to_owned)));
    let score = data.score(&read, Protocol::Paper).unwrap();
    let value = |id: &str| score.metric(id).unwrap().value.clone().unwrap();
    assert_eq!((value("accuracy"), value("accuracy/vanilla-base")), (50.0, 100.0));
    assert!((value("accuracy/vanilla-all") - 100.0 * 4.0 / 6.0).abs() < 1e-9);
    assert_eq!(score.unparsed, 1);

    // VILA's name, anywhere; and a sheet that only its rows tell.
    for name in ["mmbench_dev_20230712_upload.xlsx", "model.xlsx"] {
        let root = tempfile::tempdir().unwrap();
        fs::copy(&path, root.path().join(name)).unwrap();
        check(&*load(root.path(), None).unwrap(), false);
    }
}

#[test]
fn splits_are_chosen_or_missed() {
    let root = tempfile::tempdir().unwrap();
    assert!(fault(root.path()).starts_with("MMBench (the organisers' or VLMEvalKit's TSV"));
    write(
        root.path().join("mmbench_test_20230712.tsv"),
        tsv(&ROWS, false, in_base64),
    );
    let test = load(root.path(), None).unwrap();
    assert_eq!(
        (test.provenance().split.as_str(), test.samples()[0].reference.as_deref()),
        ("test", None)
    );
    let error = test
        .score(&vec![Some("A".to_owned()); 7], Protocol::Paper)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("the labels of MMBench `test` are hidden; upload the answers"),
        "{error}"
    );
    write(root.path().join("MMBench_DEV_EN.tsv"), tsv(&ROWS, true, in_base64));
    assert_eq!(load(root.path(), None).unwrap().provenance().split, "dev-en");
    assert_eq!(load(root.path(), Some("test")).unwrap().provenance().split, "test");
    let error = load(root.path(), Some("dev"))
        .map(|data| data.provenance().layout)
        .unwrap_err();
    let expected = "split `dev` of MMBench is not in `ROOT`, which holds `dev-en`, `test`; name that or leave out";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn faulty_files_are_named() {
    let whole = tsv(&ROWS, true, in_base64);
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    let without = |from: usize, to: usize| [&lines[..from], &lines[to..]].concat().concat();
    let cases = [
        (
            without(2, 3) + lines[1],
            "line 14: `index` 7 stands in an earlier row too",
        ),
        (
            without(1, 2),
            "line 2: row `7` of the same question is missing; take the whole file",
        ),
        (
            whole.replace("\tA\tdesk", "\tC\tdesk"),
            "line 2: answer `C` is none of the 2 options",
        ),
        (whole.replace("\timage\t", "\tpicture\t"), "no column `image`"),
        (
            whole.replacen("dev\n", "dev\tmore\n", 1),
            "line 2: 15 cells for 14 columns",
        ),
        (
            tsv(&ROWS, true, |_| "7".to_owned()),
            "line 2: `image` names row `7`, which holds no picture",
        ),
        (
            tsv(&ROWS, true, |_| "['a', 'b']".to_owned()),
            "line 2: several pictures in one cell",
        ),
    ];
    let root = tempfile::tempdir().unwrap();
    for (content, expected) in cases {
        write(root.path().join("mmbench_dev_20230712.tsv"), content);
        let error = fault(root.path());
        assert!(
            error.starts_with("`ROOT/mmbench_dev_20230712.tsv`") && error.contains(expected),
            "{error}"
        );
    }
    write(
        root.path().join("mmbench_dev_20230712.tsv"),
        tsv(&ROWS, true, |_| "!".repeat(80)),
    );
    let error = load(root.path(), None).unwrap().samples()[0].pictures[0]
        .read()
        .unwrap_err()
        .to_string();
    assert!(error.contains("row 0: Invalid symbol 33"), "{error}");
    write(
        root.path().join("mmbench_dev_20230712.tsv"),
        tsv(&ROWS, true, |_| "NaN".to_owned()),
    );
    assert!(!load(root.path(), None).unwrap().samples()[0].pictures[0].is_present());
    let sheet = root.path().join("answers.xlsx");
    fs::write(&sheet, "PK\x03\x04no spreadsheet").unwrap();
    let data = load(root.path(), None).unwrap();
    assert!(
        answers(&*data, &sheet)
            .unwrap_err()
            .contains("not readable as a spreadsheet")
    );
}

#[test]
fn answers_must_be_to_the_same_options() {
    let root = tempfile::tempdir().unwrap();
    write(
        root.path().join("mmbench_dev_20230712.tsv"),
        tsv(&ROWS, true, in_base64),
    );
    let data = load(root.path(), None).unwrap();
    let path = root.path().join("answers.jsonl");
    let line = |index: u32, prompt: &str, text: &str| serde_json::json!({"question_id": index, "round_id": 0, "prompt": prompt, "text": text, "options": []});
    let asked = "What is on the \"desk\"?\nA. mug\nB. cat";
    fs::write(&path, format!("{}\n{}", line(7, asked, "B"), line(7, asked, "A"))).unwrap();
    let read = answers(&*data, &path).unwrap();
    assert_eq!(read[0].as_deref(), Some("A"));
    fs::write(&path, line(1_000_007, asked, "A").to_string()).unwrap();
    let error = answers(&*data, &path).unwrap_err();
    assert!(
        error.contains("`prompt` does not ask question 1000007 of split `dev` with its options"),
        "{error}"
    );
}

#[test]
fn every_file_is_a_version() {
    let root = tempfile::tempdir().unwrap();
    let mmbench = root.path().join("mmbench");
    write(mmbench.join("mmbench_dev_20230712.tsv"), tsv(&ROWS, true, in_base64));
    write(mmbench.join("MMBench_DEV_EN.tsv"), tsv(&ROWS, true, by_reference));
    let upload = mmbench.join("answers_upload/mmbench_dev_20230712/m.xlsx");
    workbook(upload, &ROWS, &[Some("A"); 7], true);
    let source = DataSource {
        root: root.path().to_owned(),
        images: None,
        split: None,
        grades: None,
    };
    let versions = MmBench.versions(&source).unwrap();
    let mut found: Vec<(String, &str)> = versions
        .iter()
        .map(|data| data.as_ref().unwrap().provenance())
        .map(|provenance| (provenance.split.clone(), provenance.layout))
        .collect();
    found.sort();
    let expected = [
        ("dev", "TSV"),
        ("dev", "upload sheet without pictures"),
        ("dev-en", "TSV"),
    ];
    assert_eq!(found, expected.map(|(split, layout)| (split.to_owned(), layout)));
}
