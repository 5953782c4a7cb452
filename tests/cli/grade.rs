//! `grade` as users run it, against a server of the test's own.

mod faults;
mod mmbench;
mod reference;
mod resume;
mod rule;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::command::{Ran, answer_line, command, vila_bench};
use crate::judge_server::{Asked, JudgeServer, Said};

const KEY: &str = "sk-test-7d1f0a93c2b84e65";

/// Six invented questions of MM-Vet and an answer to each: `said <n>`.
struct Toy {
    root: tempfile::TempDir,
}

impl Toy {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let question = |n: usize| {
            let capability = if n.is_multiple_of(2) {
                vec!["rec"]
            } else {
                vec!["ocr", "math"]
            };
            let record = json!({
                "imagename": format!("v1_{}.png", n / 2), "question": format!("Question {n}?"),
                "answer": format!("right {n}"), "capability": capability, "imagesource": "invented",
            });
            (format!("v1_{n}"), record)
        };
        let questions: serde_json::Map<String, Value> = (0..6).map(question).collect();
        let folder = root.path().join("data/mm-vet");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("mm-vet.json"), Value::Object(questions).to_string()).unwrap();
        let toy = Self { root };
        toy.answer(|n| format!("said {n}"));
        toy
    }

    fn answer(&self, text: impl Fn(usize) -> String) {
        let lines: Vec<String> = (0..6).map(|n| answer_line(&format!("v1_{n}"), &text(n))).collect();
        fs::write(self.answers(), lines.join("\n") + "\n").unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn answers(&self) -> PathBuf {
        self.path("tiny.jsonl")
    }

    fn args(&self, url: &str, more: &[&str]) -> Vec<String> {
        let mut args = vec!["--data".to_owned(), shown(&self.path("data"))];
        if !more.contains(&"--calibrate") {
            args.extend(["--answers".to_owned(), shown(&self.answers())]);
        }
        args.extend(["--out".to_owned(), shown(&self.path("out"))]);
        grade_args("mm-vet", url, args, more)
    }

    fn grade(&self, server: &JudgeServer, more: &[&str]) -> Ran {
        ran(&self.args(&server.url, more))
    }

    fn grades(&self) -> Value {
        let text = fs::read_to_string(self.path("out/tiny_judge-1-grade-1runs.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    fn transcript(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("out/tiny_judge-1.transcript.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// With waits that a test can sit through.
fn grade_args(task: &str, url: &str, args: Vec<String>, more: &[&str]) -> Vec<String> {
    let fixed = ["grade", "--task", task, "--judge", url, "--backoff", "0.01"];
    let mut all: Vec<String> = fixed.map(str::to_owned).to_vec();
    if !more.contains(&"--judge-model") {
        all.extend(["--judge-model".to_owned(), "judge-1".to_owned()]);
    }
    all.extend(args);
    all.extend(more.iter().map(|&arg| arg.to_owned()));
    all
}

/// Without the keys and proxies of whoever runs the tests.
fn ran(args: &[String]) -> Ran {
    let mut command = command();
    for name in ["OPENAI_API_KEY", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        command.env_remove(name);
    }
    command.env("VILA_BENCH_JUDGE_KEY", KEY);
    Ran::of(&command.args(args).output().unwrap())
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// The value of the headline, as the table has it.
fn total(ran: &Ran) -> &str {
    let row = ran.stdout.lines().find_map(|line| line.trim().strip_prefix("total  "));
    row.unwrap_or_default().trim().split("  ").next().unwrap_or_default()
}

/// The answer that a message is about, `said <n>`.
fn number(message: &str) -> usize {
    let fields = message.rsplit_once("\nQuestion ").unwrap().1;
    fields.split_once('?').unwrap().0.parse().unwrap()
}

/// A grade for each answer: 0.0, 0.2, … 1.0.
fn fifths(asked: &Asked) -> Said {
    Said::text(&format!("{:?}", number(&asked.message) as f64 / 5.0))
}

#[test]
fn every_answer_is_asked_once_and_the_grades_score() {
    let toy = Toy::new();
    let server = JudgeServer::start(fifths);
    let ran = toy.grade(&server, &["--price-in", "30", "--price-out", "60"]);
    let steady = ran.shown(&[(toy.root.path(), "ROOT"), (Path::new(&server.url), "URL")]);
    let steady: Vec<&str> = steady.lines().filter(|line| !line.contains("judgements/s")).collect();
    insta::assert_snapshot!(steady.join("\n"));
    let asked = server.asked();
    assert_eq!(asked.len(), 6);
    let first = asked.iter().find(|asked| number(&asked.message) == 3).unwrap();
    assert_eq!(first.path, "/v1/chat/completions");
    assert_eq!(first.authorization, format!("Bearer {KEY}"));
    let fields = ["model", "temperature", "max_tokens"].map(|name| first.body.get(name).unwrap().to_string());
    assert_eq!(fields, ["\"judge-1\"", "0.0", "3"]);
    assert!(
        first.message.ends_with("\nQuestion 3? | right 3 | said 3 | "),
        "{}",
        first.message
    );
    assert_eq!(
        toy.grades().get("v1_3").unwrap(),
        &json!({"model": ["judge-1"], "content": ["0.6"], "score": [0.6]})
    );
    let again = toy.grade(&server, &[]);
    assert_eq!((again.status, &again.stdout), (0, &ran.stdout));
    assert!(again.stderr.contains("6 of 6 already graded"), "{}", again.stderr);
    assert_eq!(server.asked().len(), 6);
}

#[test]
fn a_dry_run_asks_and_writes_nothing() {
    let toy = Toy::new();
    let ran = ran(&toy.args("https://judge.example/v1", &["--dry-run", "--runs", "2"]));
    insta::assert_snapshot!(ran.shown(&[(toy.root.path(), "ROOT")]));
    assert!(!toy.path("out").exists());
}

#[test]
fn wrong_usage_is_said_in_one_line() {
    let toy = Toy::new();
    let data = shown(&toy.path("data"));
    let cases: [(&str, &str, &[&str], &str); 6] = [
        (
            "pope",
            "http://x",
            &["--answers", "x"],
            "`pope` is scored without a judge",
        ),
        (
            "mmbench",
            "http://x",
            &["--answers", "x", "--runs", "2"],
            "--runs: an MMBench answer is matched once",
        ),
        (
            "mmbench",
            "http://x",
            &["--calibrate"],
            "--calibrate: there are no reference matches",
        ),
        (
            "mm-vet",
            "localhost:8000",
            &["--answers", "x"],
            "--judge: give an http or https address",
        ),
        (
            "mm-vet",
            "http://me:hidden@x",
            &["--answers", "x"],
            "--judge: an address may not hold a name or password",
        ),
        (
            "mm-vet",
            "http://x",
            &["--calibrate"],
            "reference grades (`<model>_<grader>-grade-<n>runs.json`) not found",
        ),
    ];
    for (task, url, more, part) in cases {
        let ran = ran(&grade_args(task, url, vec!["--data".to_owned(), data.clone()], more));
        assert_eq!((ran.status, ran.stdout.as_str()), (2, ""), "{part}");
        assert!(ran.error().starts_with(part), "{}", ran.stderr);
        assert!(!ran.stderr.contains("hidden"), "{}", ran.stderr);
    }
}

#[test]
fn grades_of_somebody_else_are_not_overwritten() {
    let toy = Toy::new();
    fs::create_dir(toy.path("out")).unwrap();
    let theirs = toy.path("out/tiny_judge-1-grade-1runs.json");
    fs::write(&theirs, "theirs").unwrap();
    let server = JudgeServer::start(fifths);
    let ran = toy.grade(&server, &[]);
    assert_eq!((ran.status, server.asked().len()), (2, 0));
    assert!(
        ran.error().ends_with("would be overwritten; give another --out"),
        "{}",
        ran.stderr
    );
    assert_eq!(fs::read_to_string(&theirs).unwrap(), "theirs");
}

#[test]
fn a_run_is_graded_in_its_folder() {
    let toy = Toy::new();
    let (data, runs) = (shown(&toy.path("data")), shown(&toy.path("runs")));
    let answers = shown(&toy.answers());
    let run = || {
        vila_bench([
            "run", "--model", &answers, "--tasks", "mm-vet", "--data", &data, "--out", &runs,
        ])
    };
    let first = run();
    let folder = toy.path("runs/tiny/mm-vet@all");
    let next = format!("vila-bench grade --task mm-vet --run {} --judge URL", folder.display());
    assert!(first.stderr.contains(&next), "{}", first.stderr);
    assert!(!folder.join("results.json").exists());
    let server = JudgeServer::start(fifths);
    let args = grade_args("mm-vet", &server.url, vec!["--run".to_owned(), shown(&folder)], &[]);
    let graded = ran(&args);
    assert_eq!(graded.status, 0, "{}", graded.stderr);
    assert!(graded.stdout.contains("judged by judge-1"), "{}", graded.stdout);
    let results =
        || -> Value { serde_json::from_str(&fs::read_to_string(folder.join("results.json")).unwrap()).unwrap() };
    assert_eq!(results().get("model"), Some(&json!("tiny")));
    assert!(results().pointer("/metrics/total/value").unwrap().is_f64());
    assert!(folder.join("tiny_judge-1-grade-1runs.json").is_file());
    let board = vila_bench(["leaderboard", &runs]);
    assert!(
        board.stdout.contains("judged by judge-1") && board.stdout.contains("not comparable"),
        "{}",
        board.stdout
    );
    // Asking nothing more leaves the score as it is; data that are not those that were asked are refused.
    run();
    assert!(folder.join("results.json").exists());
    let questions = toy.path("data/mm-vet/mm-vet.json");
    let text = fs::read_to_string(&questions).unwrap().replace("right 3", "wrong 3");
    fs::write(&questions, text).unwrap();
    let refused = ran(&args);
    assert_eq!(refused.status, 2);
    assert!(
        refused.error().contains("is not the file that was asked in"),
        "{}",
        refused.stderr
    );
}
