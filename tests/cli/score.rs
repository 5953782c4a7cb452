//! `score` as users run it.

use std::path::Path;

use crate::command::{answer_line as line, demo_answers, fixtures, reference_data, vila_bench};

/// `pope.md` section 10: the five values of each part, per cent.
const PUBLISHED: &[(&str, [f64; 4])] = &[
    // TP, FP, TN, FN
    ("random", [1182.0, 31.0, 1379.0, 318.0]),
    ("popular", [1182.0, 59.0, 1441.0, 318.0]),
    ("adversarial", [1182.0, 117.0, 1383.0, 318.0]),
    ("pooled", [3546.0, 207.0, 4203.0, 954.0]),
];

fn score(data: &Path, answers: &Path, more: &[&str]) -> crate::command::Ran {
    let mut args = vec!["score", "--task", "pope", "--data"];
    let (data, answers) = (data.display().to_string(), answers.display().to_string());
    args.extend([data.as_str(), "--answers", answers.as_str()]);
    args.extend(more);
    vila_bench(args)
}

#[test]
fn the_real_answers_of_llava_15_13b_give_the_published_pope() {
    let Some(data) = reference_data("the_real_answers_of_llava_15_13b_give_the_published_pope") else {
        return;
    };
    let answers = data.join("llava-eval/pope/answers/llava-v1.5-13b.jsonl");
    let ran = score(&data.join("llava-eval"), &answers, &["--format", "json"]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let value = |id: &str| {
        document
            .pointer(&format!("/metrics/{}/value", id.replace('/', "~1")))
            .unwrap()
            .as_f64()
    };
    let close = |id: &str, expected: f64| {
        let found = value(id).unwrap();
        assert!((found - expected).abs() < 1e-9, "{id}: {found} is not {expected}");
    };
    for (part, [tp, fp, tn, fn_]) in PUBLISHED {
        let (precision, recall) = (tp / (tp + fp), tp / (tp + fn_));
        let n = tp + fp + tn + fn_;
        close(&format!("{part}/accuracy"), 100.0 * (tp + tn) / n);
        close(&format!("{part}/precision"), 100.0 * precision);
        close(&format!("{part}/recall"), 100.0 * recall);
        close(
            &format!("{part}/f1"),
            100.0 * 2.0 * precision * recall / (precision + recall),
        );
        close(&format!("{part}/yes-ratio"), 100.0 * (tp + fp) / n);
    }
    close("f1", 85.946_880_905_391_14);
    assert_eq!(document.get("answered").unwrap(), 8910);
    let stderr = document.pointer("/metrics/f1/stderr").unwrap().as_f64().unwrap();
    assert!(stderr > 0.3 && stderr < 1.5, "{stderr}");
}

#[test]
fn labels_of_the_wrong_version_are_refused() {
    let Some(data) = reference_data("labels_of_the_wrong_version_are_refused") else {
        return;
    };
    let root = tempfile::tempdir().unwrap();
    let pope = root.path().join("pope");
    crate::command::copy_folder(&data.join("llava-eval/pope"), &pope);
    let random = pope.join("coco/coco_pope_random.json");
    let mut text = std::fs::read_to_string(&random).unwrap();
    for n in 0..90 {
        text.push_str(&format!(
            "{{\"question_id\": {}, \"image\": \"COCO_val2014_000000310196.jpg\", \"text\": \"Is there a thing{n} in the \
             image?\", \"label\": \"no\"}}\n",
            2911 + n
        ));
    }
    std::fs::write(&random, text).unwrap();
    let ran = score(root.path(), &pope.join("answers/llava-v1.5-13b.jsonl"), &[]);
    assert_eq!(ran.status, 2);
    for part in ["3000", "2910", "e3e39262"] {
        assert!(ran.error().replace(',', "").contains(part), "{}", ran.error());
    }
}

#[test]
fn all_no_leaves_precision_undefined_and_says_why() {
    let answers = demo_answers(|_, id| vec![line(id, "No")]);
    let ran = score(&fixtures().join("pope-demo"), answers.path(), &[]);
    insta::assert_snapshot!(ran.shown(&[(answers.path(), "ANSWERS"), (&fixtures(), "FIXTURES")]));
}

#[test]
fn a_missing_answer_is_counted_and_in_no_metric() {
    let answers = demo_answers(|n, id| if n == 0 { Vec::new() } else { vec![line(id, "Yes")] });
    let ran = score(&fixtures().join("pope-demo"), answers.path(), &["--format", "json"]);
    assert_eq!(ran.status, 3);
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document.pointer("/metrics/pooled~1accuracy/n").unwrap(), 143);
    assert_eq!(document.get("partial").unwrap(), true);
}

