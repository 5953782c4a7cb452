//! Calls in flight, and going on after a stop.

use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::{KEY, Toy, fifths, total};
use crate::command::command;
use crate::judge_server::JudgeServer;

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
