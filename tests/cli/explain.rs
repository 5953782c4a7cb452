//! `explain`: what every other rule would make of a run's answers.

use crate::command::{answer_line, demo_answers, fixtures, reference_data, vila_bench};

#[test]
fn a_gap_is_told_by_factor() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("tiny.jsonl");
    // Every third answer is one that the rules read apart, every seventh is missing.
    let answers = demo_answers(|n, id| match n {
        n if n % 7 == 6 => vec![],
        n if n % 3 == 0 => vec![answer_line(id, "It is not there, no. Yes")],
        n => vec![answer_line(id, if n % 2 == 0 { "Yes" } else { "No" })],
    });
    std::fs::copy(answers.path(), &model).unwrap();
    let (data, out) = (
        fixtures().join("pope-demo").display().to_string(),
        folder.path().join("runs"),
    );
    let run = |model: &str, out: &str| {
        vila_bench([
            "run", "--model", model, "--tasks", "pope", "--data", &data, "--out", out,
        ])
    };
    let ran = run(&model.display().to_string(), &out.display().to_string());
    assert_eq!(ran.status, 3, "{}", ran.stderr);
    let run_folder = out.join("tiny/pope@coco-144").display().to_string();
    let explain = |more: &[&str]| {
        let mut args = vec!["explain", &run_folder, "--against"];
        args.extend(more);
        vila_bench(args)
    };
    let ran = explain(&["llava-model-zoo/LLaVA-1.5-13B"]);
    insta::assert_snapshot!(ran.shown(&[(folder.path(), "FOLDER"), (&fixtures(), "FIXTURES")]));
    let ran = explain(&["llava-model-zoo/LLaVA-1.5-13B", "--format", "json"]);
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["published"], 85.9);
    let ran = explain(&["llava-model-zoo"]);
    assert!(
        ran.status == 2 && ran.error().contains("name the model too"),
        "{}",
        ran.stderr
    );
    let ran = explain(&["llava-model-zoo/LLaVA-1.5-13B", "--data", "nowhere"]);
    assert!(ran.status == 2 && ran.error().contains("`nowhere`"), "{}", ran.stderr);
    let ran = vila_bench(["explain", "nowhere", "--against", "llava-model-zoo/LLaVA-1.5-13B"]);
    assert!(
        ran.status == 2 && ran.error().contains("cannot read `nowhere/results.json`"),
        "{}",
        ran.stderr
    );
}

#[test]
fn real_answers_agree_under_every_rule() {
    let Some(data) = reference_data("real_answers_agree_under_every_rule") else {
        return;
    };
    let eval = data.join("llava-eval");
    let out = tempfile::tempdir().unwrap();
    let (answers, data) = (
        eval.join("MME/answers/llava-v1.5-13b.jsonl"),
        eval.display().to_string(),
    );
    let (answers, folder) = (answers.display().to_string(), out.path().display().to_string());
    let ran = vila_bench([
        "run", "--model", &answers, "--tasks", "mme", "--data", &data, "--out", &folder,
    ]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let folder = out.path().join("llava-v1.5-13b/mme@all").display().to_string();
    let ran = vila_bench([
        "explain",
        &folder,
        "--against",
        "llava-model-zoo/LLaVA-1.5-13B",
        "--format",
        "json",
    ]);
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["ours"]["value"].as_f64().unwrap(), 1_531.318_727_490_996_5);
    let protocols = document["alternatives"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["factor"] == "protocol");
    assert!(
        protocols.clone().count() == 3 && protocols.into_iter().all(|one| one["change"] == 0.0),
        "{document}"
    );
}
