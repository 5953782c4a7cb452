//! `demo`: what it shows, and that a second one asks nothing.

use std::fs;

use super::{DEMO, MODELS, TASKS, folder, shown};
use crate::command::vila_bench;

#[test]
fn the_demo_shows_a_leaderboard_a_regression_and_a_report() {
    let (out, ran) = (&DEMO.out, &DEMO.ran);
    for (task, _) in TASKS {
        let lines: Vec<&str> = ran
            .stdout
            .lines()
            .filter(|line| line.starts_with(&format!(" {task} ")))
            .collect();
        for model in MODELS {
            let own = lines.iter().filter(|line| line.contains(&format!(" {model} ")));
            assert_eq!(own.count(), 1, "{task} of {model}: {}", ran.stdout);
        }
        for published in ["LLaVA-1.5-7B", "VILA-7B"] {
            let line = lines.iter().find(|line| line.contains(&format!(" {published} ")));
            let marked = line
                .unwrap()
                .ends_with("not comparable: different data: the mini suite");
            assert!(marked, "{task} of {published}: {line:?}");
        }
    }
    assert!(ran.stdout.contains("graded by rule") && ran.stdout.contains("not by GPT-4"));
    assert!(
        ran.stdout.contains("mini-vila-damaged against mini-vila: paired"),
        "{}",
        ran.stdout
    );
    assert!(ran.stderr.contains("a regression: on a CI server"), "{}", ran.stderr);
    assert!(ran.stderr.contains("vqav2: 160 of 160 answered"), "{}", ran.stderr);
    assert!(ran.stderr.contains("vqav2: accuracy "), "{}", ran.stderr);
    assert!(
        !ran.stdout.contains("protocol paper"),
        "no table of a single run: {}",
        ran.stdout
    );
    let page = out.join("report/index.html");
    assert!(ran.stdout.ends_with(&format!("{}\n", page.display())), "{}", ran.stdout);
    let page = fs::read_to_string(page).unwrap();
    assert!(MODELS.iter().all(|model| page.contains(model)) && page.contains("mini-vila-damaged"));
}

#[test]
fn a_second_demo_asks_nothing_and_shows_the_same() {
    let journals = || -> Vec<Vec<u8>> {
        let runs = MODELS
            .iter()
            .flat_map(|model| TASKS.map(|(task, _)| folder(&DEMO.out, model, task)));
        let files = runs.flat_map(|run| ["predictions.jsonl", "manifest.json"].map(|file| run.join(file)));
        files.map(|file| fs::read(file).unwrap()).collect()
    };
    let before = journals();
    let again = vila_bench(["demo", "--out", &shown(&DEMO.out)]);
    assert_eq!(again.status, 0, "{}", again.stderr);
    assert_eq!(again.stdout, DEMO.ran.stdout);
    assert_eq!(
        again.stderr.matches(" already answered in ").count(),
        8 + 8 + 3,
        "{}",
        again.stderr
    );
    for asked in ["questions/s", "model loaded"] {
        assert!(!again.stderr.contains(asked), "{}", again.stderr);
    }
    assert!(journals() == before, "journals and manifests stay as they were");
}

#[test]
fn a_demo_whose_folder_is_a_file_says_so() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let ran = vila_bench(["demo", "--out", &shown(file.path())]);
    assert_eq!(ran.status, 2, "{}", ran.stderr);
    assert!(ran.error().contains("is a file; give another --out"), "{}", ran.stderr);
}