#[test]
fn bad_answers_are_named_by_file_and_line() {
    let good = |id: &str| line(id, "Yes");
    let cases: Vec<(&str, tempfile::NamedTempFile, &[&str])> = vec![
        (
            "cut in the middle",
            demo_answers(|n, id| {
                vec![if n == 6 {
                    good(id).split_at(20).0.into()
                } else {
                    good(id)
                }]
            }),
            &["line 7"],
        ),
        (
            "unknown id",
            demo_answers(|n, id| vec![if n == 2 { good("random/x/y") } else { good(id) }]),
            &["line 3", "random/x/y"],
        ),
        (
            "another format",
            demo_answers(|n, id| vec![if n == 4 { "[1, 2]".into() } else { good(id) }]),
            &["line 5"],
        ),
    ];
    for (what, answers, parts) in cases {
        let ran = score(&fixtures().join("pope-demo"), answers.path(), &[]);
        assert_eq!(ran.status, 2, "{what}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{what}");
        for part in parts.iter().copied().chain([answers.path().to_str().unwrap()]) {
            assert!(ran.error().contains(part), "{what}: {} lacks {part}", ran.error());
        }
    }
}

#[test]
fn one_sample_answered_twice_in_a_foreign_file_is_refused() {
    let Some(data) = reference_data("one_sample_answered_twice_in_a_foreign_file_is_refused") else {
        return;
    };
    let real = std::fs::read_to_string(data.join("llava-eval/pope/answers/llava-v1.5-13b.jsonl")).unwrap();
    let answers = tempfile::NamedTempFile::with_suffix(".jsonl").unwrap();
    std::fs::write(answers.path(), format!("{real}{}\n", real.lines().nth(4).unwrap())).unwrap();
    let ran = score(&data.join("llava-eval"), answers.path(), &[]);
    assert_eq!(ran.status, 2);
    assert!(
        ran.error().contains("8911") && ran.error().contains("line 5"),
        "{}",
        ran.error()
    );
}

#[test]
fn an_empty_answers_file_and_a_missing_one_are_errors() {
    let empty = tempfile::NamedTempFile::with_suffix(".jsonl").unwrap();
    let demo = fixtures().join("pope-demo");
    for path in [empty.path(), Path::new("/nowhere/answers.jsonl")] {
        let ran = score(&demo, path, &[]);
        assert_eq!(ran.status, 2);
        assert!(ran.error().contains(path.to_str().unwrap()), "{}", ran.stderr);
    }
}

#[test]
fn an_unknown_task_is_told_what_was_meant() {
    let ran = vila_bench(["score", "--task", "poep", "--data", ".", "--answers", "x"]);
    assert_eq!(ran.status, 2);
    assert!(ran.stderr.contains("did you mean `pope`?"), "{}", ran.stderr);
}

#[test]
fn out_writes_what_is_printed() {
    let out = tempfile::tempdir().unwrap();
    let answers = demo_answers(|n, id| vec![line(id, if n % 3 == 0 { "Yes" } else { "No" })]);
    let folder = out.path().join("scores").display().to_string();
    let ran = score(
        &fixtures().join("pope-demo"),
        answers.path(),
        &["--format", "json", "--out", &folder],
    );
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert_eq!(
        std::fs::read_to_string(out.path().join("scores/results.json")).unwrap(),
        ran.stdout
    );
    let parquet = std::fs::read(out.path().join("scores/samples.parquet")).unwrap();
    assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));
}

