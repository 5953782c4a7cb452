//! Files that no evaluation makes: one line that names file and place, exit 2, and no memory filled.

use std::fs::{self, File};
use std::path::Path;

use crate::command::{fixtures, vila_bench};

fn scored(answers: &Path) -> String {
    let demo = fixtures().join("pope-demo").display().to_string();
    let answers = answers.display().to_string();
    let ran = vila_bench(["score", "--task", "pope", "--data", &demo, "--answers", &answers]);
    assert_eq!((ran.status, ran.stdout.as_str()), (2, ""), "{}", ran.stderr);
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    ran.error().replace(&answers, "FILE")
}

/// A file of 1 GB that takes no room on the disk: zeros after `beginning`.
fn endless(path: &Path, beginning: &str) {
    fs::write(path, beginning).unwrap();
    File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(1_000_000_000)
        .unwrap();
}

#[test]
fn a_line_of_a_gigabyte_is_refused_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("answers");
    let line = "{\"question_id\": 1, \"text\": \"Yes\"}\n";
    let cases = [
        (
            format!("{line}{{\"question_id\": 2, \"text\": \"N"),
            "`FILE`, line 2: longer than 67108864 bytes; is this",
        ),
        (
            "{\"v1_0\": \"a".to_owned(),
            "`FILE`, line 1: longer than 67108864 bytes; is this a JSON Lines file?",
        ),
        (
            "[{\"question_id\": 1, \"answer\": \"Y".to_owned(),
            "`FILE`: control character (\\u0000-\\u001F) found while parsing a string at line 1 column 33",
        ),
        (
            "index\tprediction\n1\t\"Y".to_owned(),
            "`FILE`: longer than 268435456 bytes; does it hold pictures? leave that column out",
        ),
        (
            String::new(),
            "`FILE`, line 1: no prediction file of a known format; they are JSON Lines, a JSON array",
        ),
        ("PK\u{3}\u{4}".to_owned(), "`FILE`: not readable as a spreadsheet: "),
    ];
    for (beginning, expected) in cases {
        endless(&path, &beginning);
        let error = scored(&path);
        assert!(error.starts_with(expected), "{beginning}: {error}");
    }
    let results = folder.path().join("results");
    fs::create_dir(&results).unwrap();
    endless(&results.join("color.txt"), "a.jpg\tIs it red?\tYes\tY");
    assert_eq!(
        scored(&results),
        "`FILE/color.txt`: larger than 67108864 bytes; no file of this kind is"
    );
}

#[test]
fn data_of_a_gigabyte_in_one_line_are_refused() {
    let cases = [
        (
            "pope",
            "coco_pope_random.json",
            "{\"question_id\": 1, \"image\": \"",
            "line 1: longer than 67108864 bytes",
        ),
        (
            "gqa",
            "testdev_balanced_questions.json",
            "{\"1\": {\"question\": \"",
            "control character",
        ),
        (
            "mmbench",
            "mmbench_dev_20230712.tsv",
            "index\timage\tquestion\n1\t\"",
            "line 2: not readable as TSV: a row without",
        ),
        ("vizwiz", "val.json", "[{\"image\": \"", "control character"),
        (
            "textvqa",
            "TextVQA_0.5.1_val.json",
            "{\"data\": [{\"question\": \"",
            "control character",
        ),
        (
            "mm-vet",
            "mm-vet.json",
            "{\"v1_0\": {\"question\": \"",
            "control character",
        ),
        ("mme", "existence.txt", "a.jpg\tIs it red", "larger than 67108864 bytes"),
    ];
    for (task, name, beginning, expected) in cases {
        let root = tempfile::tempdir().unwrap();
        let place = root.path().join(task).join(name);
        fs::create_dir(place.parent().unwrap()).unwrap();
        endless(&place, beginning);
        let ran = vila_bench([
            "data",
            "check",
            "--tasks",
            task,
            "--data",
            root.path().to_str().unwrap(),
        ]);
        assert_eq!((ran.status, ran.stdout.as_str()), (2, ""), "{task}: {}", ran.stderr);
        assert!(ran.error().contains(place.to_str().unwrap()), "{task}: {}", ran.stderr);
        assert!(ran.error().contains(expected), "{task}: {}", ran.stderr);
    }
}
