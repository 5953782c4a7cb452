//! The same answers through every format find the same samples and give the same score.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{PredictionFile, PredictionOutcome};
use crate::benchmark::Dataset;
use crate::matching::match_predictions;
use crate::mme::Subtask;
use crate::reference_data;
use crate::registry::benchmark;
use crate::source::DataSource;
use crate::task::{PromptStyle, Protocol, Task};
use crate::vqa_text::Normaliser;

fn load(task: Task, root: &Path, split: Option<&str>) -> Box<dyn Dataset> {
    let source = DataSource {
        root: root.to_owned(),
        images: None,
        split: split.map(str::to_owned),
        grades: None,
    };
    benchmark(task).unwrap().load(&source).unwrap()
}

fn toy(task: Task, split: Option<&str>, files: &[(&str, String)]) -> Box<dyn Dataset> {
    let root = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(root.path().join(name), content).unwrap();
    }
    load(task, root.path(), split)
}

fn lines(records: impl Iterator<Item = Value>) -> Vec<u8> {
    records
        .map(|record| format!("{record}\n"))
        .collect::<String>()
        .into_bytes()
}

fn matched(data: &dyn Dataset, path: &Path) -> Result<Vec<Option<String>>, String> {
    let file = PredictionFile::read(path).map_err(|error| error.to_string())?;
    let outcomes = match_predictions(data, &file).map_err(|error| error.to_string())?;
    let text = |outcome| match outcome {
        PredictionOutcome::Answer(answer) => answer,
        PredictionOutcome::Failed(reason) => panic!("{reason}"),
    };
    Ok(outcomes.into_iter().map(|outcome| outcome.map(text)).collect())
}

fn matched_bytes(data: &dyn Dataset, content: &[u8]) -> Result<Vec<Option<String>>, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("answers");
    fs::write(&path, content).unwrap();
    matched(data, &path)
}

/// The reference answer where it is a plain one, every third one another.
fn answers(data: &dyn Dataset) -> Vec<String> {
    let samples = data.samples().iter().enumerate();
    let answer = samples.map(|(n, sample)| match n % 3 {
        2 => "no".to_owned(),
        _ => sample.reference.clone().unwrap_or_default(),
    });
    answer.collect()
}

/// Ours, and both forms of lmms-eval's.
fn common(data: &dyn Dataset, answers: &[String]) -> Vec<(&'static str, Vec<u8>)> {
    let all = || data.samples().iter().zip(answers).enumerate();
    let ours = all().map(|(_, (sample, answer))| json!({"id": sample.id, "answer": answer}));
    let newer = all().map(|(n, (_, answer))| {
        let input = data.prompt(n, PromptStyle::LmmsEval);
        json!({"doc_id": n, "input": input, "target": "x", "filtered_resps": [answer], "doc_hash": "x"})
    });
    let older = all().rev().map(|(n, (_, answer))| {
        let arguments = json!([data.prompt(n, PromptStyle::LmmsEval), {"max_new_tokens": 16}]);
        json!({"doc_id": n, "doc": {"question_id": "x"}, "arguments": arguments, "resps": [[answer]],
               "filtered_resps": [answer]})
    });
    vec![
        ("vila-bench", lines(ours)),
        ("lmms-eval", lines(newer)),
        ("older lmms-eval", lines(older)),
    ]
}

