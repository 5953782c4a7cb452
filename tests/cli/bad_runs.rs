//! Runs that do not fit each other, this version or the papers, and hostile answers in them: one line that says so, or a
//! display that stays a display.

use std::path::{Path, PathBuf};

use crate::command::{Ran, answer_line, copy_folder, demo_answers, fixtures, reference_data, vila_bench};

const PAPER: &str = "llava-model-zoo/LLaVA-1.5-13B";

/// A run of replayed answers to the demo's questions in `data`, kept in `root`.
fn replayed(root: &Path, name: &str, data: &Path, answer: impl Fn(usize) -> String) -> PathBuf {
    let model = root.join(format!("{name}.jsonl"));
    let answers = demo_answers(|n, id| vec![answer_line(id, &answer(n))]);
    std::fs::copy(answers.path(), &model).unwrap();
    run("pope", &model, data, &root.join("runs"), &[]);
    root.join("runs").join(name)
}

fn run(task: &str, model: &Path, data: &Path, out: &Path, more: &[&str]) {
    let [model, data, out] = [model, data, out].map(|path| path.display().to_string());
    let args = [
        "run", "--tasks", task, "--model", &model, "--data", &data, "--out", &out,
    ];
    let ran = vila_bench(args.into_iter().chain(more.iter().copied()));
    assert_eq!(ran.status, 0, "{}", ran.stderr);
}

fn plain(n: usize) -> String {
    if n.is_multiple_of(2) { "Yes" } else { "No" }.to_owned()
}

fn command(words: &[&str], paths: &[&Path]) -> Ran {
    let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    let (name, more) = words.split_first().unwrap();
    vila_bench(
        std::iter::once(*name)
            .chain(paths.iter().map(String::as_str))
            .chain(more.iter().copied()),
    )
}

/// One line on stderr behind what was found, nothing on stdout.
fn refused(ran: &Ran, expected: &str) {
    assert_eq!((ran.status, ran.stdout.as_str()), (2, ""), "{}", ran.stderr);
    assert!(ran.error().contains(expected), "`{expected}` is not in: {}", ran.stderr);
}

#[test]
fn a_run_of_another_format_version_is_named_by_every_reader() {
    let root = tempfile::tempdir().unwrap();
    let of_model = replayed(root.path(), "old", &fixtures().join("pope-demo"), plain);
    let folder = of_model.join("pope@coco-144");
    let change = |file: &str, from: &str, to: &str| {
        let path = folder.join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file}");
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
    };
    change("scorecard.json", "\"format\":1", "\"format\":7");
    refused(
        &command(&["compare"], &[&of_model, &of_model]),
        "a scorecard of format 7",
    );
    let page = root.path().join("page").display().to_string();
    refused(
        &command(&["report", "--out", &page], &[&of_model]),
        "a scorecard of format 7",
    );
    change("manifest.json", "\"format\": 1", "\"format\": 7");
    refused(&command(&["verify"], &[&folder]), "has format 7");
    refused(&command(&["leaderboard"], &[&of_model]), "has format 7");
    change("results.json", "\"format\": 1", "\"format\": 7");
    refused(&command(&["explain", "--against", PAPER], &[&folder]), "has format 7");
}

#[test]
fn a_wrong_place_is_told_what_belongs_there() {
    let root = tempfile::tempdir().unwrap();
    let (file, empty) = (root.path().join("file.json"), root.path().join("empty"));
    std::fs::write(&file, "").unwrap();
    std::fs::create_dir(&empty).unwrap();
    std::fs::write(root.path().join("manifest.json"), "{").unwrap();
    let explain = ["explain", "--against", PAPER];
    let cases: [(&[&str], &Path, &str); 8] = [
        (
            &["leaderboard"],
            &file,
            "is a file; name a folder that `run` has written",
        ),
        (&["leaderboard"], &empty, "no results.json in"),
        (
            &explain,
            &file,
            "holds no results.json; name a folder that `run` has written",
        ),
        (
            &explain,
            &empty,
            "holds no results.json; name a folder that `run` has written",
        ),
        (
            &["verify"],
            &file,
            "holds no manifest.json; name a folder that `run` has written",
        ),
        (&["verify"], root.path(), "make the run anew with `run --fresh`"),
        (
            &["data", "check", "--data"],
            &file,
            "is no folder; name the one that holds the benchmarks' data",
        ),
        (&["data", "check", "--data"], &empty, "no benchmark's data in"),
    ];
    for (words, path, expected) in cases {
        let path = path.display().to_string();
        let ran = match words {
            ["data", ..] => vila_bench(words.iter().copied().chain([path.as_str()])),
            _ => command(words, &[Path::new(&path)]),
        };
        refused(&ran, expected);
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    }
}