#[test]
fn every_protocol_stands_side_by_side() {
    let answers = demo_answers(|n, id| {
        vec![line(
            id,
            ["Yes", "No", "no.", "There is not", "Yes, no", "unknown", ""]
                .get(n % 7)
                .unwrap(),
        )]
    });
    let demo = fixtures().join("pope-demo");
    let ran = score(&demo, answers.path(), &["--protocol", "all"]);
    insta::assert_snapshot!(ran.shown(&[(answers.path(), "ANSWERS"), (&fixtures(), "FIXTURES")]));
    let json = score(&demo, answers.path(), &["--protocol", "all", "--format", "json"]);
    let document: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    for protocol in ["paper", "official", "lmms-eval", "vlmevalkit"] {
        let one = score(&demo, answers.path(), &["--protocol", protocol, "--format", "json"]);
        let alone: serde_json::Value = serde_json::from_str(&one.stdout).unwrap();
        assert_eq!(document.get(protocol), Some(&alone));
    }
}

#[test]
fn data_check_says_what_is_there_and_what_is_broken() {
    let demo = fixtures().join("pope-demo");
    let ran = vila_bench(["data", "check", "--data", demo.to_str().unwrap()]);
    insta::assert_snapshot!(ran.shown(&[]));

    let copy = tempfile::tempdir().unwrap();
    crate::command::copy_folder(&demo, copy.path());
    let picture = copy.path().join("pope/val2014/COCO_val2014_000000900004.jpg");
    std::fs::write(&picture, "no picture").unwrap();
    std::fs::remove_file(picture.with_file_name("COCO_val2014_000000900005.jpg")).unwrap();
    let broken = vila_bench(["data", "check", "--data", copy.path().to_str().unwrap()]);
    assert_eq!(broken.status, 2);
    assert!(broken.stdout.contains("8, 6 readable"), "{}", broken.stdout);
    assert!(
        broken.error().starts_with("2 pictures are missing or cannot be read"),
        "{}",
        broken.stderr
    );

    let others = tempfile::tempdir().unwrap();
    crate::command::copy_folder(&demo, others.path());
    std::fs::create_dir(others.path().join("vizwiz")).unwrap();
    std::fs::write(others.path().join("vizwiz/val.json"), "[{").unwrap();
    let cut = vila_bench(["data", "check", "--data", others.path().to_str().unwrap()]);
    assert_eq!(cut.status, 2);
    assert!(
        cut.stdout.contains("val.json`: cut off in the middle"),
        "{}",
        cut.stdout
    );
    assert!(cut.stdout.contains("8, 8 readable"), "{}", cut.stdout);
    assert_eq!(
        cut.error(),
        "the data of 1 benchmarks cannot be read; the faults stand above"
    );

    let empty = tempfile::tempdir().unwrap();
    let nothing = vila_bench(["data", "check", "--data", empty.path().to_str().unwrap()]);
    assert!(
        nothing.error().starts_with("no benchmark's data in"),
        "{}",
        nothing.stderr
    );
}

#[test]
fn data_check_knows_the_files_of_the_papers() {
    let Some(data) = reference_data("data_check_knows_the_files_of_the_papers") else {
        return;
    };
    let ran = vila_bench([
        "data",
        "check",
        "--tasks",
        "pope",
        "--data",
        data.join("llava-eval").to_str().unwrap(),
    ]);
    assert_eq!(ran.status, 2, "the reference data hold no pictures");
    for part in [
        "LLaVA's question file",
        "e3e39262, random",
        "246 questions say `imange`",
        "500, 0 readable",
    ] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
}

/// Metric values of real answers, by metric id.
fn real_metrics(test: &str, task: &str, answers: &str, more: &[&str]) -> Option<serde_json::Value> {
    let data = reference_data(test)?.join("llava-eval");
    let (root, answers) = (data.display().to_string(), data.join(answers).display().to_string());
    let more: Vec<String> = more.iter().map(|word| word.replace("DATA", &root)).collect();
    let args = [
        "score",
        "--task",
        task,
        "--data",
        &root,
        "--answers",
        &answers,
        "--format",
        "json",
    ];
    let ran = vila_bench(args.into_iter().map(str::to_owned).chain(more));
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    Some(document.get("metrics").unwrap().clone())
}

