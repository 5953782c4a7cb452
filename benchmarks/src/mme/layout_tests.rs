//! MME's layouts on the invented files of [`fixture`](super::fixture), and what is said about faulty ones.

use std::fs;
use std::path::Path;

use super::fixture::{answers, fault, ids, llava_questions, load, release, rows, source, tool, write};
use super::{Mme, Subtask};
use crate::benchmark::Benchmark;
use crate::picture::PictureError;
use crate::task::{PromptStyle, Protocol};

const RELEASE: &str = "MME_Benchmark_release_version";
const TOOL: &str = "eval_tool/Your_Results";

fn replace(path: &Path, from: &str, to: &str) {
    let content = fs::read_to_string(path).unwrap();
    assert!(content.contains(from), "{from}");
    fs::write(path, content.replacen(from, to, 1)).unwrap();
}

#[test]
fn every_layout_gives_the_same_samples() {
    type Make = fn(&Path);
    let cases: [(&str, usize, Make); 7] = [
        ("official release", 14, |root| {
            release(&root.join("MME").join(RELEASE), true)
        }),
        ("official release", 14, |root| release(&root.join("mme"), false)),
        ("official release", 14, |root| release(root, false)),
        ("evaluation tool's files", 14, |root| tool(&root.join("MME").join(TOOL))),
        ("evaluation tool's files", 14, |root| tool(root)),
        ("LLaVA question file with official labels", 15, |root| {
            llava_questions(&root.join("MME"));
            release(&root.join("MME").join(RELEASE), false);
        }),
        ("LLaVA question file with official labels", 15, |root| {
            llava_questions(&root.join("MME"));
            tool(&root.join("MME").join(TOOL));
        }),
    ];
    for (layout, files, make) in cases {
        let root = tempfile::tempdir().unwrap();
        make(root.path());
        let data = load(root.path()).unwrap();
        assert_eq!(
            (data.provenance().layout, data.provenance().files.len()),
            (layout, files)
        );
        assert_eq!(data.provenance().split, "all-28");
        let mut found = ids(&*data);
        assert_eq!(found.len(), 28);
        if layout.starts_with("LLaVA") {
            assert_eq!(found[0], rows()[26].id());
            found = found.chunks(2).rev().flatten().cloned().collect();
        }
        assert_eq!(found, rows().iter().map(|row| row.id()).collect::<Vec<_>>());
        for row in rows() {
            let sample = data
                .samples()
                .iter()
                .find(|sample| sample.id.as_str() == row.id())
                .unwrap();
            assert_eq!(sample.question, row.question);
            assert_eq!(sample.reference.as_deref(), Some(row.label()));
            assert_eq!(sample.category.as_deref(), Some(row.subtask.id()));
            assert_eq!(sample.pictures[0].key(), row.picture());
        }
        let groups: Vec<usize> = data.samples().iter().map(|sample| sample.scoring_group).collect();
        assert_eq!(groups, (0..28).map(|n| n / 2).collect::<Vec<_>>());
    }
}

#[test]
fn prompts_differ_in_the_rows_with_two_spaces_only() {
    let root = tempfile::tempdir().unwrap();
    llava_questions(root.path());
    release(root.path(), false);
    let data = load(root.path()).unwrap();
    for (index, sample) in data.samples().iter().enumerate() {
        let row = rows().into_iter().find(|row| row.id() == sample.id.as_str()).unwrap();
        assert_eq!(data.prompt(index, PromptStyle::Paper), row.prompt());
        assert_eq!(data.prompt(index, PromptStyle::VlmEvalKit), row.question);
        let two = row.question.contains("  ");
        let kept = if two {
            row.prompt().replace('\n', " \n")
        } else {
            row.prompt()
        };
        assert_eq!(data.prompt(index, PromptStyle::LmmsEval), kept);
    }
}

#[test]
fn pictures_of_another_subtask_are_not_taken() {
    let root = tempfile::tempdir().unwrap();
    release(&root.path().join("MME"), false);
    let nested = rows().into_iter().find(|row| row.subtask == Subtask::Scene).unwrap();
    let flat = rows().into_iter().find(|row| row.subtask == Subtask::Ocr).unwrap();
    let images = root.path().join("elsewhere");
    // A copy with every picture beside its text, and one with a name that another subtask's picture has too.
    write(images.join(nested.picture()), b"scene");
    write(images.join("MME_Benchmark_release_version").join(flat.path()), b"OCR");
    write(images.join("900001.jpg"), b"existence, or any other");
    let mut source = source(root.path());
    source.images = Some(images);
    let data = Mme.load(&source).unwrap();
    let read = |id: String| {
        let sample = data.samples().iter().find(|sample| sample.id.as_str() == id).unwrap();
        sample.pictures[0].read()
    };
    assert_eq!(read(nested.id()), Ok(b"scene".to_vec()));
    assert_eq!(read(flat.id()), Ok(b"OCR".to_vec()));
    let name = "existence/900001.jpg".to_owned();
    assert_eq!(
        read("existence/900001.jpg/1".to_owned()),
        Err(PictureError::Missing { name })
    );
}

