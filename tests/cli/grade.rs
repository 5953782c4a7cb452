//! `grade` as users run it, against a server of the test's own.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::command::{Ran, answer_line, command, reference_data, vila_bench};
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
            let capability = if n % 2 == 0 { vec!["rec"] } else { vec!["ocr", "math"] };
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

/// A fault that passes costs a call and nothing else.
#[test]
fn passing_faults_are_tried_again() {
    let faults: [(&str, fn() -> Said); 8] = [
        ("a broken server", || {
            Said::raw(500, "{\"error\": {\"message\": \"boom\"}}")
        }),
        ("an overloaded one", || Said::raw(503, "")),
        ("a conflict", || Said::raw(409, "x")),
        ("its own time limit", || Said::raw(408, "")),
        ("no JSON", || Said::raw(200, "<html>It works!</html>")),
        ("no choices", || Said::raw(200, "{\"choices\": []}")),
        ("a body that ends too soon", || Said {
            cut: true,
            ..Said::text("0.5")
        }),
        ("a reply that comes too late", || {
            Said::text("0.1").after(Duration::from_millis(1500))
        }),
    ];
    for (what, fault) in faults {
        let toy = Toy::new();
        let server = JudgeServer::start(move |asked| if asked.n < 2 { fault() } else { fifths(asked) });
        let ran = toy.grade(&server, &["--timeout", "0.7", "--concurrency", "1"]);
        assert_eq!(ran.status, 0, "{what}: {}", ran.stderr);
        assert!((total(&ran) == "50.00"), "{what}: {}", ran.stdout);
        assert_eq!(server.asked().len(), 8, "{what}");
        assert_eq!(toy.transcript().len(), 6, "{what}");
    }
}

#[test]
fn a_server_that_asks_to_wait_is_waited_for() {
    let toy = Toy::new();
    let server = JudgeServer::start(|asked| {
        let slow_down = Said {
            headers: vec![("retry-after", "1".to_owned())],
            ..Said::raw(429, "{\"error\": {\"message\": \"slow down\"}}")
        };
        if asked.n == 0 { slow_down } else { fifths(asked) }
    });
    let start = Instant::now();
    let ran = toy.grade(&server, &["--concurrency", "1"]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.asked().len(), 7);
}

/// What every other call would meet too ends the command at once.
#[test]
fn faults_of_the_user_stop_at_once() {
    let cases = [
        (
            401,
            "refuses the key or its use of `judge-1` (status 401); set VILA_BENCH_JUDGE_KEY",
        ),
        (403, "(status 403); set VILA_BENCH_JUDGE_KEY"),
        (
            404,
            "has no model `judge-1`, or no chat completions there (status 404): no such model; check --judge",
        ),
        (307, "takes no chat completions (status 307); check --judge"),
    ];
    for (status, part) in cases {
        let toy = Toy::new();
        let body = if status == 404 {
            "{\"error\": {\"message\": \"no such\\nmodel\"}}"
        } else {
            KEY
        };
        let server = JudgeServer::start(move |_| Said::raw(status, body));
        let ran = toy.grade(&server, &["--concurrency", "1"]);
        assert_eq!((ran.status, ran.stdout.as_str()), (2, ""), "{status}");
        assert!(ran.error().contains(part), "{}", ran.error());
        assert_eq!(server.asked().len(), 1, "{status}");
        assert!(!toy.path("out/tiny_judge-1-grade-1runs.json").exists());
    }
}

#[test]
fn what_gets_no_grade_stays_ungraded_and_is_asked_again() {
    let faults: [(&str, fn() -> Said, usize, &str); 2] = [
        (
            "refused",
            || Said::raw(400, "{\"message\": \"too long\"}"),
            1,
            "status 400: too long",
        ),
        ("always down", || Said::raw(500, ""), 3, "status 500 (tried 3 times)"),
    ];
    for (what, fault, calls, why) in faults {
        let toy = Toy::new();
        let broken = JudgeServer::start(move |asked| {
            if number(&asked.message) == 1 {
                fault()
            } else {
                fifths(asked)
            }
        });
        let ran = toy.grade(&broken, &["--retries", "2"]);
        assert_eq!(ran.status, 3, "{what}: {}", ran.stderr);
        assert!(
            ran.stderr.contains(&format!("ungraded: v1_1: {why}")),
            "{what}: {}",
            ran.stderr
        );
        assert_eq!(broken.asked().len(), 5 + calls, "{what}");
        assert!(toy.grades().get("v1_1").is_none());
        // 2.8 of 6, and with the missing one 3.8.
        assert_eq!(total(&ran), "46.67 to 63.33");
        assert!(ran.stdout.contains("1 answers ungraded"), "{}", ran.stdout);
        let mended = JudgeServer::start(fifths);
        let ran = toy.grade(&mended, &[]);
        assert_eq!((ran.status, mended.asked().len()), (0, 1), "{}", ran.stderr);
        assert_eq!(total(&ran), "50.00");
    }
}