fn close(metrics: &serde_json::Value, expected: &[(&str, f64)], tolerance: f64) {
    for (id, value) in expected {
        let found = metrics[id]["value"].as_f64().unwrap();
        assert!((found - value).abs() <= tolerance, "{id}: {found} is not {value}");
    }
}

#[test]
fn the_real_answers_of_llava_15_13b_give_the_published_mme() {
    let test = "the_real_answers_of_llava_15_13b_give_the_published_mme";
    let Some(metrics) = real_metrics(test, "mme", "MME/answers/llava-v1.5-13b.jsonl", &[]) else {
        return;
    };
    close(
        &metrics,
        &[
            ("perception", 1_531.318_727_490_996_5),
            ("cognition", 295.357_142_857_142_9),
        ],
        1e-9,
    );
    close(
        &metrics,
        &[
            ("celebrity/score", 152.9412),
            ("OCR/accuracy-plus", 50.0),
            ("artwork/score", 117.75),
        ],
        5e-5,
    );
}

#[test]
fn the_real_grades_of_llava_15_13b_give_the_published_mm_vet() {
    let test = "the_real_grades_of_llava_15_13b_give_the_published_mm_vet";
    let grades = |runs: &str| format!("DATA/mm-vet/results/llava-v1.5-13b_gpt-4-grade-{runs}runs.json");
    let answers = "mm-vet/answers/llava-v1.5-13b.jsonl";
    let Some(one) = real_metrics(test, "mm-vet", answers, &["--grades", &grades("1")]) else {
        return;
    };
    close(
        &one,
        &[
            ("total", 36.1468),
            ("capability/gen", 24.375),
            ("integration/ocr+spat", 33.0769),
        ],
        5e-5,
    );
    let three = real_metrics(test, "mm-vet", answers, &["--grades", &grades("3")]).unwrap();
    close(
        &three,
        &[("total", 36.3150), ("total/std", 0.1689), ("capability/math", 8.8462)],
        5e-5,
    );
}

#[test]
fn the_real_upload_of_llava_15_13b_gives_the_published_mmbench() {
    let test = "the_real_upload_of_llava_15_13b_gives_the_published_mmbench";
    let answers = "mmbench/answers/mmbench_dev_20230712/llava-v1.5-13b.jsonl";
    let Some(metrics) = real_metrics(test, "mmbench", answers, &[]) else {
        return;
    };
    let hits = |hits: f64, of: f64| 100.0 * hits / of;
    let expected = [
        ("accuracy", hits(796.0, 1176.0)),
        ("accuracy/vanilla-base", hits(887.0, 1176.0)),
        ("accuracy/vanilla-all", hits(3346.0, 4377.0)),
    ];
    close(&metrics, &expected, 1e-9);
}

#[test]
fn answers_whose_labels_are_elsewhere_say_where() {
    let Some(data) = reference_data("answers_whose_labels_are_elsewhere_say_where") else {
        return;
    };
    let data = data.join("llava-eval");
    let cases = [
        (
            "textvqa",
            "textvqa/answers/llava-v1.5-13b.jsonl",
            "TextVQA_0.5.1_val.json",
        ),
        ("vizwiz", "vizwiz/answers/llava-v1.5-13b.jsonl", "challenge 2185"),
        (
            "gqa",
            "gqa/answers/llava_gqa_testdev_balanced/llava-v1.5-13b.jsonl",
            "testdev_balanced_questions.json",
        ),
        ("mm-vet", "mm-vet/answers/llava-v1.5-13b.jsonl", "--grades"),
    ];
    for (task, answers, part) in cases {
        let (root, answers) = (data.display().to_string(), data.join(answers).display().to_string());
        let ran = vila_bench(["score", "--task", task, "--data", &root, "--answers", &answers]);
        assert_eq!((ran.status, ran.stdout.as_str()), (2, ""), "{task}");
        assert!(ran.error().contains(part), "{task}: {}", ran.stderr);
    }
}
