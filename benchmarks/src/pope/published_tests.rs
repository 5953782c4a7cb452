//! POPE from the real files to the published numbers.

use std::collections::HashMap;
use std::fs;

use super::fixture::{fault, load, source, texts, write};
use super::{PROMPT_SUFFIX, Pope};
use crate::benchmark::{Benchmark, Dataset};
use crate::matching::match_predictions;
use crate::metric::Score;
use crate::prediction::PredictionFile;
use crate::reference_data;
use crate::task::Protocol;

/// The published evaluation: LLaVA's questions, the labels it pins, LLaVA-1.5-13B's answers.
#[test]
fn llava_15_13b_scores_what_the_paper_says() {
    let Some(folder) = reference_data::folder("llava_15_13b_scores_what_the_paper_says") else {
        return;
    };
    let folder = folder.join("llava-eval");
    let file = PredictionFile::read(&folder.join("pope/answers/llava-v1.5-13b.jsonl")).unwrap();
    assert!(file.sha256.starts_with("398ca482d901d828"), "{}", file.sha256);
    let by_question_file = Pope.load(&source(&folder)).unwrap();
    assert_eq!(
        by_question_file.provenance().layout,
        "LLaVA question file with official labels"
    );
    let hashes: Vec<&str> = by_question_file
        .provenance()
        .files
        .iter()
        .map(|file| &file.sha256[..16])
        .collect();
    assert_eq!(
        hashes,
        [
            "1d3b41f0dced74b4",
            "c16b65d2df6d70bb",
            "5b16653023bf4f64",
            "1d8f0906a9b50c05"
        ]
    );
    // The labels alone: LLaVA's ids are resolved by category and position.
    let by_labels = Pope.load(&source(&folder.join("pope/coco"))).unwrap();
    assert_eq!(by_labels.provenance().layout, "official label files");
    for data in [&by_question_file, &by_labels] {
        assert_eq!(
            (data.samples().len(), data.provenance().split.as_str()),
            (8910, Pope.default_split())
        );
        let answers = texts(match_predictions(&**data, &file).unwrap());
        for protocol in [Protocol::Paper, Protocol::Official] {
            let score = data.score(&answers, protocol).unwrap();
            assert_eq!((score.answered, score.unparsed, score.empty), (8910, 0, 0));
            check_published(&score);
        }
        let lmms = data.score(&answers, Protocol::LmmsEval).unwrap();
        let pooled_f1 = 100.0 * 2.0 * 3546.0 / (2.0 * 3546.0 + 207.0 + 954.0);
        close(&lmms, "lmms-eval/f1", pooled_f1);
        close(&lmms, "lmms-eval/yes-ratio", 100.0 * 4500.0 / 8910.0);
        let kit = data.score(&answers, Protocol::VlmEvalKit).unwrap();
        close(&kit, "vlmevalkit/f1", pooled_f1);
        close(&kit, "f1", 85.94688090539114);
    }
    let repaired = |data: &dyn Dataset, index: usize| super::repaired(&data.samples()[index].question);
    let of_label: HashMap<&str, usize> = by_labels
        .samples()
        .iter()
        .enumerate()
        .map(|(n, sample)| (sample.id.as_str(), n))
        .collect();
    for (index, sample) in by_question_file.samples().iter().enumerate() {
        let other = of_label[sample.id.as_str()];
        assert_eq!(repaired(&*by_question_file, index), repaired(&*by_labels, other));
        assert_eq!(sample.reference, by_labels.samples()[other].reference);
    }
}

/// `pope.md`, section 10: TP, FP, TN, FN and F1 to four places.
fn check_published(score: &Score) {
    let rows = [
        ("random", [1182.0, 31.0, 1379.0, 318.0], 87.14),
        ("popular", [1182.0, 59.0, 1441.0, 318.0], 86.25),
        ("adversarial", [1182.0, 117.0, 1383.0, 318.0], 84.46),
        ("pooled", [3546.0, 207.0, 4203.0, 954.0], 85.93),
    ];
    for (group, [tp, fp, tn, fn_], f1) in rows {
        let n = tp + fp + tn + fn_;
        let (precision, recall) = (tp / (tp + fp), tp / (tp + fn_));
        let exact: f64 = 200.0 * precision * recall / (precision + recall);
        assert!((exact - f1).abs() < 0.005, "{group}: {exact}");
        close(score, &format!("{group}/f1"), exact);
        close(score, &format!("{group}/accuracy"), 100.0 * (tp + tn) / n);
        close(score, &format!("{group}/precision"), 100.0 * precision);
        close(score, &format!("{group}/recall"), 100.0 * recall);
        close(score, &format!("{group}/yes-ratio"), 100.0 * (tp + fp) / n);
    }
    close(score, "f1", 85.94688090539114);
    let accuracy = score.metric("accuracy").unwrap().value.clone().unwrap();
    assert!((accuracy - 86.98).abs() < 0.005, "{accuracy}");
}

fn close(score: &Score, id: &str, expected: f64) {
    let value = score.metric(id).unwrap().value.clone().unwrap();
    assert!((value - expected).abs() < 1e-9, "{id}: {value}, expected {expected}");
}

