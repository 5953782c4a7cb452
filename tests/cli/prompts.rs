//! How every benchmark is worded in every style, on invented questions: hints, OCR tokens, blanks, Chinese.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::command::{answer_line, vila_bench};

const SHORT: &str = "\nAnswer the question using a single word or phrase.";

fn write(root: &Path, name: &str, content: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// LLaVA's question file of one question.
fn question(root: &Path, name: &str, id: impl Into<Value>, image: &str, text: &str) {
    let id: Value = id.into();
    let line = json!({"question_id": id, "image": image, "text": text, "category": "default"});
    write(root, name, &format!("{line}\n"));
}

fn invented(root: &Path) {
    question(
        root,
        "vqav2/llava_vqav2_mscoco_test-dev2015.jsonl",
        900_001_000,
        "COCO_test2015_000000900001.jpg",
        &format!("Is the  kite red?{SHORT}"),
    );
    question(
        root,
        "gqa/llava_gqa_testdev_balanced.jsonl",
        "900001",
        "n900.jpg",
        &format!("What color is the mug?{SHORT}"),
    );
    let unanswerable = "\nWhen the provided information is insufficient, respond with 'Unanswerable'.";
    question(
        root,
        "vizwiz/llava_test.jsonl",
        0,
        "VizWiz_test_00000000.jpg",
        &format!("What flavor is this?  {unanswerable}{SHORT}"),
    );
    let annotation = json!({"data": [{"question_id": 34602, "question": "what WORD is on the mug?", "image_id": "0a",
        "answers": vec!["acme"; 10]}]});
    write(root, "textvqa/TextVQA_0.5.1_val.json", &annotation.to_string());
    let tokens = json!({"data": [{"image_id": "0a", "ocr_tokens": ["ACME", "CO, LTD"], "ocr_info": []}]});
    write(root, "textvqa/TextVQA_Rosetta_OCR_v0.2_val.json", &tokens.to_string());
    let picture = BASE64_STANDARD.encode([0_u8; 60]);
    let header = "index\tquestion\thint\tA\tB\tC\tD\tanswer\tcategory\timage\tsource\tl2-category\tcomment\tsplit";
    let english = format!("7\tWhat is it?\t\"It is\nMonday.\"\tmug\tcat\tNone\tpot\tA\tx\t{picture}\ty\tz\t\tdev");
    let chinese = format!("7\t这是什么？\t今天是星期一。\t杯子\t猫\t\t\tA\tx\t{picture}\ty\tz\t\tdev");
    write(
        root,
        "mmbench/mmbench_dev_20230712.tsv",
        &format!("{header}\n{english}\n"),
    );
    write(
        root,
        "mmbench/mmbench_dev_cn_20231003.tsv",
        &format!("{header}\n{chinese}\n"),
    );
    let record =
        json!({"v1_0": {"imagename": "v1_0.png", "question": "What is\nx?", "answer": "1", "capability": ["ocr"]}});
    write(root, "mm-vet/mm-vet.json", &record.to_string());
    write(root, "answers.jsonl", &answer_line("x", "y"));
}

#[test]
fn every_benchmark_is_worded_in_every_style() {
    let root = tempfile::tempdir().unwrap();
    invented(root.path());
    let text = |path: &Path| path.display().to_string();
    let (data, model) = (text(root.path()), text(&root.path().join("answers.jsonl")));
    let pope = text(&crate::command::fixtures().join("pope-demo"));
    let mut shown = String::new();
    for (task, split) in [
        ("vqav2", None),
        ("gqa", None),
        ("vizwiz", None),
        ("textvqa", None),
        ("pope", None),
        ("mmbench", None),
        ("mmbench", Some("dev-cn")),
        ("mm-vet", None),
    ] {
        for style in ["paper", "lmms-eval", "vlmevalkit"] {
            let data = if task == "pope" { &pope } else { &data };
            let mut args = vec!["run", "--dry-run", "--model", &model, "--data", data, "--tasks", task];
            args.extend(["--prompt-style", style]);
            args.extend(split.iter().flat_map(|split| ["--split", split]));
            let ran = vila_bench(args);
            let wording = ran.stdout.lines().find_map(|line| line.trim().strip_prefix("wording"));
            let wording = wording.map_or(ran.error(), str::trim);
            shown.push_str(&format!("{task} {} {style}: {wording}\n", split.unwrap_or("")));
        }
    }
    insta::assert_snapshot!(shown);
}