#[test]
fn runs_of_other_benchmarks_and_of_other_data_are_not_compared() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    copy_folder(&fixtures().join("pope-demo"), &data);
    let base = replayed(root.path(), "base", &data, plain);
    let labels = data.join("pope/coco/coco_pope_random.json");
    let text = std::fs::read_to_string(&labels).unwrap();
    std::fs::write(&labels, text.replacen("\"label\": \"yes\"", "\"label\": \"no\"", 1)).unwrap();
    let relabelled = replayed(root.path(), "relabelled", &data, plain);
    refused(
        &command(&["compare"], &[&base, &relabelled]),
        "same samples, but question texts or reference answers differ: other releases of the data",
    );

    let mmbench = data.join("mmbench");
    std::fs::create_dir(&mmbench).unwrap();
    let picture = "AAAA".repeat(40);
    let rows = format!("index\tquestion\tA\tB\tanswer\tcategory\timage\tsplit\n1\tWhat?\ta\tb\tA\tx\t{picture}\tdev\n");
    std::fs::write(mmbench.join("mmbench_dev_20230712.tsv"), rows).unwrap();
    let model = root.path().join("other.jsonl");
    std::fs::write(&model, answer_line("1", "A")).unwrap();
    run("mmbench", &model, &data, &root.path().join("runs"), &[]);
    refused(
        &command(&["compare"], &[&base, &root.path().join("runs/other")]),
        "pope coco-144 is in the base only; mmbench dev is in the candidate only; name the benchmarks to compare",
    );
}

#[test]
fn a_published_source_that_does_not_exist_is_told_the_nearest_one() {
    let root = tempfile::tempdir().unwrap();
    let of_model = replayed(root.path(), "m", &fixtures().join("pope-demo"), plain);
    let folder = of_model.join("pope@coco-144");
    let explain = |against: &str| command(&["explain", "--against", against], &[&folder]);
    refused(
        &explain("llava-model-zo/LLaVA-1.5-13B"),
        "did you mean `llava-model-zoo`?",
    );
    refused(
        &explain("llava-model-zoo/LLaVA-1.5-14B"),
        "unknown model of that source",
    );
}

#[test]
fn a_megabyte_of_hostile_answer_stays_a_line_in_every_table() {
    let root = tempfile::tempdir().unwrap();
    let data = fixtures().join("pope-demo");
    let base = replayed(root.path(), "base", &data, |_| "Yes".to_owned());
    let evil = "Yes \u{1b}[2J \u{202e}<script>".to_owned() + &"x".repeat(1 << 20);
    let candidate = replayed(root.path(), "evil", &data, move |n| match n % 24 {
        0 => evil.clone(),
        _ => "No".to_owned(),
    });
    let folder = candidate.join("pope@coco-144");
    let ran = [
        command(&["compare"], &[&base, &candidate]),
        command(&["compare", "--format", "md"], &[&base, &candidate]),
        command(&["leaderboard"], &[&candidate]),
        command(&["explain", "--against", PAPER], &[&folder]),
        command(&["verify"], &[&folder]),
    ];
    for ran in ran {
        assert!(ran.status < 2, "{}", ran.stderr);
        assert!(ran.stdout.len() < 30_000, "{} bytes", ran.stdout.len());
        assert!(!ran.stdout.contains(['\u{1b}', '\u{202e}']), "{}", ran.stdout);
    }
}

/// Only the wording differs from the papers': the numbers agree to the digit and are not called comparable.
#[test]
fn a_run_in_another_wording_is_comparable_with_no_paper() {
    let Some(data) = reference_data("a_run_in_another_wording_is_comparable_with_no_paper") else {
        return;
    };
    let out = tempfile::tempdir().unwrap();
    let eval = data.join("llava-eval");
    let model = eval.join("pope/answers/llava-v1.5-13b.jsonl");
    run("pope", &model, &eval, out.path(), &["--prompt-style", "lmms-eval"]);
    let ran = command(&["leaderboard", "--against", PAPER, "--format", "json"], &[out.path()]);
    let lines: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let published = lines.as_array().unwrap().iter().find(|line| line["printed"] == "85.9");
    let published = published.unwrap();
    assert_eq!(published["verdict"], "not-comparable");
    assert_eq!(published["remark"], "wording of lmms-eval");
}
