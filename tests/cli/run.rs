//! `run` on replayed answers: folders, resuming, shards, limits, failures. No libtorch needed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::command::{Ran, answer_line, demo_answers, fixtures, vila_bench};

/// The demo's questions with answers that differ from picture to picture.
fn answers() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.jsonl");
    let file = demo_answers(|n, id| vec![answer_line(id, if n % 5 < 2 { "No" } else { "Yes" })]);
    std::fs::copy(file.path(), &path).unwrap();
    (folder, path)
}

fn run(model: &Path, out: &Path, more: &[&str]) -> Ran {
    let (model, data, out) = (model.display().to_string(), demo_data(), out.display().to_string());
    let mut args = vec![
        "run", "--model", &model, "--tasks", "pope", "--data", &data, "--out", &out,
    ];
    args.extend(more);
    vila_bench(args)
}

fn demo_data() -> String {
    fixtures().join("pope-demo").display().to_string()
}

fn folder(out: &Path) -> PathBuf {
    out.join("tiny/pope@coco-144")
}

/// The results without what may differ between two runs.
fn results(out: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(folder(out).join("results.json")).unwrap();
    let mut document: serde_json::Value = serde_json::from_str(&text).unwrap();
    document.as_object_mut().unwrap().remove("timings");
    document
}

