//! The options that say how a checkpoint is asked: template, profile, picture geometry, stop rule.

use std::path::Path;

use crate::command::{Ran, fixtures, vila_bench};

fn run(data: &Path, task: &str, out: &Path, more: &[&str]) -> Ran {
    let (model, data, out) = (
        fixtures().join("checkpoints/tiny-vila15").display().to_string(),
        data.display().to_string(),
        out.display().to_string(),
    );
    let args = [
        "run", "--model", &model, "--data", &data, "--tasks", task, "--out", &out,
    ];
    vila_bench(args.iter().chain(more))
}

fn demo(out: &Path, more: &[&str]) -> Ran {
    run(&fixtures().join("pope-demo"), "pope", out, more)
}

#[test]
fn a_dry_run_shows_the_whole_prompt_and_the_settings() {
    let out = tempfile::tempdir().unwrap();
    let ran = demo(out.path(), &["--dry-run", "--limit", "6"]);
    insta::assert_snapshot!(ran.shown(&[(out.path(), "OUT"), (&fixtures(), "FIXTURES")]));
    assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0);
}

#[test]
fn a_dry_run_shows_what_the_options_change() {
    let out = tempfile::tempdir().unwrap();
    let options = [
        "--dry-run",
        "--limit",
        "6",
        "--conv-template",
        "llama_3_2409",
        "--profile",
        "llava-1.2",
        "--image-aspect-ratio",
        "pad",
        "--stop",
        "keyword-window",
        "--max-new-tokens",
        "7",
    ];
    insta::assert_snapshot!(demo(out.path(), &options).shown(&[(out.path(), "OUT"), (&fixtures(), "FIXTURES")]));
}

/// MM-Vet's script in VILA-1.5 hands pictures to the processor and cuts the stop string off.
#[test]
fn open_questions_are_asked_as_vilas_script_does() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("mm-vet");
    std::fs::create_dir_all(folder.join("images")).unwrap();
    let picture = fixtures().join("checkpoints/pictures/wide-rgb.jpg");
    std::fs::copy(picture, folder.join("images/v1_0.jpg")).unwrap();
    let question = serde_json::json!({"v1_0": {
        "imagename": "v1_0.jpg", "question": "What is x?", "answer": "-1<AND>-5", "capability": ["ocr", "math"],
        "imagesource": "test"}});
    std::fs::write(folder.join("mm-vet.json"), question.to_string()).unwrap();
    let out = tempfile::tempdir().unwrap();
    let ran = run(data.path(), "mm-vet", out.path(), &["--dry-run"]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    for part in [
        "image-aspect-ratio processor",
        "stop end-token+cut",
        "1024 tokens at most",
    ] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
    let llava = run(
        data.path(),
        "mm-vet",
        out.path(),
        &["--dry-run", "--profile", "llava-1.2"],
    );
    assert!(
        llava.stdout.contains("image-aspect-ratio resize, stop end-token\n"),
        "{}",
        llava.stdout
    );
    let kit = run(
        data.path(),
        "mm-vet",
        out.path(),
        &["--dry-run", "--prompt-style", "vlmevalkit"],
    );
    assert!(
        kit.stdout.contains("image-aspect-ratio resize, stop keyword\n"),
        "{}",
        kit.stdout
    );
}

#[test]
fn unknown_names_are_told_the_nearest_one() {
    let out = tempfile::tempdir().unwrap();
    let cases = [
        (
            "--profile",
            "vila-15",
            "did you mean `vila-1.5`? known: llava-1.2, vila-1.0, vila-1.5",
        ),
        (
            "--profile",
            "gpt",
            "unknown profile `gpt`; known: llava-1.2, vila-1.0, vila-1.5",
        ),
        ("--conv-template", "vicuna", "did you mean `vicuna_v1`?"),
        ("--conv-template", "vicuna_v2", "did you mean `vicuna_v1`?"),
        (
            "--conv-template",
            "llama_3",
            "`llama_3` has two forms: use `llama_3_2405`",
        ),
        (
            "--conv-template",
            "llava_v1_mmtag",
            "is of 2023 models, which are not supported",
        ),
        (
            "--image-aspect-ratio",
            "pads",
            "did you mean `pad`? known: auto, pad, resize, processor",
        ),
        ("--image-aspect-ratio", "anyres", "known: auto, pad, resize, processor"),
        (
            "--jpeg-decoder",
            "zun",
            "did you mean `zune`? known: libjpeg-turbo, zune",
        ),
        (
            "--stop",
            "endtoken",
            "did you mean `end-token`? known: auto, end-token, keyword, keyword-window",
        ),
    ];
    for (option, value, part) in cases {
        let ran = demo(out.path(), &[option, value]);
        assert_eq!(ran.status, 2, "{option} {value}");
        let error = ran.error();
        assert!(
            error.starts_with(&format!("invalid value '{value}' for '{option} ")) && error.contains(part),
            "{option} {value}: {}",
            ran.stderr
        );
    }
    assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0);
}

#[test]
fn every_option_that_changes_answers_makes_another_run() {
    let out = tempfile::tempdir().unwrap();
    let short = ["--limit", "3", "--max-new-tokens", "2"];
    let first = demo(out.path(), &short);
    assert_eq!(first.status, 0, "{}", first.stderr);
    let changes = [
        ("--profile", "llava-1.2", "profile was `vila-1.5`, is `llava-1.2`"),
        ("--conv-template", "plain", "conv-template was `vicuna_v1`, is `plain`"),
        (
            "--image-aspect-ratio",
            "pad",
            "image-aspect-ratio was `resize`, is `pad`",
        ),
        ("--stop", "keyword", "stop was `end-token`, is `keyword+cut`"),
        ("--jpeg-decoder", "zune", "jpeg-decoder was absent, is `zune`"),
    ];
    for (option, value, part) in changes {
        let ran = demo(out.path(), &[&short[..], &[option, value]].concat());
        assert_eq!(ran.status, 2, "{option}: {}", ran.stderr);
        assert!(ran.error().contains(part), "{}", ran.stderr);
    }
    let same = [&short[..], &["--profile", "vila-1.5", "--image-aspect-ratio", "resize"]].concat();
    let again = demo(out.path(), &same);
    assert_eq!(
        again.status, 0,
        "what `auto` would choose is the same run: {}",
        again.stderr
    );
}
