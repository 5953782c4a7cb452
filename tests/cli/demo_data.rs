//! `demo data`: the mini suite and data to train on, and folders that must not be touched.

use std::fs;

use crate::command::{fixtures, vila_bench};

#[test]
fn the_suite_is_written_as_it_is_shipped_and_passes_the_check() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("new/suite");
    let ran = vila_bench(["demo", "data", "--out", &out.display().to_string()]);
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
    let files = format!("`{}`: the mini suite of seed 1, 556 files\n", out.display());
    assert_eq!(ran.stdout, files);
    let hashes = |folder: &std::path::Path| fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
    assert_eq!(hashes(&out), hashes(&fixtures().join("mini-suite")));
    let ran = vila_bench(["data", "check", "--data", &out.display().to_string()]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert_eq!(ran.stdout.matches("readable").count(), 8);
}

#[test]
fn training_data_depend_on_their_seed_alone() {
    let root = tempfile::tempdir().unwrap();
    let written = |name: &str, seed: &str| {
        let out = root.path().join(name);
        let shown = out.display().to_string();
        let ran = vila_bench(["demo", "data", "--training", "12", "--seed", seed, "--out", &shown]);
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        assert_eq!(ran.stdout, format!("`{shown}`: 12 scenes of seed {seed} to train on\n"));
        let files = [
            "captions.jsonl",
            "interleaved.jsonl",
            "instruct.jsonl",
            "pictures/000/000011.jpg",
        ];
        files.map(|file| fs::read(out.join(file)).unwrap())
    };
    let first = written("a", "5");
    assert_eq!(first, written("b", "5"));
    assert_ne!(first, written("c", "6"));
}

#[test]
fn a_folder_that_is_in_use_is_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "mine").unwrap();
    let cases = [
        (
            root.path().to_owned(),
            "is a folder with files in it; give another --out",
        ),
        (file.clone(), "is no folder; give another --out"),
        (file.join("below"), "is a file; give another --out"),
    ];
    for (out, expected) in cases {
        for more in [&[][..], &["--training", "5"]] {
            let shown = out.display().to_string();
            let ran = vila_bench([&["demo", "data", "--out", &shown][..], more].concat());
            assert_eq!(ran.status, 2);
            assert!(ran.error().ends_with(expected), "{}", ran.error());
        }
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    let ran = vila_bench(["demo", "data", "--out", "x", "--training", "0"]);
    assert_eq!(ran.status, 2);
    assert!(ran.stderr.contains("'--training <N>'"), "{}", ran.stderr);
}