#[test]
fn replies_without_a_score_are_asked_about_as_the_protocol_says() {
    let toy = Toy::new();
    let server = JudgeServer::start(|asked| match number(&asked.message) {
        1 => Said::text("I cannot say"),
        2 if asked.body.get("temperature") == Some(&json!(0.0)) => Said::text("1.5"),
        _ => fifths(asked),
    });
    let ran = toy.grade(&server, &[]);
    assert_eq!(ran.status, 3, "{}", ran.stderr);
    let asked = server.asked();
    let temperatures = |n: usize| -> Vec<f64> {
        let about = asked.iter().filter(|asked| number(&asked.message) == n);
        about
            .map(|asked| asked.body.get("temperature").unwrap().as_f64().unwrap())
            .collect()
    };
    assert_eq!(temperatures(1), [0.0, 0.0, 0.5, 1.0, 1.5, 2.0]);
    assert_eq!(temperatures(2), [0.0, 0.0, 0.5]);
    // The organisers store 0.0 and the last reply; `paper` leaves it ungraded, `official` counts it.
    assert_eq!(
        toy.grades().get("v1_1").unwrap(),
        &json!({"model": ["judge-1"], "content": ["I cannot say"], "score": [0.0]})
    );
    assert_eq!(total(&ran), "46.67 to 63.33");
    let score = |protocol: &str| {
        let (data, answers) = (shown(&toy.path("data")), shown(&toy.answers()));
        let grades = shown(&toy.path("out/tiny_judge-1-grade-1runs.json"));
        let ran = vila_bench([
            "score",
            "--task",
            "mm-vet",
            "--data",
            &data,
            "--answers",
            &answers,
            "--grades",
            &grades,
            "--format",
            "json",
            "--protocol",
            protocol,
        ]);
        (ran.status, serde_json::from_str::<Value>(&ran.stdout).unwrap())
    };
    let (status, paper) = score("paper");
    assert_eq!(
        (status, paper.get("ungraded"), paper.get("unparsed")),
        (3, Some(&json!(1)), Some(&json!(0)))
    );
    let total = paper.pointer("/metrics/total").unwrap();
    assert_eq!(total.get("value"), Some(&Value::Null));
    assert_eq!(
        total.get("reason"),
        Some(&json!("1 of 6 answers ungraded: between all of them 0 and all 1"))
    );
    let bounds: Vec<f64> = serde_json::from_value(total.get("bounds").unwrap().clone()).unwrap();
    assert!(
        (bounds[0] - 280.0 / 6.0).abs() < 1e-9 && (bounds[1] - 380.0 / 6.0).abs() < 1e-9,
        "{bounds:?}"
    );
    assert_eq!(paper.pointer("/judge/name"), Some(&json!("judge-1")));
    let (status, official) = score("official");
    assert_eq!((status, official.get("unparsed")), (0, Some(&json!(1))));
    let total = official.pointer("/metrics/total/value").unwrap().as_f64().unwrap();
    assert!((total - 280.0 / 6.0).abs() < 1e-9, "{total}");
    // A judgement that is used up is made: nothing is asked again.
    toy.grade(&server, &[]);
    assert_eq!(server.asked().len(), asked.len());
}

#[test]
fn a_server_that_is_not_there_is_given_up() {
    let toy = Toy::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let ran = ran(&toy.args(&format!("http://{port}"), &["--retries", "1", "--runs", "3"]));
    assert_eq!(ran.status, 3, "{}", ran.stderr);
    for part in [
        "Connection refused",
        "stopped: 8 judgements failed in a row",
        "no answer graded",
    ] {
        assert!(ran.stderr.contains(part), "{}", ran.stderr);
    }
    assert!(!toy.path("out/tiny_judge-1-grade-3runs.json").exists());
}

