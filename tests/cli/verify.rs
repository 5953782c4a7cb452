//! `verify`: whether what a run's folder records still holds.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::command::{Ran, answer_line, copy_folder, demo_answers, fixtures, vila_bench};

fn verify(run: &Path, more: &[&str]) -> Ran {
    let run = run.display().to_string();
    vila_bench(["verify", &run].into_iter().chain(more.iter().copied()))
}

/// The verdict on each part.
fn verdicts(run: &Path, more: &[&str]) -> (i32, Vec<(String, String)>) {
    let ran = verify(run, &[more, &["--format", "json"]].concat());
    assert!(ran.stdout.starts_with('{'), "{}", ran.stderr);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    let findings = document["findings"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (
        ran.status,
        findings
            .map(|finding| (text(&finding["part"]), text(&finding["verdict"])))
            .collect(),
    )
}

/// Of the parts that are not as recorded or could not be looked at.
fn not_held(run: &Path, more: &[&str]) -> (i32, Vec<String>) {
    let (status, found) = verdicts(run, more);
    let shown = found
        .into_iter()
        .filter(|(_, verdict)| verdict == "differs" || verdict == "not-checked")
        .map(|(part, verdict)| format!("{part} {verdict}"));
    (status, shown.collect())
}

fn answered(folder: &Path, model: &Path, more: &[&str]) -> PathBuf {
    let data = folder.join("data");
    copy_folder(&fixtures().join("pope-demo"), &data);
    let [model, data, out] = [model, &data, &folder.join("runs")].map(|path| path.display().to_string());
    let args = [
        "run", "--model", &model, "--tasks", "pope", "--data", &data, "--out", &out,
    ];
    let ran = vila_bench(args.into_iter().chain(more.iter().copied()));
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let of_model = folder.join("runs").read_dir().unwrap().next().unwrap().unwrap().path();
    of_model.join("pope@coco-144")
}

#[cfg(feature = "libtorch")]
fn replace(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[cfg(feature = "libtorch")]
#[test]
fn a_run_of_a_checkpoint_holds_until_something_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("tiny-vila15");
    copy_folder(&fixtures().join("checkpoints/tiny-vila15"), &model);
    let run = answered(folder.path(), &model, &["--max-new-tokens", "4"]);
    let ran = verify(&run, &[]);
    insta::assert_snapshot!(
        ran.shown(&[(folder.path(), "FOLDER")])
            .split("--- stderr")
            .next()
            .unwrap()
    );
    assert_eq!(not_held(&run, &["--ask", "3", "--seed", "7"]), (0, vec![]));

    let results = run.join("results.json");
    let whole = std::fs::read_to_string(&results).unwrap();
    replace(&results, "\"answered\": 144", "\"answered\": 143");
    assert_eq!(not_held(&run, &["--ask", "0"]), (1, vec!["scores differs".to_owned()]));
    std::fs::write(&results, &whole).unwrap();

    let data = folder.path().join("data/pope");
    let picture = data.join("val2014/COCO_val2014_000000900003.jpg");
    let bytes = std::fs::read(&picture).unwrap();
    std::fs::write(&picture, [bytes.as_slice(), b"x"].concat()).unwrap();
    assert_eq!(
        not_held(&run, &["--ask", "0"]),
        (1, vec!["pictures differs".to_owned()])
    );
    std::fs::remove_file(&picture).unwrap();
    assert_eq!(
        not_held(&run, &["--ask", "0"]),
        (3, vec!["pictures not-checked".to_owned()])
    );
    std::fs::write(&picture, &bytes).unwrap();

    // A line that was taken out is missed, though every line left is whole.
    let list = run.join("pictures.jsonl");
    let lines = std::fs::read_to_string(&list).unwrap();
    std::fs::write(&list, lines.split_once('\n').unwrap().1).unwrap();
    assert_eq!(
        not_held(&run, &["--ask", "0"]),
        (1, vec!["pictures differs".to_owned()])
    );
    std::fs::write(&list, lines).unwrap();

    let labels = data.join("coco/coco_pope_random.json");
    let text = std::fs::read_to_string(&labels).unwrap();
    replace(&labels, "\"label\": \"yes\"", "\"label\": \"no\"");
    let (status, found) = not_held(&run, &["--ask", "0"]);
    assert_eq!(status, 1);
    assert!(found.contains(&"data differs".to_owned()), "{found:?}");
    std::fs::write(&labels, text).unwrap();

    let weights = model.join("mm_projector/model.safetensors");
    let bytes = std::fs::read(&weights).unwrap();
    let mut damaged = bytes.clone();
    *damaged.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, damaged).unwrap();
    let expected = vec!["model differs".to_owned(), "answers not-checked".to_owned()];
    assert_eq!(not_held(&run, &[]), (1, expected));
    std::fs::write(&weights, bytes).unwrap();

    let moved = folder.path().join("moved");
    std::fs::rename(&model, &moved).unwrap();
    let expected = vec!["model not-checked".to_owned(), "answers not-checked".to_owned()];
    assert_eq!(not_held(&run, &[]), (3, expected));
    assert_eq!(not_held(&run, &["--model", moved.to_str().unwrap()]), (0, vec![]));
    let other = fixtures().join("checkpoints/tiny-llava-hf").display().to_string();
    let (status, found) = not_held(&run, &["--model", &other]);
    assert_eq!((status, found[0].as_str()), (1, "model differs"));
}

