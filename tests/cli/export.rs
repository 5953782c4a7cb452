//! `export` as users run it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::command::{Ran, answer_line, reference_data, vila_bench};

/// Three invented questions of VizWiz test in LLaVA's file, and answers to some of them.
fn invented(answered: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let question = |n: usize| {
        let text = format!(
            "Question {n}?\nWhen the provided information is insufficient, respond with 'Unanswerable'.\n\
             Answer the question using a single word or phrase."
        );
        json!({"question_id": n, "image": format!("VizWiz_test_{n:08}.jpg"), "text": text})
    };
    let questions: String = (0..3).map(|n| format!("{}\n", question(n))).collect();
    let folder = root.path().join("vizwiz");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("llava_test.jsonl"), questions).unwrap();
    let answers = root.path().join("tiny.jsonl");
    let lines = answered.iter().enumerate();
    let lines: Vec<String> = lines
        .map(|(n, answer)| answer_line(&format!("VizWiz_test_{n:08}"), answer))
        .collect();
    fs::write(&answers, lines.join("\n") + "\n").unwrap();
    (root, answers)
}

fn export(task: &str, data: &Path, more: &[&str], out: &Path) -> Ran {
    let (data, out) = (data.display().to_string(), out.display().to_string());
    let mut args = vec!["export", "--task", task, "--data", &data, "--out", &out];
    args.extend(more);
    vila_bench(args)
}

#[test]
fn a_run_and_its_answer_file_give_the_same_upload() {
    let (root, answers) = invented(&["Yes.", "A dog", "no"]);
    let text = |path: &Path| path.display().to_string();
    let runs = root.path().join("runs");
    vila_bench([
        "run",
        "--model",
        &text(&answers),
        "--tasks",
        "vizwiz",
        "--data",
        &text(root.path()),
        "--out",
        &text(&runs),
    ]);
    let (of_file, of_run) = (root.path().join("file.json"), root.path().join("run.json"));
    let ran = export("vizwiz", root.path(), &["--answers", &text(&answers)], &of_file);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let ran = export("vizwiz", root.path(), &["--run", &text(&runs.join("tiny"))], &of_run);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert_eq!(
        fs::read_to_string(&of_run).unwrap(),
        "[{\"image\": \"VizWiz_test_00000000.jpg\", \"answer\": \"yes\"}, \
         {\"image\": \"VizWiz_test_00000001.jpg\", \"answer\": \"dog\"}, \
         {\"image\": \"VizWiz_test_00000002.jpg\", \"answer\": \"no\"}]"
    );
    assert_eq!(fs::read(&of_file).unwrap(), fs::read(&of_run).unwrap());
}

#[test]
fn missing_answers_stop_an_upload_and_not_an_answer_file() {
    let (root, answers) = invented(&["yes"]);
    let answers = answers.display().to_string();
    let out = root.path().join("out");
    let ran = export("vizwiz", root.path(), &["--answers", &answers], &out);
    assert_eq!(ran.status, 2);
    assert!(
        ran.error()
            .starts_with("2 of 3 samples have no answer (first: `VizWiz_test_00000001`)"),
        "{}",
        ran.stderr
    );
    assert!(!out.exists());
    let ran = export(
        "vizwiz",
        root.path(),
        &["--answers", &answers, "--format", "llava"],
        &out,
    );
    assert_eq!(ran.status, 3, "{}", ran.stderr);
    assert_eq!(
        fs::read_to_string(&out).unwrap(),
        "{\"question_id\": 0, \"prompt\": \"Question 0?\\nWhen the provided information is insufficient, respond with \
         'Unanswerable'.\\nAnswer the question using a single word or phrase.\", \"text\": \"yes\"}\n"
    );
}

#[test]
fn mme_is_a_folder_and_pope_has_no_submission() {
    let Some(data) = reference_data("mme_is_a_folder_and_pope_has_no_submission") else {
        return;
    };
    let data = data.join("llava-eval");
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("out");
    let answers = |task: &str| {
        data.join(task)
            .join("answers/llava-v1.5-13b.jsonl")
            .display()
            .to_string()
    };
    let ran = export("pope", &data, &["--answers", &answers("pope")], &out);
    assert_eq!(ran.status, 2);
    assert!(
        ran.error().starts_with("this benchmark has no submission format"),
        "{}",
        ran.stderr
    );
    let ran = export("mme", &data, &["--answers", &answers("MME")], &out);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert_eq!(fs::read_dir(&out).unwrap().count(), 14);
    assert_eq!(fs::read_to_string(out.join("color.txt")).unwrap().lines().count(), 60);
}