/// The newer random labels with LLaVA's questions, and the reverse: section 8's nonsense F1 of 0.4565.
#[test]
fn random_labels_of_the_other_revision_are_refused() {
    let test = "random_labels_of_the_other_revision_are_refused";
    let Some(folder) = reference_data::folder(test) else {
        return;
    };
    let real = folder.join("llava-eval/pope");
    let root = tempfile::tempdir().unwrap();
    for name in [
        "coco/coco_pope_random.json",
        "coco/coco_pope_popular.json",
        "coco/coco_pope_adversarial.json",
    ] {
        write(root.path().join(name), fs::read(real.join(name)).unwrap());
    }
    let questions = fs::read_to_string(real.join("llava_pope_test.jsonl")).unwrap();
    write(root.path().join("llava_pope_test.jsonl"), &questions);
    let labels = fs::read_to_string(real.join("coco/coco_pope_random.json")).unwrap();
    let added = |n: usize| {
        format!(
            "{{\"question_id\": {n}, \"image\": \"x.jpg\", \"text\": \"Is there a x{n} in the image?\", \
             \"label\": \"no\"}}\n"
        )
    };
    let added: String = (2911..=3000).map(added).collect();
    let longer = format!("{}\n{added}", labels.trim_end());
    write(root.path().join("coco/coco_pope_random.json"), &longer);
    let error = fault(root.path());
    assert!(error.contains("3000 labels for the 2910 random questions"), "{error}");
    assert!(
        error.ends_with("take that of AoiDragon/POPE at e3e39262, which has 2910"),
        "{error}"
    );

    // Without LLaVA's questions the same labels are a split of their own, to which LLaVA's ids do not apply.
    fs::remove_file(root.path().join("llava_pope_test.jsonl")).unwrap();
    let data = load(root.path()).unwrap();
    assert_eq!(data.provenance().split, "coco-9000");
    let file = PredictionFile::read(&real.join("answers/llava-v1.5-13b.jsonl")).unwrap();
    let error = match_predictions(&*data, &file).unwrap_err().to_string();
    assert!(error.contains("these data have 3000 + 3000 + 3000"), "{error}");

    let asked = |n: usize| {
        let text = format!("Is there a x{n} in the image?{PROMPT_SUFFIX}");
        let id = 10_000_000 + n;
        format!(
            "{}\n",
            serde_json::json!({"question_id": id, "image": "x.jpg", "text": text, "category": "random"})
        )
    };
    let asked: String = (2911..=3000).map(asked).collect();
    write(
        root.path().join("llava_pope_test.jsonl"),
        format!("{}\n{asked}", questions.trim_end()),
    );
    write(root.path().join("coco/coco_pope_random.json"), &labels);
    let error = fault(root.path());
    assert!(
        error.ends_with("take that of AoiDragon/POPE at 109985c, which has 3000"),
        "{error}"
    );
    write(root.path().join("coco/coco_pope_random.json"), &longer);
    assert_eq!(load(root.path()).unwrap().samples().len(), 9000);
}

/// The real answers, tampered with.
#[test]
fn real_answers_that_were_tampered_with_are_caught() {
    let test = "real_answers_that_were_tampered_with_are_caught";
    let Some(folder) = reference_data::folder(test) else {
        return;
    };
    let real = folder.join("llava-eval/pope");
    let content = fs::read_to_string(real.join("answers/llava-v1.5-13b.jsonl")).unwrap();
    let lines: Vec<&str> = content.lines().collect();
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("answers.jsonl");
    let questions = Pope.load(&source(&real)).unwrap();
    let labels = Pope.load(&source(&real.join("coco"))).unwrap();
    let run = |data: &dyn Dataset, lines: &[&str]| {
        fs::write(&path, lines.join("\n")).unwrap();
        let file = PredictionFile::read(&path).unwrap();
        match_predictions(data, &file)
            .map(texts)
            .map_err(|error| error.to_string())
    };
    for data in [&*questions, &*labels] {
        // Shorter: the rest is unanswered, and the categories' own numbers stay what they were.
        let adversarial_only = run(data, &lines[..3000]).unwrap();
        let score = data.score(&adversarial_only, Protocol::Paper).unwrap();
        assert_eq!((score.answered, score.unanswered()), (3000, 5910));
        assert_eq!(
            score.metric("random/f1").unwrap().value,
            Err("no answered sample".to_owned())
        );
        close(&score, "adversarial/recall", 78.8);
        // In another order: nothing is paired by position.
        let backwards: Vec<&str> = lines.iter().rev().copied().collect();
        check_published(&data.score(&run(data, &backwards).unwrap(), Protocol::Paper).unwrap());
        // Twice.
        let twice = run(data, &[lines[0], lines[1], lines[0]]).unwrap_err();
        assert!(twice.contains("line 3: `1` was answered in line 1 already"), "{twice}");
        // Ids that start again in each category.
        let restarted = lines[3001].replace("10000002", "2");
        let error = run(data, &[lines[0], &restarted]).unwrap_err();
        assert!(error.contains("line 2: `prompt` asks `Is there a "), "{error}");
        // Longer, or of another benchmark.
        let stranger = lines[0].replace("\"question_id\": 1,", "\"question_id\": 3001,");
        let error = run(data, &[lines[0], &stranger]).unwrap_err();
        assert!(error.contains("line 2: `3001` is not in split `coco-8910`"), "{error}");
        let error = run(data, &[&stranger]).unwrap_err();
        assert!(error.contains("it belongs to another benchmark or split"), "{error}");
    }
}