/// Answers that are not the model's own are found by asking again.
#[cfg(feature = "libtorch")]
#[test]
fn an_answer_put_in_by_hand_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let run = answered(
        folder.path(),
        &fixtures().join("checkpoints/tiny-vila15"),
        &["--max-new-tokens", "4"],
    );
    let journal = run.join("predictions.jsonl");
    let text = std::fs::read_to_string(&journal).unwrap();
    let last = text.lines().last().unwrap();
    let (body, _) = last.rsplit_once(",\"crc32\"").unwrap();
    let answer: Value = serde_json::from_str(last).unwrap();
    let answer = format!("\"answer\":{}", answer["answer"]);
    let forged = body.replacen(&answer, "\"answer\":\"No\"", 1);
    assert_ne!(body, forged);
    let sum = crc32fast::hash(forged.as_bytes());
    std::fs::write(&journal, format!("{text}{forged},\"crc32\":\"{sum:08x}\"}}\n")).unwrap();
    let (status, found) = not_held(&run, &["--ask", "144"]);
    assert_eq!(status, 1);
    assert!(found.contains(&"answers differs".to_owned()), "{found:?}");
    assert!(found.contains(&"scores differs".to_owned()), "{found:?}");
}

#[test]
fn a_replayed_run_has_no_pictures_to_check() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("tiny.jsonl");
    let answers = demo_answers(|n, id| vec![answer_line(id, if n % 3 == 0 { "Yes" } else { "No" })]);
    std::fs::copy(answers.path(), &model).unwrap();
    let run = answered(folder.path(), &model, &[]);
    let (status, found) = verdicts(&run, &[]);
    assert_eq!(status, 0, "{found:?}");
    let of = |part: &str| found.iter().find(|(name, _)| name == part).unwrap().1.as_str();
    assert_eq!(
        (of("pictures"), of("answers"), of("scores")),
        ("nothing", "holds", "holds")
    );
    std::fs::remove_file(&model).unwrap();
    let expected = vec!["model not-checked".to_owned(), "answers not-checked".to_owned()];
    assert_eq!(not_held(&run, &[]), (3, expected));
    let elsewhere = folder.path().join("nowhere").display().to_string();
    let (status, found) = not_held(&run, &["--data", &elsewhere]);
    assert_eq!((status, found.len()), (3, 5), "{found:?}");
}

#[test]
fn bad_use_is_one_line() {
    let empty = tempfile::tempdir().unwrap();
    let ran = verify(empty.path(), &[]);
    assert_eq!((ran.status, ran.stdout.as_str()), (2, ""));
    assert!(ran.error().contains("holds no manifest.json"), "{}", ran.stderr);
    let ran = verify(empty.path(), &["--ask", "many"]);
    assert_eq!(ran.status, 2);
    std::fs::write(empty.path().join("manifest.json"), "{\"format\": 1}").unwrap();
    let ran = verify(empty.path(), &[]);
    assert!(
        ran.status == 2 && ran.error().contains("is no manifest of this version"),
        "{}",
        ran.stderr
    );
}
