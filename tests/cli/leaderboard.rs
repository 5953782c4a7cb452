//! `leaderboard` on real answers: what agrees with the published numbers, what differs, what cannot be compared.

use std::path::Path;

use crate::command::{answer_line, fixtures, reference_data, vila_bench};

/// The leaderboard of LLaVA-1.5-13B's published answers against one published row, as JSON.
fn board(out: &Path, against: &str) -> serde_json::Value {
    let ran = vila_bench([
        "leaderboard",
        out.to_str().unwrap(),
        "--against",
        against,
        "--format",
        "json",
    ]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    serde_json::from_str(&ran.stdout).unwrap()
}

fn verdict(board: &serde_json::Value, metric: &str) -> (String, String) {
    let line = board
        .as_array()
        .unwrap()
        .iter()
        .find(|line| line["metric"] == metric && line["source"] != "this run");
    let text = |name: &str| line.unwrap()[name].as_str().unwrap().to_owned();
    (text("verdict"), text("remark"))
}

#[test]
fn real_answers_agree_with_their_own_paper_and_with_no_other() {
    let Some(data) = reference_data("real_answers_agree_with_their_own_paper_and_with_no_other") else {
        return;
    };
    let eval = data.join("llava-eval");
    let out = tempfile::tempdir().unwrap();
    for (task, answers) in [
        ("pope", "pope/answers/llava-v1.5-13b.jsonl"),
        ("mme", "MME/answers/llava-v1.5-13b.jsonl"),
    ] {
        let (data, answers) = (eval.display().to_string(), eval.join(answers).display().to_string());
        let folder = out.path().join(task).display().to_string();
        let ran = vila_bench([
            "score",
            "--task",
            task,
            "--data",
            &data,
            "--answers",
            &answers,
            "--out",
            &folder,
        ]);
        assert_eq!(ran.status, 0, "{}", ran.stderr);
    }
    let own = board(out.path(), "llava-model-zoo/LLaVA-1.5-13B");
    let nothing = String::new;
    assert_eq!(verdict(&own, "f1"), ("agrees".to_owned(), nothing()));
    assert_eq!(verdict(&own, "perception"), ("agrees".to_owned(), nothing()));
    let ranks = own
        .as_array()
        .unwrap()
        .iter()
        .filter(|line| line["source"] == "this run");
    let ranks: Vec<_> = ranks.filter_map(|line| line["rank"].as_array()).collect();
    assert_eq!(ranks.len(), 2, "each headline has a place among the comparable rows");

    // 20.6 points below, which the pictures of MME alone could explain.
    let other = board(out.path(), "llava-model-zoo/LLaVA-1.5-7B");
    assert_eq!(
        verdict(&other, "perception"),
        ("differs".to_owned(), "within sampling error".to_owned())
    );
    let harness = board(out.path(), "lmms-eval-paper-t27/LLaVA-1.5-13B");
    assert_eq!(
        verdict(&harness, "pooled/f1"),
        ("not-comparable".to_owned(), "different data: coco-9000".to_owned())
    );
}

/// MMBench of the mini suite, which has the papers' split, answered with `A` throughout and scored.
fn verdict_on_the_mini_suite(change: impl Fn(&str) -> String) -> (String, String) {
    let root = tempfile::tempdir().unwrap();
    let name = "mmbench/mmbench_dev_20230712.tsv";
    let table = std::fs::read_to_string(fixtures().join("mini-suite").join(name)).unwrap();
    std::fs::create_dir(root.path().join("mmbench")).unwrap();
    std::fs::write(root.path().join(name), change(&table)).unwrap();
    let indices = table.lines().skip(1).map(|line| line.split('\t').next().unwrap());
    let answers: Vec<String> = indices.map(|index| answer_line(index, "A")).collect();
    let file = root.path().join("answers.jsonl");
    std::fs::write(&file, answers.join("\n")).unwrap();
    let [data, file, out] = [root.path(), &file, &root.path().join("out")].map(|path| path.display().to_string());
    let scored = [
        "score",
        "--task",
        "mmbench",
        "--data",
        &data,
        "--answers",
        &file,
        "--out",
        &out,
    ];
    let ran = vila_bench(scored);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    verdict(&board(Path::new(&out), "vila-paper-t5/VILA-7B"), "accuracy")
}

#[test]
fn the_mini_suite_is_known_by_its_questions_wherever_they_lie() {
    let other_data = ("not-comparable".to_owned(), "different data: the mini suite".to_owned());
    assert_eq!(verdict_on_the_mini_suite(str::to_owned), other_data);
    // With CR before LF it is another file with the same questions.
    assert_eq!(
        verdict_on_the_mini_suite(|table| table.replace('\n', "\r\n")),
        other_data
    );
    let other_questions = |table: &str| table.replace("What ", "Which ");
    assert_eq!(verdict_on_the_mini_suite(other_questions).0, "differs");
}
