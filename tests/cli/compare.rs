//! `compare` and `baseline`: verdicts, exit statuses, formats, and runs that cannot be compared.

use std::path::{Path, PathBuf};

use crate::command::{Ran, answer_line, demo_answers, fixtures, reference_data, vila_bench};

/// A run of replayed answers to the demo's 144 questions.
struct Replayed {
    kept: tempfile::TempDir,
    name: &'static str,
}

impl Replayed {
    fn new(name: &'static str, answer: impl Fn(usize) -> Option<&'static str>) -> Self {
        Self::with(name, answer, &[])
    }

    fn with(name: &'static str, answer: impl Fn(usize) -> Option<&'static str>, more: &[&str]) -> Self {
        let kept = tempfile::tempdir().unwrap();
        let answers = demo_answers(|n, id| answer(n).map(|text| answer_line(id, text)).into_iter().collect());
        let model = kept.path().join(format!("{name}.jsonl"));
        std::fs::copy(answers.path(), &model).unwrap();
        let mut args: Vec<String> = ["run", "--tasks", "pope", "--data"].map(str::to_owned).to_vec();
        args.push(fixtures().join("pope-demo").display().to_string());
        args.extend(["--model".to_owned(), model.display().to_string()]);
        args.extend(["--out".to_owned(), kept.path().join("runs").display().to_string()]);
        args.extend(more.iter().map(|&text| text.to_owned()));
        let ran = vila_bench(&args);
        assert!(ran.status == 0 || ran.status == 3, "{}", ran.stderr);
        Self { kept, name }
    }

    fn folder(&self) -> PathBuf {
        self.kept.path().join("runs").join(self.name)
    }
}

/// Right on two questions in three.
fn good(n: usize) -> Option<&'static str> {
    Some(if n.is_multiple_of(2) != n.is_multiple_of(3) {
        "Yes"
    } else {
        "No"
    })
}

fn compare(base: &Path, candidate: &Path, more: &[&str]) -> Ran {
    let mut args = vec![
        "compare".to_owned(),
        base.display().to_string(),
        candidate.display().to_string(),
    ];
    args.extend(more.iter().map(|&text| text.to_owned()));
    vila_bench(args)
}

