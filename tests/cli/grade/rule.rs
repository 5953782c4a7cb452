//! `grade --judge rule`: no server, a rule of our own, and what it is worth beside GPT-4.

use std::fs;

use serde_json::{Value, json};

use super::{Toy, ran, shown};
use crate::command::{reference_data, vila_bench};

#[test]
fn answers_are_graded_without_a_server_and_marked() {
    let toy = Toy::new();
    toy.answer(|n| format!("It is {} {n}.", if n < 3 { "right" } else { "wrong" }));
    let at = |path: &str| shown(&toy.path(path));
    let args = ["grade", "--task", "mm-vet", "--judge", "rule", "--data", &at("data")];
    let answers = ["--answers", &at("tiny.jsonl"), "--out", &at("out")];
    let ran = ran(&args
        .iter()
        .chain(&answers)
        .map(|&arg| arg.to_owned())
        .collect::<Vec<_>>());
    insta::assert_snapshot!(ran.shown(&[(toy.root.path(), "ROOT")]));
    let text = fs::read_to_string(toy.path("out/tiny_rule-grade-1runs.json")).unwrap();
    let grades: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        grades["v1_2"],
        json!({"model": ["rule"], "content": ["1.0"], "score": [1.0]})
    );
    assert_eq!(grades["v1_3"]["score"], json!([0.0]));
}

#[test]
fn what_the_rule_has_no_use_for_is_refused() {
    let toy = Toy::new();
    for more in [&["--judge-model", "x"][..], &["--runs", "3"], &["--dry-run"]] {
        let args = ["grade", "--task", "mm-vet", "--judge", "rule", "--calibrate", "--data"];
        let data = shown(&toy.path("data"));
        let all = args.iter().copied().chain([data.as_str()]).chain(more.iter().copied());
        let ran = ran(&all.map(str::to_owned).collect::<Vec<_>>());
        assert_eq!((ran.status, ran.stderr.lines().count()), (2, 1), "{}", ran.stderr);
        assert!(ran.stderr.contains(more[0]), "{}", ran.stderr);
    }
    let data = shown(&toy.path("data"));
    let ran = ran(&[
        "grade",
        "--task",
        "mmbench",
        "--judge",
        "rule",
        "--data",
        &data,
        "--answers",
        "x",
    ]
    .map(str::to_owned));
    assert_eq!(ran.status, 2, "{}", ran.stderr);
}

#[test]
fn a_misspelt_rule_is_no_server() {
    let toy = Toy::new();
    let data = shown(&toy.path("data"));
    let args = [
        "grade",
        "--task",
        "mm-vet",
        "--judge",
        "rulee",
        "--calibrate",
        "--data",
        &data,
    ];
    let ran = ran(&args.map(str::to_owned));
    assert_eq!(ran.status, 2, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("--judge: give a server's address, or `rule`"),
        "{}",
        ran.stderr
    );
}

/// Both find the grades in the run's folder; without them neither takes a score for one.
#[test]
fn a_graded_run_is_explained_and_verified() {
    const PAPER: &str = "llava-model-zoo/LLaVA-1.5-13B";
    let toy = Toy::new();
    toy.answer(|n| format!("It is {} {n}.", if n < 3 { "right" } else { "wrong" }));
    let at = |path: &str| shown(&toy.path(path));
    let (model, data, out) = (at("tiny.jsonl"), at("data"), at("runs"));
    let run = [
        "run", "--model", &model, "--tasks", "mm-vet", "--data", &data, "--out", &out,
    ];
    vila_bench(run);
    let folder = at("runs/tiny/mm-vet@all");
    let ungraded = vila_bench(["explain", &folder, "--against", PAPER]);
    assert!(
        ungraded.status == 2 && ungraded.error().contains("vila-bench grade"),
        "{}",
        ungraded.stderr
    );
    let ran = ran(&["grade", "--task", "mm-vet", "--judge", "rule", "--run", &folder].map(str::to_owned));
    assert_eq!(ran.status, 0, "{}", ran.stderr);

    let explain = |more: &[&str]| vila_bench([&["explain", &folder, "--against", PAPER], more].concat());
    let ran = explain(&[]);
    insta::assert_snapshot!(ran.shown(&[(toy.root.path(), "ROOT")]));
    let document: Value = serde_json::from_str(&explain(&["--format", "json"]).stdout).unwrap();
    assert_eq!(document["ours"]["value"], 50.0);
    let ran = explain(&["--rerun"]);
    assert!(
        ran.status == 2 && ran.error().starts_with("--rerun: rule has graded the answers of"),
        "{}",
        ran.stderr
    );

    let verify = |more: &[&str]| vila_bench([&["verify", &folder], more].concat());
    insta::assert_snapshot!(verify(&[]).shown(&[(toy.root.path(), "ROOT")]));
    let grades = toy.path("runs/tiny/mm-vet@all/tiny_rule-grade-1runs.json");
    let text = fs::read_to_string(&grades).unwrap();
    fs::write(&grades, text.replacen("1.0", "0.0", 2)).unwrap();
    let ran = verify(&[]);
    let scores = ran.stdout.lines().find(|line| line.starts_with(" scores ")).unwrap();
    assert!(
        ran.status == 1 && scores.contains("total (50.0 on record,"),
        "{}",
        ran.stdout
    );
    let moved = toy.path("grades.json");
    fs::rename(&grades, &moved).unwrap();
    fs::write(&moved, text).unwrap();
    let ran = verify(&[]);
    assert!(
        ran.status == 3
            && ran
                .stdout
                .contains("a judge has graded the answers; name its file with --grades"),
        "{}",
        ran.stdout
    );
    assert_eq!(verify(&["--grades", &shown(&moved)]).status, 0);
    assert_eq!(explain(&["--grades", &shown(&moved)]).status, 0);
}

#[test]
fn the_rule_lies_near_gpt_4_on_the_real_answers() {
    let Some(data) = reference_data("the_rule_lies_near_gpt_4_on_the_real_answers") else {
        return;
    };
    let out = tempfile::tempdir().unwrap();
    let args = ["grade", "--task", "mm-vet", "--judge", "rule", "--calibrate", "--data"];
    let more = [shown(&data.join("llava-eval")), "--out".to_owned(), shown(out.path())];
    let ran = ran(&args.map(str::to_owned).into_iter().chain(more).collect::<Vec<_>>());
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    insta::assert_snapshot!(ran.stdout);
}