/// Holds every file against the answers and the first one's score.
fn check(data: &dyn Dataset, answers: &[String], files: Vec<(&'static str, Vec<u8>)>, protocol: Protocol) {
    let expected: Vec<Option<String>> = answers.iter().cloned().map(Some).collect();
    let score = data.score(&expected, protocol).unwrap();
    assert_eq!(score.answered, answers.len());
    for (name, content) in files {
        let read = matched_bytes(data, &content).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(read, expected, "{name}");
        assert_eq!(data.score(&read, protocol).unwrap(), score, "{name}");
    }
}

fn table(columns: &[&str], rows: &[Vec<String>]) -> [(&'static str, Vec<u8>); 2] {
    let mut writer = csv::WriterBuilder::new().delimiter(b'\t').from_writer(Vec::new());
    let mut book = rust_xlsxwriter::Workbook::new();
    let sheet = book.add_worksheet();
    let header: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
    for (line, cells) in (0..).zip(std::iter::once(&header).chain(rows)) {
        writer.write_record(cells).unwrap();
        for (column, cell) in (0..).zip(cells) {
            sheet.write(line, column, cell).unwrap();
        }
    }
    [
        ("tsv", writer.into_inner().unwrap()),
        ("xlsx", book.save_to_buffer().unwrap()),
    ]
}

fn array(records: impl Iterator<Item = Value>) -> Vec<u8> {
    records.collect::<Value>().to_string().into_bytes()
}

fn ten(answer: &str) -> Vec<Value> {
    (1..=10)
        .map(|n| json!({"answer": answer, "answer_confidence": "yes", "answer_id": n}))
        .collect()
}

#[test]
fn vqav2() {
    let ids = [9001, 9002, 9003];
    let questions = ids.map(|id| json!({"image_id": 7, "question": format!("Q{id}?"), "question_id": id}));
    let annotations = ids.map(|id| {
        json!({"question_type": "what", "multiple_choice_answer": "mug", "answers": ten("mug"), "image_id": 7,
               "answer_type": "other", "question_id": id})
    });
    let files = [
        (
            "v2_OpenEnded_mscoco_val2014_questions.json",
            json!({"data_subtype": "val2014", "questions": questions}).to_string(),
        ),
        (
            "v2_mscoco_val2014_annotations.json",
            json!({"annotations": annotations}).to_string(),
        ),
    ];
    let data = toy(Task::Vqav2, Some("val"), &files);
    let answers = answers(&*data);
    let records = ids.iter().zip(&answers);
    let upload = array(
        records
            .clone()
            .map(|(id, answer)| json!({"question_id": id, "answer": answer})),
    );
    let llava = lines(records.map(|(id, answer)| json!({"question_id": id, "text": answer})));
    let mut files = common(&*data, &answers);
    files.extend([("EvalAI", upload), ("LLaVA", llava)]);
    check(&*data, &answers, files, Protocol::Official);
    let other = matched_bytes(&*data, b"[{\"image\": \"x.jpg\", \"answer\": \"a\"}]").unwrap_err();
    assert!(
        other.contains("line 1: the picture does not name a question of this benchmark"),
        "{other}"
    );
    let shifted = b"{\"doc_id\": 1, \"input\": \"Q9001?\\nAnswer\", \"filtered_resps\": [\"a\"]}";
    let error = matched_bytes(&*data, shifted).unwrap_err();
    assert!(
        error.contains("`input` asks `Q9001?`, row 1 of the data is `Q9002?`"),
        "{error}"
    );
    let error = matched_bytes(&*data, b"{\"doc_id\": 1, \"resps\": [[\"a\"]]}").unwrap_err();
    assert!(error.contains("row 1 comes without `input`"), "{error}");
    let error = matched_bytes(&*data, b"{\"question\": \"Q9001?\", \"answer\": \"a\"}").unwrap_err();
    assert!(
        error.ends_with("the order of lines names questions of POPE only"),
        "{error}"
    );
}

#[test]
fn textvqa() {
    let row = |id: u32| json!({"question_id": id, "image_id": "0a0a", "question": format!("what is {id}?"), "answers": vec!["acme"; 10]});
    let annotation = json!({"data": ([34602, 34603, 34604].map(row))});
    let data = toy(
        Task::Textvqa,
        None,
        &[("TextVQA_0.5.1_val.json", annotation.to_string())],
    );
    let answers = answers(&*data);
    let records = data.samples().iter().zip(&answers);
    let upload = records
        .map(|(sample, answer)| json!({"question_id": sample.source_id.parse::<u32>().unwrap(), "answer": answer}));
    let mut files = common(&*data, &answers);
    files.push(("EvalAI", array(upload)));
    check(&*data, &answers, files, Protocol::Paper);
}

#[test]
fn vizwiz() {
    let row = |n: u32| {
        json!({"image": format!("VizWiz_val_{n:08}.jpg"), "question": format!("What {n}? "), "answers": ten("mint"),
               "answer_type": "other", "answerable": 1})
    };
    let questions: Value = [9001, 9002, 9003].map(row).to_vec().into();
    let data = toy(Task::Vizwiz, Some("val"), &[("val.json", questions.to_string())]);
    let answers = answers(&*data);
    let records = data.samples().iter().zip(&answers);
    let upload = records.map(|(sample, answer)| json!({"image": format!("{}.jpg", sample.id), "answer": answer}));
    let mut files = common(&*data, &answers);
    files.push(("VizWiz", array(upload)));
    check(&*data, &answers, files, Protocol::Official);
}

#[test]
fn gqa() {
    let vectors: Value = serde_json::from_str(include_str!("../../tests/data/golden-vectors.json")).unwrap();
    let questions = vectors["gqa"]["questions"].to_string();
    let data = toy(Task::Gqa, None, &[("testdev_balanced_questions.json", questions)]);
    let answers = answers(&*data);
    let records = data.samples().iter().zip(&answers);
    let upload = records.map(|(sample, answer)| json!({"questionId": sample.source_id, "prediction": answer}));
    let mut files = common(&*data, &answers);
    files.push(("GQA", array(upload)));
    check(&*data, &answers, files, Protocol::Paper);
}

#[test]
fn pope() {
    let file = |category: &str| {
        let row = |n: usize| {
            // The questions to be answered yes are those of every category.
            let object = if n.is_multiple_of(2) {
                "mug".to_owned()
            } else {
                format!("{category} {n}")
            };
            let text = format!("Is there a {object} in the image?");
            let label = if n.is_multiple_of(2) { "yes" } else { "no" };
            json!({"question_id": n + 1, "image": format!("COCO_val2014_{n:012}.jpg"), "text": text, "label": label})
        };
        String::from_utf8(lines((0..4).map(row))).unwrap()
    };
    let names = [
        "coco_pope_random.json",
        "coco_pope_popular.json",
        "coco_pope_adversarial.json",
    ];
    let categories = ["random", "popular", "adversarial"];
    let files: Vec<(&str, String)> = names.into_iter().zip(categories.map(file)).collect();
    let data = toy(Task::Pope, None, &files);
    let answers = answers(&*data);
    let record = |n: usize| json!({"question": data.samples()[n].question, "answer": answers[n]});
    let mut files = common(&*data, &answers);
    files.push(("POPE", lines((0..12).map(record))));
    check(&*data, &answers, files, Protocol::Official);
    for category in categories {
        let of = |n: &usize| data.samples()[*n].category.as_deref() == Some(category);
        let read = matched_bytes(&*data, &lines((0..12).filter(of).map(record))).unwrap();
        for (n, answer) in read.iter().enumerate() {
            assert_eq!(answer.as_ref(), of(&n).then_some(&answers[n]), "{category} {n}");
        }
    }
    for kept in [vec![0], vec![1, 0, 2, 3]] {
        let error = matched_bytes(&*data, &lines(kept.into_iter().map(record))).unwrap_err();
        assert!(
            error.contains("questions are neither those of one category of split `coco-12` nor all"),
            "{error}"
        );
    }
}

/// The result folder of these answers; `named` gives a picture its name there.
fn mme_results(data: &dyn Dataset, answers: &[String], folder: &Path, named: impl Fn(&str) -> String) {
    for subtask in Subtask::all() {
        let of = data.samples().iter().zip(answers);
        let of = of.filter(|(sample, _)| sample.category.as_deref() == Some(subtask.id()));
        let line = |(sample, answer): (&crate::sample::Sample, &String)| {
            let file = sample.id.as_str().split('/').nth(1).unwrap();
            format!("{}\t{}\tYes\t{answer}\n", named(file), sample.question)
        };
        fs::write(
            folder.join(format!("{}.txt", subtask.id())),
            of.map(line).collect::<String>(),
        )
        .unwrap();
    }
}

/// VLMEvalKit's table.
fn mme_table(data: &dyn Dataset, answers: &[String]) -> [(&'static str, Vec<u8>); 2] {
    let row = |(n, (sample, answer)): (usize, (&crate::sample::Sample, &String))| {
        let (picture, _) = sample.id.as_str().rsplit_once('/').unwrap();
        let category = sample.category.clone().unwrap();
        vec![
            n.to_string(),
            sample.question.clone(),
            category,
            picture.to_owned(),
            answer.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = data.samples().iter().zip(answers).enumerate().map(row).collect();
    table(&["index", "question", "category", "image_path", "prediction"], &rows)
}

fn check_mme(data: &dyn Dataset, answers: &[String]) {
    let mut files = common(data, answers);
    files.extend(mme_table(data, answers));
    check(data, answers, files, Protocol::Official);
    let converter = |file: &str| format!("{}.txt", file.split('.').next().unwrap());
    for named in [&converter as &dyn Fn(&str) -> String, &str::to_owned] {
        let folder = tempfile::tempdir().unwrap();
        mme_results(data, answers, folder.path(), named);
        let expected: Vec<Option<String>> = answers.iter().cloned().map(Some).collect();
        assert_eq!(matched(data, folder.path()), Ok(expected));
    }
}

#[test]
fn mme() {
    let rows = |subtask: Subtask| {
        let question = |thing: &str| format!("Is there a {thing} in {}? Please answer yes or no.", subtask.id());
        format!(
            "0001.v2.jpg\t{}\tYes\n0001.v2.jpg\t{}\tNo\n",
            question("mug"),
            question("Tasse")
        )
    };
    let names: Vec<(String, String)> = Subtask::all()
        .map(|subtask| (format!("{}.txt", subtask.id()), rows(subtask)))
        .collect();
    let files: Vec<(&str, String)> = names.iter().map(|(name, rows)| (name.as_str(), rows.clone())).collect();
    let data = toy(Task::Mme, None, &files);
    check_mme(&*data, &answers(&*data));
}

#[test]
fn mmbench() {
    let rows = [
        ["7", "What is on the \"desk\"?", "mug", "cat", "A"],
        ["1000007", "What is on the \"desk\"?", "cat", "mug", "B"],
        ["8", "Two\nlines?", "yes", "no", "B"],
    ];
    let mut writer = csv::WriterBuilder::new().delimiter(b'\t').from_writer(Vec::new());
    let header = [
        "index", "question", "hint", "A", "B", "C", "D", "answer", "category", "image", "source",
    ];
    writer
        .write_record(header.iter().chain(&["l2-category", "comment", "split"]))
        .unwrap();
    for [index, question, a, b, answer] in rows {
        let picture = &"aW52".repeat(20);
        writer
            .write_record([
                index, question, "", a, b, "", "", answer, "leaf", picture, "x", "l2", "", "dev",
            ])
            .unwrap();
    }
    let tsv = String::from_utf8(writer.into_inner().unwrap()).unwrap();
    let data = toy(Task::Mmbench, None, &[("mmbench_dev_20230712.tsv", tsv)]);
    let answers: Vec<String> = ["A", "B", "A"].map(str::to_owned).to_vec();
    let row = |(row, answer): (&[&str; 5], &String)| vec![row[0].to_owned(), row[1].to_owned(), answer.clone()];
    let cells: Vec<Vec<String>> = rows.iter().zip(&answers).map(row).collect();
    let mut files = common(&*data, &answers);
    files.extend(table(&["index", "question", "prediction"], &cells));
    check(&*data, &answers, files, Protocol::Paper);
    let error = matched_bytes(&*data, b"index\tquestion\tprediction\n8\tOne line?\tA\n").unwrap_err();
    assert!(
        error.contains("`question` is `One line?`, question 8 of split `dev` is `Two`"),
        "{error}"
    );
}

#[test]
fn mm_vet() {
    let line = |n: usize| {
        let question = format!("What is {n}?");
        json!({"question_id": n, "image": format!("v1_{n}.png"), "text": question, "category": "default"})
    };
    let questions = String::from_utf8(lines((0..3).map(line))).unwrap();
    let data = toy(Task::MmVet, None, &[("llava-mm-vet.jsonl", questions)]);
    let answers = ["a", "b", "c"].map(str::to_owned);
    let by_id = json!({"v1_0": "a", "v1_1": "b", "v1_2": "c"}).to_string().into_bytes();
    let mut files = common(&*data, &answers);
    files.push(("by id", by_id));
    let expected = answers.map(Some).to_vec();
    for (name, content) in files {
        assert_eq!(matched_bytes(&*data, &content), Ok(expected.clone()), "{name}");
    }
}

#[test]
fn published_answers_keep_their_score_in_every_format() {
    let Some(folder) = reference_data::folder("published_answers_keep_their_score_in_every_format") else {
        return;
    };
    let folder = folder.join("llava-eval");
    let read = |task: Task, answers: &str| {
        let data = load(task, &folder, None);
        let read = matched(&*data, &folder.join(answers)).unwrap();
        (data, read.into_iter().map(Option::unwrap).collect::<Vec<String>>())
    };
    let (mme, answers) = read(Task::Mme, "MME/answers/llava-v1.5-13b.jsonl");
    check_mme(&*mme, &answers);
    let (pope, answers) = read(Task::Pope, "pope/answers/llava-v1.5-13b.jsonl");
    let records = pope.samples().iter().zip(&answers);
    let lines = lines(records.map(|(sample, answer)| json!({"question": sample.question, "answer": answer})));
    check(&*pope, &answers, vec![("POPE", lines)], Protocol::Official);
    // LLaVA's own upload of its own answers.
    let (vizwiz, answers) = read(Task::Vizwiz, "vizwiz/answers/llava-v1.5-13b.jsonl");
    let uploaded = matched(&*vizwiz, &folder.join("vizwiz/answers_upload/llava-v1.5-13b.json")).unwrap();
    let normalised = answers.iter().map(|answer| Some(Normaliser::EvalAi.apply(answer)));
    assert!(uploaded.into_iter().eq(normalised));
}
