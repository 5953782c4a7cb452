//! A judge beside grades that were given before.

use std::collections::{HashMap, HashSet};
use std::fs;

use serde_json::{Value, json};

use super::{Toy, fifths, grade_args, number, ran, shown, total};
use crate::command::reference_data;
use crate::judge_server::{JudgeServer, Said};

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

/// A judge that says what GPT-4 said gives the released files, byte for byte.
#[test]
fn the_released_grades_of_llava_15_13b_come_out_of_the_whole_command() {
    let Some(data) = reference_data("the_released_grades_of_llava_15_13b_come_out_of_the_whole_command") else {
        return;
    };
    let folder = data.join("llava-eval/mm-vet");
    let read = |name: &str| -> Value { serde_json::from_str(&fs::read_to_string(folder.join(name)).unwrap()).unwrap() };
    let (questions, answers) = (read("mm-vet.json"), read("results/llava-v1.5-13b.json"));
    for (runs, total, exact, calls) in [("1", "36.15", 36.1468, 218), ("3", "36.31", 36.3150, 654)] {
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
        assert_eq!((server.asked().len(), messages.len()), (calls, 218));
        assert!(fs::read(out.path().join(&name)).unwrap() == fs::read(folder.join("results").join(&name)).unwrap());

        // The same judge beside both files: it knows the answers already, and differs only from the runs it lacks.
        let args = ["--data", &shown(&folder), "--out", &shown(out.path())];
        let more = ["--judge-model", "gpt-4", "--runs", runs, "--calibrate"];
        let calibrated = self::ran(&grade_args(
            "mm-vet",
            &server.url,
            args.map(str::to_owned).to_vec(),
            &more,
        ));
        assert_eq!(calibrated.status, 0, "{}", calibrated.stderr);
        assert_eq!(server.asked().len(), calls);
        let document = fs::read_to_string(out.path().join("calibration_gpt-4.json")).unwrap();
        let document: Value = serde_json::from_str(&document).unwrap();
        for (row, reference) in [36.1468, 36.3150].into_iter().enumerate() {
            let number = |field: &str| {
                let value = document.pointer(&format!("/comparisons/{row}/{field}")).unwrap();
                value.as_f64().unwrap()
            };
            assert!((number("judge_score") - exact).abs() < 5e-5);
            assert!((number("reference_score") - reference).abs() < 5e-5);
            assert!((number("shift") - (exact - reference)).abs() < 1e-4);
            assert!(number("correlation") > 0.98);
        }
    }
}
