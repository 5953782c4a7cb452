//! What `make bench` does, at a thousandth of its size: the invented data load in every layout, and the organisers'
//! method in Python and ours give the same accuracy. Nothing is timed here.

use std::path::Path;
use std::process::Command;

use crate::command::{Ran, skip};

#[test]
fn the_bench_runs_at_a_thousandth_of_its_size() {
    if Command::new("python3").arg("--version").output().is_err() {
        return skip("the_bench_runs_at_a_thousandth_of_its_size", "no python3");
    }
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench/bench.py");
    let output = Command::new("python3")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(script)
        .arg(env!("CARGO_BIN_EXE_vila-bench"))
        .arg(folder.path())
        .arg("1000")
        .output()
        .unwrap();
    let ran = Ran::of(&output);
    assert_eq!(ran.status, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains(", equal\n"), "{}", ran.stdout);
    for measured in [
        "VQAv2 val, 214 questions: peak memory",
        "VQAv2 test, upload of 447 rows: read, convert, write",
        "MMBench TSV, 4 pictures: peak memory",
        "POPE Parquet in 3 files, 9 pictures: peak memory",
        "VQAv2 Parquet in files of 150 rows, 9 pictures: peak memory",
    ] {
        assert!(ran.stdout.contains(measured), "{measured}: {}", ran.stdout);
    }
}
