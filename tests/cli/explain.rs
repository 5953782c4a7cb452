//! `explain`: what every other rule would make of a run's answers.

use std::path::Path;

use serde_json::{Value, json};

use crate::command::{answer_line, copy_folder, demo_answers, fixtures, reference_data, vila_bench};

/// The alternatives of a document that change `factor`.
fn of<'d>(document: &'d Value, factor: &str) -> Vec<&'d Value> {
    let all = document["alternatives"].as_array().unwrap();
    all.iter().filter(|one| one["factor"] == factor).collect()
}

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
        ran.status == 2
            && ran
                .error()
                .starts_with("`nowhere` holds no results.json; name a folder"),
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

/// A prediction file that is replayed on POPE's demo in `data`; its run's folder.
fn replayed(data: &Path, folder: &Path, answer: impl Fn(usize) -> &'static str) -> String {
    let model = folder.join("tiny.jsonl");
    let answers = demo_answers(|n, id| vec![answer_line(id, answer(n))]);
    std::fs::copy(answers.path(), &model).unwrap();
    let [model, data, out] = [&model, data, &folder.join("runs")].map(|path| path.display().to_string());
    let ran = vila_bench([
        "run", "--model", &model, "--tasks", "pope", "--data", &data, "--out", &out,
    ]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    folder.join("runs/tiny/pope@coco-144").display().to_string()
}

#[test]
fn another_release_of_the_labels_is_a_factor() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    copy_folder(&fixtures().join("pope-demo"), &data);
    let other = data.join("pope/output/coco");
    copy_folder(&data.join("pope/coco"), &other);
    let random = other.join("coco_pope_random.json");
    let text = std::fs::read_to_string(&random).unwrap();
    let flipped = text.replacen("\"label\": \"yes\"", "\"label\": \"no\"", 2);
    assert_ne!(text, flipped);
    let more = json!({"question_id": 999, "image": "COCO_val2014_000000900001.jpg",
        "text": "Is there a submarine in the imange?", "label": "no"});
    std::fs::write(&random, format!("{flipped}{more}\n")).unwrap();
    let run = replayed(&data, folder.path(), |n| if n % 2 == 0 { "Yes" } else { "No" });
    let explain = |format: &str| {
        let ran = vila_bench([
            "explain",
            &run,
            "--against",
            "llava-model-zoo/LLaVA-1.5-13B",
            "--format",
            format,
        ]);
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        ran.stdout
    };
    let document: Value = serde_json::from_str(&explain("json")).unwrap();
    let labels = of(&document, "labels");
    let names: Vec<&Value> = labels.iter().map(|one| &one["alternative"]).collect();
    assert_eq!(
        names,
        ["coco-145 (official label files): 144 of 145 answered, 2 labels differ"]
    );
    assert!(labels[0]["change"].as_f64().unwrap() < 0.0, "{document}");
    let bars = document["waterfall"].as_array().unwrap();
    assert_eq!(
        (bars[0]["kind"].as_str(), bars[0]["to"].as_f64()),
        (Some("published"), Some(85.9))
    );
    assert_eq!(bars.last().unwrap()["to"], document["ours"]["value"]);
    let svg = explain("svg");
    assert!(
        svg.starts_with("<svg xmlns") && svg.contains("unexplained, and interaction"),
        "{svg}"
    );
    let page = explain("html");
    assert!(
        page.contains("</svg>\n<table>") && page.contains("<p>each bar is one factor"),
        "{page}"
    );
    assert!(explain("md").contains("| labels "));

    let ran = vila_bench(["explain", &run, "--against", "llava-model-zoo/LLaVA-1.5-13B", "--rerun"]);
    assert_eq!(ran.status, 2);
    assert!(
        ran.error().contains("only a run of a checkpoint can be asked again"),
        "{}",
        ran.stderr
    );
    let ran = vila_bench(["explain", &run, "--against", "x/y", "--rerun=dtyp"]);
    assert!(
        ran.status == 2 && ran.error().contains("did you mean `dtype`?"),
        "{}",
        ran.stderr
    );
}