#[test]
fn the_key_is_in_no_file_and_no_message() {
    let toy = Toy::new();
    let server = JudgeServer::start(|asked| {
        let header = asked.authorization.clone();
        let escaped: String = header.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
        match number(&asked.message) {
            0 => Said::text(&format!("0.5 {header}")),
            1 => Said::raw(
                400,
                &json!({"error": {"message": format!("you sent {header}")}}).to_string(),
            ),
            2 => Said::raw(500, &format!("you sent {header}")),
            3 => Said::raw(400, &format!("{{\"error\": {{\"message\": \"{escaped}\"}}}}")),
            4 => Said::raw(
                200,
                &format!(
                    "{{\"model\": \"{escaped}\", \"choices\": [{{\"message\": {{\"content\": \"{escaped}\"}}}}]}}"
                ),
            ),
            _ => Said::raw(200, &header),
        }
    });
    let ran = toy.grade(&server, &["--retries", "1"]);
    assert!(server.asked().iter().all(|asked| asked.authorization.contains(KEY)));
    assert!(ran.stderr.contains("you sent Bearer [key]"), "{}", ran.stderr);
    let mut texts = vec![ran.stdout, ran.stderr];
    for entry in fs::read_dir(toy.path("out")).unwrap() {
        texts.push(fs::read_to_string(entry.unwrap().path()).unwrap());
    }
    assert_eq!(texts.len(), 4);
    for text in texts {
        assert!(!text.contains(KEY) && !text.contains("7d1f0a93"), "{text}");
    }
}

#[test]
fn no_more_calls_are_in_flight_than_asked_for() {
    let toy = Toy::new();
    let server = JudgeServer::start(|asked| fifths(asked).after(Duration::from_millis(60)));
    let ran = toy.grade(&server, &["--runs", "5", "--concurrency", "3"]);
    assert_eq!((ran.status, server.asked().len()), (0, 30), "{}", ran.stderr);
    assert_eq!(server.most_in_flight(), 3);
}