#[test]
fn a_run_against_itself_shows_no_difference_and_passes() {
    let run = Replayed::new("good", good);
    let ran = compare(&run.folder(), &run.folder(), &["--fail-on-regression"]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    insta::assert_snapshot!("compare_equal", ran.shown(&[]));
}

#[test]
fn a_worse_run_is_a_regression_in_every_format() {
    let base = Replayed::new("good", good);
    let worse = Replayed::new("worse", |n| if n % 8 < 5 { good(n + 1) } else { good(n) });
    let folder = tempfile::tempdir().unwrap();
    let baseline = folder.path().join("baseline.jsonl");
    let written = vila_bench([
        "baseline".to_owned(),
        base.folder().display().to_string(),
        "--out".to_owned(),
        baseline.display().to_string(),
    ]);
    assert_eq!(written.status, 0, "{}", written.stderr);
    for format in ["table", "md", "json", "junit"] {
        let ran = compare(
            &base.folder(),
            &worse.folder(),
            &["--fail-on-regression", "--format", format],
        );
        assert_eq!(ran.status, 1, "{}", ran.stderr);
        let from_file = compare(
            &baseline,
            &worse.folder(),
            &["--fail-on-regression", "--format", format],
        );
        assert_eq!(from_file.status, 1, "{}", from_file.stderr);
        if format == "json" {
            assert_eq!(from_file.stdout, ran.stdout, "a baseline file stands for the run");
            let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
            assert_eq!(document["regression"], true);
            assert_eq!(document["benchmarks"][0]["headline"]["test"], "permutation-exact");
            assert_eq!(document["benchmarks"][0]["became_wrong"].as_array().unwrap().len(), 30);
        } else {
            insta::assert_snapshot!(format!("compare_worse_{format}"), ran.shown(&[]));
        }
    }
    let ran = compare(&worse.folder(), &base.folder(), &["--fail-on-regression"]);
    assert_eq!(ran.status, 0);
    assert!(ran.stdout.contains("improvement"), "{}", ran.stdout);
    let ran = compare(&base.folder(), &worse.folder(), &[]);
    assert_eq!(ran.status, 0, "without the flag a regression is only told");
    let ran = compare(
        &base.folder(),
        &worse.folder(),
        &["--fail-on-regression", "--margin", "90"],
    );
    assert_eq!(ran.status, 0);
    assert!(ran.stdout.contains("worse, within the margin"), "{}", ran.stdout);
}

#[test]
fn a_candidate_whose_headline_is_undefined_does_not_pass() {
    let base = Replayed::new("good", good);
    let silent = Replayed::new("silent", |_| Some("No"));
    let ran = compare(&base.folder(), &silent.folder(), &["--fail-on-regression"]);
    assert_eq!(ran.status, 1, "{}", ran.stderr);
    assert!(ran.stdout.contains("undefined in one of the runs"), "{}", ran.stdout);
}

#[test]
fn what_cannot_be_compared_is_said_in_one_line() {
    let base = Replayed::new("good", good);
    let partial = Replayed::new("partial", |n| (n < 100).then(|| good(n)).flatten());
    let ran = compare(&base.folder(), &partial.folder(), &[]);
    assert_eq!(
        (ran.status, ran.error()),
        (
            2,
            "pope coco-144: 44 samples have a score in the base only, 0 in the candidate only; finish the runs, or \
             compare what both have with --common-only"
        )
    );
    let ran = compare(&base.folder(), &partial.folder(), &["--common-only"]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("44 samples left out"), "{}", ran.stdout);
    assert!(ran.stdout.contains("no difference shown"), "{}", ran.stdout);

    let ran = compare(&base.folder(), &base.folder(), &["--tasks", "mme"]);
    assert_eq!(ran.error(), "neither side holds one of the benchmarks named by --tasks");
    let empty = tempfile::tempdir().unwrap();
    let ran = compare(&base.folder(), empty.path(), &[]);
    assert!(
        ran.status == 2 && ran.error().contains("no scorecard.json in"),
        "{}",
        ran.stderr
    );
    let ran = compare(Path::new("nowhere"), &base.folder(), &[]);
    assert!(
        ran.status == 2 && ran.error().contains("cannot read `nowhere`"),
        "{}",
        ran.stderr
    );
    for (option, value) in [("--alpha", "1.5"), ("--margin", "-1"), ("--equivalent-within", "x")] {
        let ran = compare(&base.folder(), &base.folder(), &[option, value]);
        assert_eq!(ran.status, 2, "{}", ran.stderr);
    }
}

#[test]
fn another_wording_is_named_beside_the_verdict() {
    let base = Replayed::new("good", good);
    let other = Replayed::with("good", good, &["--prompt-style", "lmms-eval"]);
    let ran = compare(&base.folder(), &other.folder(), &[]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert!(
        ran.stdout
            .contains("also differs: prompt-style: base `paper`, candidate `lmms-eval`"),
        "{}",
        ran.stdout
    );
}

#[test]
fn hostile_answers_are_shown_and_steer_nothing() {
    let base = Replayed::new("good", good);
    let hostile = "Yes <script>alert(1)</script> ]]> \u{1b}[31m \u{202e}txet & \"quoted\" `code` | bar";
    let evil = Replayed::new(
        "evil",
        move |n| if n.is_multiple_of(2) { Some("No") } else { Some(hostile) },
    );
    for format in ["table", "md", "json", "junit"] {
        let ran = compare(&base.folder(), &evil.folder(), &["--format", format]);
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        assert!(
            !ran.stdout.contains('\u{1b}') && !ran.stdout.contains('\u{202e}'),
            "{format}: {}",
            ran.stdout
        );
        assert!(format != "junit" || !ran.stdout.contains("<script>"), "{}", ran.stdout);
        // In Markdown the line is a code span, which a backtick would end.
        assert!(
            format != "md" || ran.stdout.lines().all(|line| line.matches('`').count() % 2 == 0),
            "{}",
            ran.stdout
        );
    }
}

/// The real LLaVA-1.5-13B answers against a copy in which every ninth answer is turned round.
#[test]
fn real_answers_compare_at_full_size() {
    let Some(data) = reference_data("real_answers_compare_at_full_size") else {
        return;
    };
    let eval = data.join("llava-eval");
    let answers = eval.join("pope/answers/llava-v1.5-13b.jsonl");
    let folder = tempfile::tempdir().unwrap();
    let turned = folder.path().join("turned.jsonl");
    let text = std::fs::read_to_string(&answers).unwrap();
    let turn = |(n, line): (usize, &str)| match n % 9 {
        0 if line.contains("\"text\": \"Yes\"") => line.replace("\"text\": \"Yes\"", "\"text\": \"No\""),
        0 => line.replace("\"text\": \"No\"", "\"text\": \"Yes\""),
        _ => line.to_owned(),
    };
    let lines: Vec<String> = text.lines().enumerate().map(turn).collect();
    std::fs::write(&turned, lines.join("\n")).unwrap();
    let scored = |answers: &Path, name: &str| {
        let out = folder.path().join(name);
        let args = [
            "score",
            "--task",
            "pope",
            "--data",
            &eval.display().to_string(),
            "--answers",
            &answers.display().to_string(),
            "--out",
            &out.display().to_string(),
        ]
        .map(str::to_owned);
        assert_eq!(vila_bench(args).status, 0);
        out
    };
    let (base, candidate) = (scored(&answers, "base"), scored(&turned, "turned"));
    let size = std::fs::metadata(base.join("scorecard.json")).unwrap().len();
    assert!(size < 600_000, "a scorecard of POPE has {size} bytes");
    let ran = compare(&base, &candidate, &["--format", "json", "--fail-on-regression"]);
    assert_eq!(ran.status, 1, "{}", ran.stderr);
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let pope = &document["benchmarks"][0];
    assert_eq!(pope["headline"]["base"].as_f64().unwrap(), 85.946_880_905_391_14);
    assert_eq!(pope["headline"]["verdict"], "regression");
    let flips = |name: &str| pope[name].as_array().unwrap().len();
    assert_eq!(flips("became_wrong") + flips("became_right"), 990);
    let against_itself = compare(&base, &base, &["--equivalent-within", "0.5"]);
    assert!(
        against_itself.stdout.contains("equivalent"),
        "{}",
        against_itself.stdout
    );
}
