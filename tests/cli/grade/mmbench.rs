//! MMBench answers that no rule reads.

use std::fs;

use serde_json::{Value, json};

use super::{grade_args, ran, shown};
use crate::command::{answer_line, vila_bench};
use crate::judge_server::{JudgeServer, Said};

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