/// Starts grading and waits until some replies are on disk.
fn begun(toy: &Toy, server: &JudgeServer, replies: usize) -> Child {
    let mut child = command();
    let child = child.args(toy.args(&server.url, &["--runs", "4", "--concurrency", "2"]));
    let child = child
        .env("VILA_BENCH_JUDGE_KEY", KEY)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let child = child.spawn().unwrap();
    let path = toy.path("out/tiny_judge-1.transcript.jsonl");
    let start = Instant::now();
    while fs::read_to_string(&path).map_or(0, |text| text.lines().count()) < replies {
        assert!(start.elapsed() < Duration::from_secs(20), "no replies on disk");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

#[test]
fn after_a_kill_nothing_that_was_answered_is_asked_again() {
    let toy = Toy::new();
    let slow = JudgeServer::start(|asked| fifths(asked).after(Duration::from_millis(40)));
    let mut child = begun(&toy, &slow, 7);
    child.kill().unwrap();
    child.wait().unwrap();
    let kept = toy.transcript().len();
    assert!((7..24).contains(&kept), "{kept}");
    let server = JudgeServer::start(fifths);
    let ran = toy.grade(&server, &["--runs", "4"]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert_eq!(server.asked().len(), 24 - kept);
    assert_eq!(total(&ran), "50.00");
}

#[cfg(unix)]
#[test]
fn an_interrupt_keeps_what_is_there() {
    let toy = Toy::new();
    let slow = JudgeServer::start(|asked| fifths(asked).after(Duration::from_millis(40)));
    let mut child = begun(&toy, &slow, 5);
    std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    let kept = toy.transcript().len();
    assert_eq!(slow.asked().len(), kept, "what was in flight is kept");
    assert!(toy.path("out/tiny_judge-1-grade-4runs.json").exists());
    let server = JudgeServer::start(fifths);
    assert_eq!(toy.grade(&server, &["--runs", "4"]).status, 0);
    assert_eq!(server.asked().len(), 24 - kept);
}

#[test]
fn another_answer_another_judge_and_another_run_are_asked() {
    let toy = Toy::new();
    let server = JudgeServer::start(fifths);
    toy.grade(&server, &[]);
    toy.answer(|n| {
        if n == 4 {
            "something else".to_owned()
        } else {
            format!("said {n}")
        }
    });
    toy.grade(&server, &[]);
    assert_eq!(server.asked().len(), 7);
    assert!(server.asked()[6].message.ends_with("| something else | "));
    toy.grade(&server, &["--runs", "3"]);
    assert_eq!(server.asked().len(), 7 + 12);
    toy.grade(&server, &["--judge-model", "judge/2"]);
    assert_eq!(server.asked().len(), 19 + 6);
    assert!(toy.path("out/tiny_judge-2-grade-1runs.json").exists());
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

#[test]
fn a_judge_is_measured_against_reference_grades() {
    let toy = Toy::new();
    let results = toy.path("data/mm-vet/results");
    fs::create_dir(&results).unwrap();
    let answers: serde_json::Map<String, Value> = (0..6)
        .map(|n| (format!("v1_{n}"), json!(format!("said {n}"))))
        .collect();
    fs::write(results.join("m.json"), Value::Object(answers).to_string()).unwrap();
    // Half a point above what the judge will say, but for the last two.
    let entry = |n: usize| {
        let score = if n < 4 { n as f64 / 5.0 + 0.1 } else { n as f64 / 5.0 };
        let text = format!("{score:.1}");
        (
            format!("v1_{n}"),
            json!({"model": ["gpt-4"], "content": [text], "score": [text.parse::<f64>().unwrap()]}),
        )
    };
    let grades: serde_json::Map<String, Value> = (0..6).map(entry).collect();
    fs::write(
        results.join("m_gpt-4-grade-1runs.json"),
        Value::Object(grades).to_string(),
    )
    .unwrap();
    let server = JudgeServer::start(|asked| {
        if number(&asked.message) == 5 {
            Said::raw(400, "no")
        } else {
            fifths(asked)
        }
    });
    let ran = toy.grade(&server, &["--calibrate"]);
    assert_eq!(ran.status, 3, "{}", ran.stderr);
    insta::assert_snapshot!(ran.stdout);
    let document: Value =
        serde_json::from_str(&fs::read_to_string(toy.path("out/calibration_judge-1.json")).unwrap()).unwrap();
    let row = document.pointer("/comparisons/0").unwrap();
    // Differences of 10 points in four of five answers; pictures 0 and 1 differ by as much, picture 2 not at all.
    assert!(
        (row.get("shift").unwrap().as_f64().unwrap() + 8.0).abs() < 1e-9,
        "{row}"
    );
    assert_eq!((row.get("n"), row.get("ungraded")), (Some(&json!(5)), Some(&json!(1))));
    assert_eq!(row.get("reference_judge"), Some(&json!("gpt-4")));
    assert!(
        (row.get("equal").unwrap().as_f64().unwrap() - 20.0).abs() < 1e-9,
        "{row}"
    );
}

#[test]
fn mmbench_sends_only_what_no_rule_reads() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("mmbench");
    fs::create_dir(&folder).unwrap();
    let header = "index\tquestion\thint\tA\tB\tC\tD\tanswer\tcategory\timage\tsource\tl2-category\tcomment\tsplit\n";
    let rows: String = [
        ("7", "mug\tcat", "B"),
        ("1000007", "cat\tmug", "A"),
        ("8", "one\ttwo", "A"),
        ("9", "up\tdown", "A"),
    ]
    .map(|(index, options, answer)| {
        let picture = "aGVsbG8g".repeat(20);
        format!("{index}\tWhat?\t\t{options}\t\t\t{answer}\tc\t{picture}\tx\tL2\t\tdev\n")
    })
    .concat();
    fs::write(folder.join("mmbench_dev_20230712.tsv"), format!("{header}{rows}")).unwrap();
    let answers = root.path().join("tiny.jsonl");
    let said = [
        ("7", "a tabby animal"),
        ("1000007", "A"),
        ("8", "uncountable"),
        ("9", "sideways"),
    ];
    let lines: Vec<String> = said.iter().map(|(id, answer)| answer_line(id, answer)).collect();
    fs::write(&answers, lines.join("\n") + "\n").unwrap();
    let server = JudgeServer::start(|asked| {
        let about = |answer: &str| asked.message.contains(&format!("\nAnswer: {answer}\nLetter:"));
        Said::text(match () {
            () if about("a tabby animal") => "B",
            () if about("uncountable") => "Z",
            () => "either of the two",
        })
    });
    let (data, file, out) = (shown(root.path()), shown(&answers), shown(&root.path().join("out")));
    let args = ["--data", &data, "--answers", &file, "--out", &out]
        .map(str::to_owned)
        .to_vec();
    let ran = ran(&grade_args("mmbench", &server.url, args, &[]));
    assert_eq!(ran.status, 3, "{}", ran.stderr);
    let asked = server.asked();
    assert_eq!(asked.len(), 1 + 1 + 3);
    assert!(!asked.iter().any(|asked| asked.message.contains("Answer: A\n")));
    let grades = shown(&root.path().join("out/tiny_judge-1-matches.json"));
    let document: Value = serde_json::from_str(&fs::read_to_string(&grades).unwrap()).unwrap();
    let letters: Vec<&Value> = document
        .get("matches")
        .unwrap()
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["letter"])
        .collect();
    assert_eq!(letters, [&json!("B"), &json!("Z"), &Value::Null]);
    let score = |protocol: &str, more: &[&str]| {
        let args = [
            "score",
            "--task",
            "mmbench",
            "--data",
            &data,
            "--answers",
            &file,
            "--format",
            "json",
            "--protocol",
            protocol,
        ];
        let ran = vila_bench(args.iter().chain(more));
        (ran.status, serde_json::from_str::<Value>(&ran.stdout).unwrap())
    };
    // Question 7 is right with the judge; 8 has no option, 9 stays open.
    let accuracy = |document: &Value| document.pointer("/metrics/accuracy/value").unwrap().as_f64();
    let (status, paper) = score("paper", &["--grades", &grades]);
    assert_eq!((status, paper.get("unparsed")), (0, Some(&json!(2))));
    assert!((accuracy(&paper).unwrap() - 100.0 / 3.0).abs() < 1e-9);
    assert!(
        paper
            .pointer("/judge/remark")
            .unwrap()
            .as_str()
            .unwrap()
            .contains("wording is ours")
    );
    let (status, official) = score("official", &["--grades", &grades]);
    assert_eq!(
        (status, accuracy(&official), official.get("ungraded")),
        (3, None, Some(&json!(1)))
    );
    let bounds: Vec<f64> =
        serde_json::from_value(official.pointer("/metrics/accuracy/bounds").unwrap().clone()).unwrap();
    assert!(
        (bounds[0] - 100.0 / 3.0).abs() < 1e-9 && (bounds[1] - 200.0 / 3.0).abs() < 1e-9,
        "{bounds:?}"
    );
    let (_, alone) = score("paper", &[]);
    assert_eq!((accuracy(&alone), alone.get("unparsed")), (Some(0.0), Some(&json!(3))));
}

/// A judge that says what GPT-4 said gives the released files, byte for byte.
#[test]
fn the_released_grades_of_llava_15_13b_come_out_of_the_whole_command() {
    let Some(data) = reference_data("the_released_grades_of_llava_15_13b_come_out_of_the_whole_command") else {
        return;
    };
    let folder = data.join("llava-eval/mm-vet");
    let read = |name: &str| -> Value { serde_json::from_str(&fs::read_to_string(folder.join(name)).unwrap()).unwrap() };
    let (questions, answers) = (read("mm-vet.json"), read("results/llava-v1.5-13b.json"));
    for (runs, total, bytes) in [("1", "36.15", 218), ("3", "36.31", 654)] {
        let name = format!("llava-v1.5-13b_gpt-4-grade-{runs}runs.json");
        let grades = read(&format!("results/{name}"));
        let mut replies: HashMap<String, Vec<String>> = HashMap::new();
        for (id, question) in questions.as_object().unwrap() {
            let text = |field: &str| question.get(field).unwrap().as_str().unwrap();
            let reference = text("answer").replace("<AND>", " <AND> ").replace("<OR>", " <OR> ");
            let answer = answers.get(id).unwrap().as_str().unwrap();
            let contents = grades.get(id).unwrap().get("content").unwrap();
            let fields = format!("\n{} | {reference} | {answer} | ", text("question"));
            replies.insert(fields, serde_json::from_value(contents.clone()).unwrap());
        }
        let server = JudgeServer::start(move |asked| {
            let known = replies
                .iter()
                .find(|(fields, _)| asked.message.ends_with(fields.as_str()));
            Said::text(&known.unwrap().1[asked.nth])
        });
        let out = tempfile::tempdir().unwrap();
        let args = [
            "--data",
            &shown(&folder),
            "--answers",
            &shown(&folder.join("answers/llava-v1.5-13b.jsonl")),
            "--out",
            &shown(out.path()),
        ];
        let more = ["--judge-model", "gpt-4", "--runs", runs, "--concurrency", "1"];
        let ran = ran(&grade_args(
            "mm-vet",
            &server.url,
            args.map(str::to_owned).to_vec(),
            &more,
        ));
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        assert_eq!(self::total(&ran), total);
        assert!(!ran.stdout.contains("not comparable"), "{}", ran.stdout);
        let messages: HashSet<String> = server.asked().into_iter().map(|asked| asked.message).collect();
        assert_eq!((server.asked().len(), messages.len()), (bytes, 218));
        assert!(fs::read(out.path().join(&name)).unwrap() == fs::read(folder.join("results").join(&name)).unwrap());
    }
}