/// GQA's form about the demo's pictures, with the answer `label` gives each question.
#[cfg(feature = "libtorch")]
fn gqa(root: &Path, label: impl Fn(usize) -> String) {
    let images = root.join("gqa/images");
    std::fs::create_dir_all(&images).unwrap();
    let mut questions = serde_json::Map::new();
    for n in 0..40 {
        let picture = n / 5 + 1;
        let from = fixtures().join(format!("pope-demo/pope/val2014/COCO_val2014_00000090000{picture}.jpg"));
        std::fs::copy(from, images.join(format!("n{picture}.jpg"))).unwrap();
        let question = json!({"question": format!("What is number {n} in the picture?"), "imageId": format!("n{picture}"),
            "answer": label(n), "fullAnswer": "", "isBalanced": true, "groups": {"global": null, "local": ""},
            "types": {"structural": "query", "semantic": "attr", "detailed": "queryAttr"}, "semantic": [],
            "entailed": [], "equivalent": [], "semanticStr": ""});
        questions.insert(format!("{n:02}"), question);
    }
    std::fs::write(
        root.join("gqa/testdev_balanced_questions.json"),
        Value::Object(questions).to_string(),
    )
    .unwrap();
}

#[cfg(feature = "libtorch")]
fn run_gqa(data: &Path, out: &Path) -> crate::command::Ran {
    let model = fixtures().join("checkpoints/tiny-llava-hf");
    let [model, data, out] = [&model, data, out].map(|path| path.display().to_string());
    vila_bench([
        "run",
        "--model",
        &model,
        "--tasks",
        "gqa",
        "--data",
        &data,
        "--out",
        &out,
        "--max-new-tokens",
        "4",
    ])
}

/// The labels are what the checkpoint itself says, so that every changed answer costs its question.
#[cfg(feature = "libtorch")]
#[test]
fn asking_again_measures_what_one_change_costs_and_asks_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("runs"));
    gqa(&data, |_| "unknown".to_owned());
    let first = out.join("first");
    assert_eq!(run_gqa(&data, &first).status, 0);
    let journal = first.join("tiny-llava-hf/gqa@testdev-balanced-40/predictions.jsonl");
    let said: std::collections::HashMap<String, String> = std::fs::read_to_string(&journal)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .map(|line: Value| {
            let text = |name: &str| line[name].as_str().unwrap().to_owned();
            (text("id"), text("answer").trim_end_matches('.').to_lowercase())
        })
        .collect();
    gqa(&data, |n| said[&format!("{n:02}")].clone());
    assert_eq!(run_gqa(&data, &out).status, 0);
    let run = out.join("tiny-llava-hf/gqa@testdev-balanced-40").display().to_string();
    let explain = |more: &[&str]| {
        let mut args = vec![
            "explain",
            &run,
            "--against",
            "llava-model-zoo/LLaVA-1.5-13B",
            "--format",
            "json",
        ];
        args.extend(more);
        let ran = vila_bench(args);
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        (serde_json::from_str::<Value>(&ran.stdout).unwrap(), ran.stderr)
    };
    let factors = "--rerun=asked-again,ocr-tokens,prompt-style,conv-template,jpeg-decoder";
    let (document, _) = explain(&[factors]);
    assert_eq!(document["ours"]["value"], 100.0);
    let [again] = of(&document, "asked-again")[..] else {
        panic!("{document}")
    };
    assert_eq!((&again["change"], &again["asked"]["changed"]), (&json!(0.0), &json!(0)));
    let templates = of(&document, "conv-template");
    let names: Vec<&Value> = templates.iter().map(|one| &one["alternative"]).collect();
    assert_eq!(names, ["vicuna_v1", "llava_v1", "vicuna_v1_nosys"]);
    for one in templates {
        let asked = &one["asked"];
        let lost = 2.5 * asked["flips"].as_f64().unwrap();
        assert!(
            lost > 20.0 && (one["change"].as_f64().unwrap() + lost).abs() < 1e-9,
            "{one}"
        );
        assert_eq!(
            (&asked["samples"], &asked["pictures"], &asked["half_width"]),
            (&json!(40), &json!(8), &json!(0.0))
        );
    }
    for factor in ["ocr-tokens", "prompt-style"] {
        for one in of(&document, factor) {
            assert!(one["reason"].as_str().unwrap().starts_with("not applicable: "), "{one}");
        }
    }
    assert_eq!(of(&document, "jpeg-decoder").len(), 1);
    let (again, stderr) = explain(&[factors]);
    assert_eq!(again, document);
    assert!(!stderr.contains("asked with"), "{stderr}");

    // Whole pictures only, and no more than were allowed.
    std::fs::remove_dir_all(Path::new(&run).join("explain")).unwrap();
    let (few, _) = explain(&["--rerun=conv-template", "--rerun-limit", "12"]);
    for one in of(&few, "conv-template") {
        let asked = &one["asked"];
        assert_eq!(
            (&asked["samples"], &asked["pictures"]),
            (&json!(15), &json!(3)),
            "{one}"
        );
        assert!(asked["half_width"].as_f64().unwrap() > 0.5, "{one}");
        assert!(asked["needed"].as_u64().unwrap() > 15, "{one}");
    }
    let (table, other) = (
        [
            "explain",
            &run,
            "--against",
            "llava-model-zoo/LLaVA-1.5-13B",
            "--rerun=dtype",
        ],
        &fixtures(),
    );
    let wrong = other.join("checkpoints/tiny-llava-v1.5").display().to_string();
    let ran = vila_bench(table.into_iter().chain(["--model", &wrong]));
    assert!(
        ran.status == 2 && ran.error().contains("is not the file that the run was made with"),
        "{}",
        ran.stderr
    );
}

