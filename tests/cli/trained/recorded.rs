//! `results/mini-suite`, which `make results` writes, is about these checkpoints and this suite, and says what they
//! score.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{DEMO, MODELS, TASKS, folder, metric, results, shown};
use crate::command::vila_bench;

/// How far a headline may lie from the recorded one, in its unit: two answers of the benchmark, or two groups of answers
/// that are scored together. Another processor sums up in another order, and where two words are about equally likely
/// the last digit decides; of the suite's 1,424 questions hardly one is that close.
const TOLERANCES: [(&str, f64); 8] = [
    ("vqav2", 2.0 * 100.0 / 160.0),
    ("gqa", 2.0 * 100.0 / 160.0),
    ("vizwiz", 2.0 * 100.0 / 120.0),
    ("textvqa", 2.0 * 100.0 / 120.0),
    // A question may stand in all three categories, and its answer moves F1 of each, of 144 questions, by at most 1.4.
    ("pope", 2.8),
    // An answer of a subtask's 12 is worth 8.3 points and, with its pair, 16.7 more.
    ("mme", 50.0),
    ("mmbench", 2.0 * 100.0 / 45.0),
    ("mm-vet", 2.0 * 100.0 / 99.0),
];

fn recorded(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("results/mini-suite")
        .join(file)
}

const REMEDY: &str = "is not what the shipped checkpoints score; if a change is meant, run `make results`";

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// The scorecards of a recorded baseline by task.
fn baseline(model: &str) -> BTreeMap<String, Value> {
    let text = fs::read_to_string(recorded(&format!("{model}.jsonl"))).unwrap();
    let scorecard = |line: &str| {
        let scorecard: Value = serde_json::from_str(line).unwrap();
        (scorecard["task"].as_str().unwrap().to_owned(), scorecard)
    };
    text.lines().map(scorecard).collect()
}

#[test]
fn the_recorded_scores_are_of_these_weights_and_questions() {
    for model in MODELS {
        let baseline = baseline(model);
        assert_eq!(baseline.len(), TASKS.len());
        for (task, _) in TASKS {
            let now = json(&folder(&DEMO.out, model, task).join("scorecard.json"));
            for field in [
                "format",
                "split",
                "protocol",
                "model",
                "identity",
                "questions",
                "samples",
                "pictures",
            ] {
                assert_eq!(baseline[task][field], now[field], "{model} {task}: {field} {REMEDY}");
            }
        }
    }
}

#[test]
fn every_headline_lies_within_its_recorded_band() {
    for model in MODELS {
        let baseline = baseline(model);
        for (task, tolerance) in TOLERANCES {
            let headline = &baseline[task]["metrics"][0];
            let (id, was) = (headline["id"].as_str().unwrap(), headline["value"].as_f64().unwrap());
            let is = metric(&folder(&DEMO.out, model, task), id);
            assert!(
                (is - was).abs() <= tolerance,
                "{model} {task}: {id} {was:.2}, now {is:.2}: {REMEDY}"
            );
        }
    }
}

#[test]
fn the_recorded_scores_serve_as_the_base_of_a_comparison() {
    for model in MODELS {
        let (base, now) = (recorded(&format!("{model}.jsonl")), DEMO.out.join(model));
        let ran = vila_bench(["compare", &shown(&base), &shown(&now), "--fail-on-regression"]);
        assert_eq!(ran.status, 0, "{}", ran.stdout);
    }
    let damaged = DEMO.out.join("mini-vila-damaged");
    let base = shown(&recorded("mini-vila.jsonl"));
    let ran = vila_bench([
        "compare",
        &base,
        &shown(&damaged),
        "--tasks",
        "vqav2,gqa,pope",
        "--fail-on-regression",
    ]);
    assert_eq!(ran.status, 1, "{}", ran.stdout);
}

/// The leaderboard of the demo's runs, as `make results` asks for it.
fn leaderboard(format: &str) -> String {
    let runs = MODELS.map(|model| shown(&DEMO.out.join(model)));
    let [one, other] = &runs;
    let ran = vila_bench([
        "leaderboard",
        one,
        other,
        "--against",
        "vila-paper-t5",
        "--format",
        format,
    ]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    ran.stdout
}

#[test]
fn the_recorded_leaderboard_has_the_same_lines() {
    let was: Vec<Value> = serde_json::from_value(json(&recorded("leaderboard.json"))).unwrap();
    let is: Vec<Value> = serde_json::from_str(&leaderboard("json")).unwrap();
    assert_eq!(was.len(), is.len(), "the leaderboard {REMEDY}");
    let tolerances = BTreeMap::from(TOLERANCES);
    for (was, is) in was.iter().zip(&is) {
        let fields = |line: &Value| -> Vec<String> { line.as_object().unwrap().keys().cloned().collect() };
        assert_eq!(fields(was), fields(is), "a field of the leaderboard {REMEDY}");
        for field in ["task", "split", "metric", "model", "source", "printed", "n", "verdict"] {
            assert_eq!(was[field], is[field], "{field} of {was} {REMEDY}");
        }
        let value = |line: &Value| line["value"].as_f64().unwrap();
        let tolerance = tolerances[was["task"].as_str().unwrap()];
        assert!((value(was) - value(is)).abs() <= tolerance, "{was} {REMEDY}");
    }
}

/// Lines of a table without its figures: what stands in its columns benchmark, metric and model.
fn frame(table: &str, separator: char) -> Vec<Vec<String>> {
    let cells = |line: &str| -> Vec<String> {
        let line = line.trim_start_matches(separator);
        line.split(separator)
            .take(3)
            .map(|cell| cell.trim_matches([' ', '-']).to_owned())
            .collect()
    };
    table.lines().map(cells).collect()
}

#[test]
fn the_recorded_tables_have_the_same_rows_and_columns() {
    for (format, separator) in [("csv", ','), ("md", '|')] {
        let was = fs::read_to_string(recorded(&format!("leaderboard.{format}"))).unwrap();
        let is = leaderboard(format);
        assert_eq!(
            frame(&was, separator),
            frame(&is, separator),
            "leaderboard.{format} {REMEDY}"
        );
        let heading = |table: &str| table.lines().next().map(|line| line.replace([' ', '-'], ""));
        assert_eq!(heading(&was), heading(&is), "leaderboard.{format} {REMEDY}");
    }
}

#[test]
fn every_run_is_whole() {
    for model in MODELS {
        for (task, _) in TASKS {
            let results = results(&folder(&DEMO.out, model, task));
            assert_eq!(
                (&results["partial"], &results["failed"]),
                (&false.into(), &0.into()),
                "{model} {task}"
            );
        }
    }
}