fn ids(journal: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(journal).unwrap();
    let id = |line: &str| {
        serde_json::from_str::<serde_json::Value>(line).unwrap()["id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    text.lines().map(id).collect()
}

#[test]
fn a_run_says_what_it_found_and_scored() {
    let (_kept, model) = answers();
    let out = tempfile::tempdir().unwrap();
    let ran = run(&model, out.path(), &[]);
    insta::assert_snapshot!(ran.shown(&[(out.path(), "OUT"), (&fixtures(), "FIXTURES")]));
    for file in ["predictions.jsonl", "manifest.json", "results.json", "samples.parquet"] {
        assert!(folder(out.path()).join(file).is_file(), "{file}");
    }
}

#[test]
fn a_finished_run_asks_nothing_again_and_gives_the_same_bytes() {
    let (_kept, model) = answers();
    let out = tempfile::tempdir().unwrap();
    let first = run(&model, out.path(), &[]);
    let parquet = std::fs::read(folder(out.path()).join("samples.parquet")).unwrap();
    let again = run(&model, out.path(), &[]);
    assert_eq!((again.status, &again.stdout), (0, &first.stdout));
    assert!(again.stderr.contains("144 of 144 already answered"), "{}", again.stderr);
    assert_eq!(ids(&folder(out.path()).join("predictions.jsonl")).len(), 144);
    assert_eq!(
        std::fs::read(folder(out.path()).join("samples.parquet")).unwrap(),
        parquet
    );
}

#[test]
fn an_interrupted_journal_with_a_torn_line_resumes_to_the_same_results() {
    let (_kept, model) = answers();
    let whole = tempfile::tempdir().unwrap();
    run(&model, whole.path(), &[]);
    let torn = tempfile::tempdir().unwrap();
    crate::command::copy_folder(whole.path(), torn.path());
    let journal = folder(torn.path()).join("predictions.jsonl");
    let bytes = std::fs::read(&journal).unwrap();
    std::fs::write(&journal, bytes.get(..bytes.len() / 2).unwrap()).unwrap();
    let ran = run(&model, torn.path(), &[]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert_eq!(results(torn.path()), results(whole.path()));
    let ids = ids(&journal);
    assert_eq!(ids.len(), 144, "nothing is asked twice");
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 144);
}

#[test]
fn shards_are_merged_and_equal_one_run() {
    let (_kept, model) = answers();
    let whole = tempfile::tempdir().unwrap();
    run(&model, whole.path(), &[]);
    let parts = tempfile::tempdir().unwrap();
    for shard in ["0/3", "1/3", "2/3"] {
        let ran = run(&model, parts.path(), &["--shard", shard]);
        assert_eq!(ran.status, 0, "{}", ran.stderr);
    }
    assert_eq!(results(parts.path()), results(whole.path()));
    for part in 0..3 {
        assert!(
            folder(parts.path())
                .join(format!("predictions.{part}-of-3.jsonl"))
                .is_file()
        );
    }
    let wrong = run(&model, parts.path(), &["--shard", "3/3"]);
    assert_eq!(wrong.status, 2);
}

#[test]
fn a_limited_run_is_partial_and_can_be_completed() {
    let (_kept, model) = answers();
    let out = tempfile::tempdir().unwrap();
    let ran = run(&model, out.path(), &["--limit", "30"]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert!(
        ran.stdout.contains("30 of 144 samples answered, partial"),
        "{}",
        ran.stdout
    );
    let rest = run(&model, out.path(), &[]);
    assert_eq!(rest.status, 0);
    assert_eq!(ids(&folder(out.path()).join("predictions.jsonl")).len(), 144);
    assert_eq!(results(out.path())["partial"], false);
}

#[test]
fn another_prompt_style_in_the_same_folder_is_refused_naming_it() {
    let (_kept, model) = answers();
    let out = tempfile::tempdir().unwrap();
    run(&model, out.path(), &["--limit", "10"]);
    let ran = run(&model, out.path(), &["--prompt-style", "vlmevalkit"]);
    assert_eq!(ran.status, 2);
    assert!(
        ran.error().contains("prompt-style was `paper`, is `vlmevalkit`"),
        "{}",
        ran.stderr
    );
    let fresh = run(
        &model,
        out.path(),
        &["--prompt-style", "vlmevalkit", "--fresh", "--limit", "10"],
    );
    assert_eq!(fresh.status, 0, "{}", fresh.stderr);
    assert_eq!(ids(&folder(out.path()).join("predictions.jsonl.old-1")).len(), 10);
}

#[test]
fn changed_answers_are_another_run() {
    let (_kept, model) = answers();
    let out = tempfile::tempdir().unwrap();
    run(&model, out.path(), &[]);
    let text = std::fs::read_to_string(&model).unwrap().replace("Yes", "No");
    std::fs::write(&model, text).unwrap();
    let ran = run(&model, out.path(), &[]);
    assert_eq!(ran.status, 2);
    assert!(ran.error().contains("model/tiny.jsonl was"), "{}", ran.stderr);
}

#[test]
fn failed_samples_are_shown_counted_and_asked_again() {
    let out = tempfile::tempdir().unwrap();
    let kept = tempfile::tempdir().unwrap();
    let model = kept.path().join("tiny.jsonl");
    let file = demo_answers(|n, id| match n {
        5 => vec![serde_json::json!({"id": id, "error": "picture missing: `x.jpg`"}).to_string()],
        _ => vec![answer_line(id, "Yes")],
    });
    std::fs::copy(file.path(), &model).unwrap();
    let ran = run(&model, out.path(), &[]);
    assert_eq!(ran.status, 3);
    assert!(ran.stderr.contains("picture missing: `x.jpg`"), "{}", ran.stderr);
    assert!(
        ran.stdout.contains("1 failed: asked, no answer, in no metric"),
        "{}",
        ran.stdout
    );
    assert_eq!(results(out.path())["failed"], 1);
    assert_eq!(run(&model, out.path(), &[]).status, 3);
    assert_eq!(
        ids(&folder(out.path()).join("predictions.jsonl")).len(),
        145,
        "only the failed one is asked again"
    );
}

#[test]
fn strict_stops_at_the_first_failure() {
    let out = tempfile::tempdir().unwrap();
    let kept = tempfile::tempdir().unwrap();
    let model = kept.path().join("tiny.jsonl");
    let file = demo_answers(|n, id| {
        if n == 0 {
            Vec::new()
        } else {
            vec![answer_line(id, "Yes")]
        }
    });
    std::fs::copy(file.path(), &model).unwrap();
    let ran = run(&model, out.path(), &["--strict"]);
    assert_eq!(ran.status, 2);
    assert!(ran.error().starts_with("--strict: sample `random/"), "{}", ran.stderr);
    assert!(ids(&folder(out.path()).join("predictions.jsonl")).len() < 144);
}

#[test]
fn a_dry_run_writes_nothing() {
    let (_kept, model) = answers();
    let out = tempfile::tempdir().unwrap();
    let ran = run(&model, out.path(), &["--dry-run", "--limit", "50"]);
    insta::assert_snapshot!(ran.shown(&[(out.path(), "OUT"), (&fixtures(), "FIXTURES")]));
    assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0);
}

#[test]
fn an_output_folder_that_is_a_file_is_named() {
    let (_kept, model) = answers();
    let file = tempfile::NamedTempFile::new().unwrap();
    let ran = run(&model, file.path(), &[]);
    assert_eq!(ran.status, 2);
    assert!(ran.error().contains("is a file"), "{}", ran.stderr);
}

#[test]
fn a_full_disk_stops_the_run_and_says_so() {
    let (_kept, model) = answers();
    let out = tempfile::tempdir().unwrap();
    // Files may grow to 8 kB, and the signal that would kill the writer is ignored: writes fail as on a full disk.
    let script = "trap '' XFSZ; ulimit -f 8; exec \"$@\"";
    let output = std::process::Command::new("bash")
        .args([
            "-c",
            script,
            "bash",
            env!("CARGO_BIN_EXE_vila-bench"),
            "run",
            "--tasks",
            "pope",
            "--model",
        ])
        .arg(&model)
        .args(["--data", &demo_data(), "--out"])
        .arg(out.path())
        .output()
        .unwrap();
    let ran = Ran::of(&output);
    assert_eq!(ran.status, 2, "{}", ran.stderr);
    assert!(
        ran.error().contains("cannot write") && ran.error().contains("predictions.jsonl"),
        "{}",
        ran.stderr
    );
    let resumed = run(&model, out.path(), &[]);
    assert_eq!(resumed.status, 0, "{}", resumed.stderr);
    assert_eq!(ids(&folder(out.path()).join("predictions.jsonl")).len(), 144);
}

#[test]
fn a_damaged_journal_line_is_named() {
    let (_kept, model) = answers();
    let out = tempfile::tempdir().unwrap();
    run(&model, out.path(), &[]);
    let journal = folder(out.path()).join("predictions.jsonl");
    let text = std::fs::read_to_string(&journal).unwrap();
    std::fs::write(&journal, text.replacen("\"Yes\"", "\"No\"", 1)).unwrap();
    let ran = run(&model, out.path(), &[]);
    assert_eq!(ran.status, 2);
    assert!(ran.error().contains("damaged; delete this line"), "{}", ran.stderr);
}

#[test]
fn leaderboard_marks_other_data_and_partial_runs() {
    let (_kept, model) = answers();
    let out = tempfile::tempdir().unwrap();
    run(&model, out.path(), &["--limit", "30"]);
    let against = "llava-model-zoo/LLaVA-1.5-13B";
    let board = |format: &str| {
        vila_bench([
            "leaderboard",
            out.path().to_str().unwrap(),
            "--against",
            against,
            "--format",
            format,
        ])
    };
    for format in ["table", "md", "csv", "json", "latex", "html"] {
        insta::assert_snapshot!(
            format!("leaderboard_{format}"),
            board(format).shown(&[(out.path(), "OUT")])
        );
    }
    let unknown = vila_bench([
        "leaderboard",
        out.path().to_str().unwrap(),
        "--against",
        "llava-model-zo",
    ]);
    assert_eq!(unknown.status, 2);
    assert!(
        unknown.error().contains("did you mean `llava-model-zoo`?"),
        "{}",
        unknown.stderr
    );
    let empty = tempfile::tempdir().unwrap();
    let nothing = vila_bench(["leaderboard", empty.path().to_str().unwrap()]);
    assert!(nothing.error().contains("no results.json in"), "{}", nothing.stderr);
}

#[test]
fn what_there_is_can_be_listed() {
    for what in ["benchmarks", "models"] {
        insta::assert_snapshot!(format!("list_{what}"), vila_bench(["list", what]).shown(&[]));
    }
    assert_eq!(vila_bench(["list", "published"]).stdout.lines().count(), 880 + 4);
    assert_eq!(vila_bench(["doctor"]).status, 0);
}

#[test]
fn real_answers_replayed_give_the_real_score() {
    let Some(data) = crate::command::reference_data("real_answers_replayed_give_the_real_score") else {
        return;
    };
    let out = tempfile::tempdir().unwrap();
    let data = data.join("llava-eval");
    let model = data.join("pope/answers/llava-v1.5-13b.jsonl");
    let args = [
        "run",
        "--tasks",
        "pope",
        "--model",
        model.to_str().unwrap(),
        "--data",
        data.to_str().unwrap(),
        "--out",
    ];
    let ran = vila_bench(args.into_iter().chain([out.path().to_str().unwrap()]));
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let board = vila_bench([
        "leaderboard",
        out.path().to_str().unwrap(),
        "--against",
        "llava-model-zoo/LLaVA-1.5-13B",
    ]);
    assert!(board.stdout.contains("+0.05"), "{}", board.stdout);
}

#[test]
fn answers_that_cannot_be_scored_here_are_kept_and_the_run_is_done() {
    let Some(data) = crate::command::reference_data("answers_that_cannot_be_scored_here_are_kept_and_the_run_is_done")
    else {
        return;
    };
    let out = tempfile::tempdir().unwrap();
    let data = data.join("llava-eval");
    let model = data.join("vizwiz/answers/llava-v1.5-13b.jsonl");
    let args = [
        "run",
        "--tasks",
        "vizwiz",
        "--limit",
        "50",
        "--model",
        model.to_str().unwrap(),
        "--data",
    ];
    let args = args
        .into_iter()
        .chain([data.to_str().unwrap(), "--out", out.path().to_str().unwrap()]);
    let ran = vila_bench(args);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("answered, not scored") && ran.stderr.contains("challenge 2185"),
        "{}",
        ran.stderr
    );
    let folder = out.path().join("llava-v1.5-13b/vizwiz@test-dev");
    assert_eq!(ids(&folder.join("predictions.jsonl")).len(), 50);
    assert!(!folder.join("results.json").exists());
}

/// How the first real question of every benchmark is asked in every style: a changed prompt is a changed number. The
/// question's own words are left out, for the files are not ours to copy.
#[test]
fn prompts_are_worded_as_in_the_papers_and_the_harnesses() {
    let Some(data) = crate::command::reference_data("prompts_are_worded_as_in_the_papers_and_the_harnesses") else {
        return;
    };
    let data = data.join("llava-eval").display().to_string();
    let (_kept, answers) = answers();
    let model = answers.display().to_string();
    let wording = |task: &str, style: &str| {
        let args = [
            "run",
            "--dry-run",
            "--model",
            &model,
            "--data",
            &data,
            "--tasks",
            task,
            "--prompt-style",
            style,
        ];
        let ran = vila_bench(args);
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        let line = ran
            .stdout
            .lines()
            .find_map(|line| line.trim().strip_prefix("wording"))
            .unwrap();
        serde_json::from_str::<String>(line.trim()).unwrap()
    };
    let mut shown = String::new();
    for task in ["gqa", "vizwiz", "textvqa", "pope", "mme", "mmbench", "mm-vet"] {
        let paper = wording(task, "paper");
        let question = paper.lines().next().unwrap();
        for style in ["paper", "lmms-eval", "vlmevalkit"] {
            let masked = wording(task, style).replace(question, "QUESTION");
            let lines: Vec<&str> = masked
                .split('\n')
                .map(|line| match line.split_once(['.', ':']) {
                    Some(("A", _)) => "A. OPTION",
                    Some(("B", _)) => "B. OPTION",
                    Some(("Reference OCR token", _)) => "Reference OCR token: TOKENS",
                    _ => line,
                })
                .collect();
            shown.push_str(&format!("{task} {style}: {:?}\n", lines.join("\n")));
        }
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn a_folder_of_mme_results_can_be_replayed() {
    let Some(data) = crate::command::reference_data("a_folder_of_mme_results_can_be_replayed") else {
        return;
    };
    let out = tempfile::tempdir().unwrap();
    let data = data.join("llava-eval").display().to_string();
    let results = out.path().join("llava-13b").display().to_string();
    let answers = format!("{data}/MME/answers/llava-v1.5-13b.jsonl");
    let export = [
        "export",
        "--task",
        "mme",
        "--data",
        &data,
        "--answers",
        &answers,
        "--out",
        &results,
    ];
    let exported = vila_bench(export);
    assert_eq!(exported.status, 0, "{}", exported.stderr);
    let runs = out.path().join("runs").display().to_string();
    let run = [
        "run",
        "--adapter",
        "replay",
        "--model",
        &results,
        "--tasks",
        "mme",
        "--data",
        &data,
        "--out",
        &runs,
    ];
    let ran = vila_bench(run);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("1531.32"), "{}", ran.stdout);
}
