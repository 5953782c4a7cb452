//! Servers that fail, and replies that hold no grade.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{KEY, Toy, fifths, number, ran, shown, total};
use crate::command::vila_bench;
use crate::judge_server::{JudgeServer, Said};

/// What goes wrong, and the reply that it is.
type Fault = (&'static str, fn() -> Said);

/// A fault that passes costs a call and nothing else.
#[test]
fn passing_faults_are_tried_again() {
    let faults: [Fault; 8] = [
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
        assert_eq!(ran.stderr.matches("no reply: ").count(), 1, "{what}: {}", ran.stderr);
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
    let faults: [(Fault, usize, &str); 2] = [
        (
            ("refused", || Said::raw(400, "{\"message\": \"too long\"}")),
            1,
            "status 400: too long",
        ),
        (("always down", || Said::raw(500, "")), 3, "status 500 (tried 3 times)"),
    ];
    for ((what, fault), calls, why) in faults {
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