#[test]
fn the_release_tells_what_its_pictures_are_called() {
    let root = tempfile::tempdir().unwrap();
    release(root.path(), true);
    fs::rename(
        root.path().join("color/900004.jpg"),
        root.path().join("color/900004.jpeg"),
    )
    .unwrap();
    write(root.path().join("color/._900004.txt"), [0xFF, 0xFE]);
    let data = load(root.path()).unwrap();
    let sample = data
        .samples()
        .iter()
        .find(|sample| sample.category.as_deref() == Some("color"))
        .unwrap();
    assert_eq!(sample.id.as_str(), "color/900004.jpeg/1");
    assert_eq!(sample.pictures[0].read(), Ok(b"color/900004.jpg".to_vec()));
}

#[test]
fn answers_are_told_apart_by_their_prompt() {
    let root = tempfile::tempdir().unwrap();
    tool(root.path());
    let data = load(root.path()).unwrap();
    let line = |index: usize, prompt: &str| serde_json::json!({"question_id": rows()[index].path(), "prompt": prompt, "text": index.to_string()});
    let mut lines: Vec<_> = rows()
        .iter()
        .enumerate()
        .map(|(n, row)| line(n, &row.prompt()))
        .collect();
    lines[7] = line(7, &format!("USER: <image>\n{} ASSISTANT:", rows()[7].question));
    lines.reverse();
    let expected: Vec<Option<String>> = (0..28).map(|n| Some(n.to_string())).collect();
    assert_eq!(answers(&*data, &lines), Ok(expected));
    let ours = serde_json::json!({"id": rows()[5].id(), "answer": "Yes"});
    assert_eq!(answers(&*data, &[ours]).unwrap()[5].as_deref(), Some("Yes"));
    let cases = [
        (
            serde_json::json!({"question_id": "color/900004.jpg", "text": ""}),
            "line 1: `color/900004.jpg` names two",
        ),
        (
            line(6, "Is there a dog?\nAnswer"),
            "line 1: `prompt` asks `Is there a dog?`, the questions about `color/90000",
        ),
        (
            serde_json::json!({"question_id": "color/1.jpg", "text": ""}),
            "line 1: none of its ids is in split `all-28`",
        ),
    ];
    for (line, expected) in cases {
        let error = answers(&*data, &[line]).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    let error = answers(&*data, &[lines[0].clone(), lines[0].clone()]).unwrap_err();
    assert!(error.contains("was answered in line 1 already"), "{error}");
}

#[test]
fn questions_without_labels_load_and_say_what_scoring_needs() {
    let root = tempfile::tempdir().unwrap();
    llava_questions(&root.path().join("MME"));
    let data = load(root.path()).unwrap();
    assert_eq!(data.provenance().layout, "LLaVA question file without labels");
    assert!(data.samples().iter().all(|sample| sample.reference.is_none()));
    assert_eq!(data.samples()[0].id.as_str(), rows()[26].id());
    let none = vec![None; 28];
    let error = data.score(&none, Protocol::Paper).unwrap_err().to_string();
    let expected = format!(
        "MME's right answers not found; looked for `{}/MME/{RELEASE}`, ",
        root.path().display()
    );
    assert!(error.starts_with(&expected), "{error}");
    // Labels in another layout of the same folder are taken instead.
    tool(root.path());
    assert_eq!(
        load(root.path()).unwrap().provenance().layout,
        "evaluation tool's files"
    );
}

#[test]
fn faulty_files_are_named_with_line_and_remedy() {
    type Edit = fn(&Path);
    let cases: [(Edit, &str); 13] = [
        (
            |root| fs::remove_file(root.join(TOOL).join("scene.txt")).unwrap(),
            "MME's subtask scene not found; looked for `ROOT/eval_tool/Your_Results/scene.txt`; the totals are over",
        ),
        (
            |root| replace(&root.join(TOOL).join("color.txt"), "\tNo", "\tno way"),
            "`ROOT/eval_tool/Your_Results/color.txt`, line 2: label `no way` is neither `Yes` nor `No`",
        ),
        (
            |root| replace(&root.join(TOOL).join("color.txt"), "\tYes", " Yes"),
            "`ROOT/eval_tool/Your_Results/color.txt`, line 1: not `picture<TAB>question<TAB>Yes|No`",
        ),
        (
            |root| replace(&root.join(TOOL).join("color.txt"), "\tYes", "\tYes\tNo\tNo"),
            "`ROOT/eval_tool/Your_Results/color.txt`, line 1: not `picture<TAB>question<TAB>Yes|No`",
        ),
        (
            |root| replace(&root.join(TOOL).join("color.txt"), "mug", "jug"),
            "`ROOT/llava_mme.jsonl`, line 21: `Is there a mug in the color?` about `color/900004.jpg` has no label",
        ),
        (
            |root| replace(&root.join(TOOL).join("landmark.txt"), "mug", "jug"),
            "`ROOT/llava_mme.jsonl`, line 13: `Is there a mug in the landmark?` about `landmark/900008.jpg` has no",
        ),
        (
            |root| {
                let path = root.join(TOOL).join("color.txt");
                let content = fs::read_to_string(&path).unwrap();
                fs::write(path, content.clone() + &content).unwrap();
            },
            "`ROOT/eval_tool/Your_Results/color.txt`, line 3: `Is there a mug in the color?  Please answer yes or no.` \
             is asked of the same picture for the second time",
        ),
        (
            |root| fs::write(root.join(TOOL).join("color.txt"), [0xFF]).unwrap(),
            "`ROOT/eval_tool/Your_Results/color.txt`: not UTF-8; save the file as UTF-8",
        ),
        (
            |root| {
                replace(
                    &root.join("llava_mme.jsonl"),
                    "\"question_id\":\"OCR/",
                    "\"question_id\":\"ocr/",
                )
            },
            "`ROOT/llava_mme.jsonl`, line 9: unknown subtask `ocr`; MME has existence, ",
        ),
        (
            |root| {
                let path = root.join("llava_mme.jsonl");
                let content = fs::read_to_string(&path).unwrap();
                let lines: Vec<&str> = content.lines().collect();
                fs::write(&path, lines[1..].join("\n")).unwrap();
            },
            "`ROOT/llava_mme.jsonl`, line 1: number of questions about `code_reasoning/9000014.png`: 1; MME asks two",
        ),
        (
            |root| {
                let path = root.join("llava_mme.jsonl");
                let content = fs::read_to_string(&path).unwrap();
                let lines: Vec<&str> = content.lines().collect();
                fs::write(&path, [&lines[..1], &lines[..]].concat().join("\n")).unwrap();
            },
            "`ROOT/llava_mme.jsonl`, line 3: number of questions about `code_reasoning/9000014.png`: 3; MME asks two",
        ),
        (
            |root| {
                let path = root.join("llava_mme.jsonl");
                let content = fs::read_to_string(&path).unwrap();
                let lines: Vec<&str> = content.lines().collect();
                fs::write(&path, [&lines[..1], &lines[..1], &lines[2..]].concat().join("\n")).unwrap();
            },
            "`ROOT/llava_mme.jsonl`, line 2: asks the same as the other question about its picture",
        ),
        (
            |root| {
                let path = root.join("llava_mme.jsonl");
                let content = fs::read_to_string(&path).unwrap();
                let lines: Vec<&str> = content.lines().collect();
                fs::write(&path, lines[2..].join("\n")).unwrap();
            },
            "`ROOT`: no question of MME's subtask code_reasoning; the totals are over all fourteen",
        ),
    ];
    for (edit, expected) in cases {
        let root = tempfile::tempdir().unwrap();
        llava_questions(root.path());
        tool(&root.path().join(TOOL));
        edit(root.path());
        let error = fault(root.path());
        assert!(error.starts_with(expected), "{error}\nexpected {expected}");
    }
}

#[test]
fn faulty_release_files_are_named() {
    let root = tempfile::tempdir().unwrap();
    release(root.path(), false);
    let path = root.path().join("color/900004.txt");
    let whole = fs::read_to_string(&path).unwrap();
    let cases = [
        (whole.replace("Yes\n", "Yes\r\n\r\n"), None),
        (format!("\u{feff}{whole}"), None),
        (
            whole.replace("\tNo", "\tNo\tno"),
            Some("`ROOT/color/900004.txt`, line 2: not `question<TAB>Yes|No`"),
        ),
        (
            whole.replace("\tNo", "\tMaybe"),
            Some("`ROOT/color/900004.txt`, line 2: label `Maybe` is neither"),
        ),
        (
            whole.lines().next().unwrap().to_owned(),
            Some("`ROOT/color/900004.txt`, line 1: number of questions about `color/900004.jpg`: 1; MME asks two"),
        ),
    ];
    for (content, expected) in cases {
        fs::write(&path, &content).unwrap();
        match expected {
            None => assert_eq!(load(root.path()).unwrap().samples()[7].question, rows()[7].question),
            Some(expected) => {
                let error = fault(root.path());
                assert!(error.starts_with(expected), "{error}\nexpected {expected}");
            }
        }
    }
    // The question that is to be answered yes is the first, wherever it stands.
    let lines: Vec<&str> = whole.lines().collect();
    fs::write(&path, format!("{}\n{}\n", lines[1], lines[0])).unwrap();
    let data = load(root.path()).unwrap();
    assert_eq!(data.samples()[6].id.as_str(), "color/900004.jpg/2");
    assert_eq!(data.samples()[6].reference.as_deref(), Some("No"));
}

#[test]
fn landmark_labels_may_lack_as_many_questions_as_they_are_short_of() {
    let root = tempfile::tempdir().unwrap();
    llava_questions(root.path());
    tool(&root.path().join(TOOL));
    let landmark = root.path().join(TOOL).join("landmark.txt");
    let labels = |n: usize| -> String {
        let pair = |n: usize| {
            let ask = |word: &str, label: &str| format!("{n}.jpg\tIs it {word}? Please answer yes or no.\t{label}\n");
            ask("here", "Yes") + &ask("there", "No")
        };
        (0..n / 2).map(pair).collect()
    };
    for (count, expected) in [
        (
            394,
            Some("`ROOT/llava_mme.jsonl`, line 13: `Is there a mug in the landmark?` about `landmark/900008.jpg` has"),
        ),
        (396, None),
        (398, None),
        (400, Some("`ROOT/llava_mme.jsonl`, line 13: ")),
    ] {
        fs::write(&landmark, labels(count)).unwrap();
        let Some(expected) = expected else {
            let data = load(root.path()).unwrap();
            assert_eq!(data.provenance().split, "all-26");
            let of_landmark = data
                .samples()
                .iter()
                .filter(|sample| sample.category.as_deref() == Some("landmark"));
            assert!(of_landmark.clone().all(|sample| sample.reference.is_none()));
            assert_eq!(of_landmark.count(), 2);
            continue;
        };
        let error = fault(root.path());
        assert!(error.starts_with(expected), "{count}: {error}");
    }
    fs::write(&landmark, labels(398)).unwrap();
    let path = root.path().join("llava_mme.jsonl");
    let questions = fs::read_to_string(&path).unwrap();
    let more: String = questions
        .lines()
        .filter(|line| line.contains("landmark/"))
        .map(|line| format!("{}\n", line.replace("900008", "900018")))
        .collect();
    fs::write(&path, questions + &more).unwrap();
    let expected = "`ROOT/llava_mme.jsonl`: 4 landmark questions have no label, and the official files lack 2; take";
    assert!(fault(root.path()).starts_with(expected), "{}", fault(root.path()));
}

#[test]
fn nothing_there_says_what_to_download() {
    let root = tempfile::tempdir().unwrap();
    let error = fault(root.path());
    assert!(
        error.starts_with("MME (`llava_mme.jsonl`, the release's folders, "),
        "{error}"
    );
    assert!(
        error.contains("looked for `ROOT`; unpack MME's release to ROOT/MME/"),
        "{error}"
    );
}

#[test]
fn a_right_answer_file_earns_everything() {
    let root = tempfile::tempdir().unwrap();
    tool(root.path());
    let data = load(root.path()).unwrap();
    let given: Vec<Option<String>> = rows().iter().map(|row| Some(row.label().to_owned())).collect();
    for protocol in Protocol::ALL {
        let score = data.score(&given, *protocol).unwrap();
        let value = |id: &str| score.metric(id).unwrap().value.clone();
        assert_eq!(value("perception"), Ok(2000.0));
        assert_eq!((value("cognition"), value("total")), (Ok(800.0), Ok(2800.0)));
    }
}

#[test]
fn every_place_of_labels_is_a_version() {
    let root = tempfile::tempdir().unwrap();
    let mme = root.path().join("mme");
    llava_questions(&mme);
    release(&mme.join(RELEASE), false);
    tool(&mme.join(TOOL));
    replace(&mme.join(TOOL).join("count.txt"), "\tYes", "\tNo");
    let versions = Mme.versions(&source(root.path())).unwrap();
    let layouts: Vec<&str> = versions
        .iter()
        .map(|data| data.as_ref().unwrap().provenance().layout)
        .collect();
    assert_eq!(layouts, ["official release", "evaluation tool's files"]);
}