/// The OCR tokens are a line of the prompt; what the checkpoint says without it is measured against what it said with it,
/// which the references are made of.
#[cfg(feature = "libtorch")]
#[test]
fn textvqa_is_asked_again_without_its_ocr_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("runs"));
    copy_folder(&fixtures().join("mini-suite/textvqa"), &data.join("textvqa"));
    let annotation = data.join("textvqa/TextVQA_0.5.1_val.json");
    let mut document: Value = serde_json::from_str(&std::fs::read_to_string(&annotation).unwrap()).unwrap();
    let questions = document["data"].as_array_mut().unwrap();
    questions.truncate(40);
    let write = |document: &Value| std::fs::write(&annotation, document.to_string()).unwrap();
    write(&document);
    let run = |out: &Path| {
        let model = fixtures().join("checkpoints/tiny-llava-hf");
        let [model, data, out] = [&model, &data, out].map(|path| path.display().to_string());
        let args = [
            "run", "--model", &model, "--tasks", "textvqa", "--data", &data, "--out", &out,
        ];
        let ran = vila_bench(args.into_iter().chain(["--max-new-tokens", "4"]));
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        Path::new(&out).join("tiny-llava-hf/textvqa@val")
    };
    let first = run(&folder.path().join("first"));
    let lines = |journal: &Path| -> Vec<Value> {
        let text = std::fs::read_to_string(journal).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let said = lines(&first.join("predictions.jsonl"));
    for question in document["data"].as_array_mut().unwrap() {
        let asked = question["question"].as_str().unwrap().to_lowercase();
        let image = question["image_id"].as_str().unwrap();
        let line = said.iter().find(|line| {
            let prompt = line["prompt"].as_str().unwrap().to_lowercase();
            line["id"].as_str().unwrap().starts_with(image) && prompt.starts_with(&asked)
        });
        question["answers"] = json!(vec![line.unwrap()["answer"].clone(); 10]);
    }
    write(&document);
    let run = run(&out);
    let args = [
        "explain",
        &run.display().to_string(),
        "--against",
        "llava-model-zoo/LLaVA-1.5-13B",
    ];
    let ran = vila_bench(
        args.into_iter()
            .chain(["--format", "json", "--rerun=ocr-tokens,prompt-style"]),
    );
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["ours"]["value"], 100.0);
    let [without] = of(&document, "ocr-tokens")[..] else {
        panic!("{document}")
    };
    assert_eq!(without["alternative"], "without");
    let asked = &without["asked"];
    assert_eq!(
        (&asked["samples"], &asked["half_width"]),
        (&json!(40), &json!(0.0)),
        "{without}"
    );
    assert!(
        asked["flips"].as_u64().unwrap() > 5 && without["change"].as_f64().unwrap() < 0.0,
        "{without}"
    );
    assert_eq!(asked.get("also"), None, "nothing else of the run changes: {without}");
    let prompts = |journal: &Path| {
        let tokens = |line: &Value| line["prompt"].as_str().unwrap().contains("\nReference OCR token: ");
        lines(journal).iter().filter(|line| tokens(line)).count()
    };
    assert_eq!(prompts(&run.join("predictions.jsonl")), 40);
    assert_eq!(prompts(&run.join("explain/ocr-tokens=without/predictions.jsonl")), 0);
    // lmms-eval's wording is the papers' without the tokens: the same factor, and not asked twice.
    let styles: Vec<(&Value, bool)> = of(&document, "prompt-style")
        .into_iter()
        .map(|one| {
            (
                &one["alternative"],
                one["reason"] == "not applicable: the factor OCR tokens",
            )
        })
        .collect();
    assert_eq!(styles, [(&json!("lmms-eval"), true), (&json!("vlmevalkit"), false)]);
    let [labels] = of(&document, "labels")[..] else {
        panic!("{document}")
    };
    assert_eq!(
        labels["reason"],
        "not applicable: there is one release of the labels, TextVQA 0.5.1"
    );
}
