//! The shipped trained checkpoints on the shipped suite. Asking takes most of the time, so that one demo is run and its
//! runs are what all tests here look at or compare with.

mod controls;
mod demo;
mod options;
mod recorded;
mod segments;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use polars::prelude::{ParquetReader, SerReader as _};
use serde_json::Value;

use crate::command::{Ran, fixtures, vila_bench};

const MODELS: [&str; 2] = ["mini-vila", "mini-llava"];

/// Task and folder of a whole run on the suite.
const TASKS: [(&str, &str); 8] = [
    ("vqav2", "vqav2@val"),
    ("gqa", "gqa@val-balanced"),
    ("vizwiz", "vizwiz@val"),
    ("textvqa", "textvqa@val"),
    ("pope", "pope@coco-432"),
    ("mme", "mme@all-168"),
    ("mmbench", "mmbench@dev"),
    ("mm-vet", "mm-vet@all"),
];

/// What `vila-bench demo` said and left behind.
struct Demo {
    out: PathBuf,
    ran: Ran,
}

static DEMO: LazyLock<Demo> = LazyLock::new(|| {
    // Not a temporary folder, which nothing would remove: a static is never dropped.
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("trained-demo");
    let _ = fs::remove_dir_all(&out);
    let ran = vila_bench(["demo", "--out", &shown(&out)]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    Demo { out, ran }
});

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn checkpoint(model: &str) -> PathBuf {
    fixtures().join("trained").join(model)
}

fn suite() -> PathBuf {
    fixtures().join("mini-suite")
}

/// The folder of a task's run under `out`.
fn folder(out: &Path, model: &str, task: &str) -> PathBuf {
    let (_, name) = TASKS.iter().find(|(id, _)| *id == task).unwrap();
    out.join(model).join(name)
}

/// The command line that asks `model` the questions of `tasks` at `data`.
fn arguments(model: &str, tasks: &str, data: &Path, out: &Path, more: &[&str]) -> Vec<String> {
    let (model, data, out) = (shown(&checkpoint(model)), shown(data), shown(out));
    let asked = [
        "run", "--model", &model, "--tasks", tasks, "--data", &data, "--out", &out,
    ];
    [&asked[..], more].concat().into_iter().map(str::to_owned).collect()
}

/// A whole run.
fn run(model: &str, tasks: &str, data: &Path, out: &Path, more: &[&str]) -> Ran {
    let ran = vila_bench(arguments(model, tasks, data, out, more));
    assert_eq!(ran.status, 0, "{model} {more:?}: {}", ran.stderr);
    ran
}

/// Sample id to answer, over all journals of a run.
fn answers(folder: &Path) -> BTreeMap<String, String> {
    let journals = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let journals = journals.filter(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with("predictions") && name.ends_with(".jsonl")
    });
    let text: String = journals.map(|path| fs::read_to_string(path).unwrap()).collect();
    let entry = |line: &str| {
        let entry: Value = serde_json::from_str(line).unwrap();
        let field = |name: &str| entry[name].as_str().unwrap().to_owned();
        (field("id"), field("answer"))
    };
    text.lines().map(entry).collect()
}

/// The document of a run, without what another run takes otherwise.
fn results(folder: &Path) -> Value {
    let mut document: Value = serde_json::from_str(&fs::read_to_string(folder.join("results.json")).unwrap()).unwrap();
    document.as_object_mut().unwrap().remove("timings");
    document
}

fn metric(folder: &Path, id: &str) -> f64 {
    results(folder)["metrics"][id]["value"].as_f64().unwrap()
}

/// What is looked at of a sample.
struct Row {
    question: String,
    picture: String,
    reference: String,
    answer: String,
    score: f64,
}

/// The samples of a scored run.
fn rows(folder: &Path) -> Vec<Row> {
    let file = File::open(folder.join("samples.parquet")).unwrap();
    let frame = ParquetReader::new(file).finish().unwrap();
    let text = |name: &str, row: usize| {
        let column = frame.column(name).unwrap().str().unwrap();
        column.get(row).unwrap_or_default().to_owned()
    };
    let scores = frame.column("score").unwrap().f64().unwrap();
    let row = |row: usize| Row {
        question: text("question", row),
        picture: text("picture", row),
        reference: text("reference", row),
        answer: text("answer", row),
        score: scores.get(row).unwrap(),
    };
    (0..frame.height()).map(row).collect()
}
