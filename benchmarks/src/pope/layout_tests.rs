//! POPE's text layouts from files to samples, and predictions that are matched with them.

use std::fs;
use std::path::{Path, PathBuf};

use super::fixture::{IDS, ROWS, answers, fault, ids, label_lines, labels, llava_questions, load, source, write};
use super::{Category, Pope};
use crate::benchmark::Benchmark;
use crate::picture::PictureError;
use crate::sample::SampleId;
use crate::task::PromptStyle;

#[test]
fn every_layout_and_place_gives_the_same_samples() {
    for (layout, place) in [
        ("official label files", "pope/coco"),
        ("official label files", "POPE/output/coco"),
        ("official label files", "Po-Pe"),
        ("official label files", "coco"),
        ("official label files", ""),
        ("LLaVA question file with official labels", "pope/coco"),
    ] {
        let root = tempfile::tempdir().unwrap();
        labels(&root.path().join(place));
        if layout.starts_with("LLaVA") {
            llava_questions(&root.path().join("pope"));
        }
        let data = load(root.path()).unwrap();
        assert_eq!(ids(&*data), IDS, "{place}");
        assert_eq!(data.provenance().layout, layout, "{place}");
        assert_eq!(data.provenance().split, "coco-6");
        for sample in data.samples() {
            let row = ROWS[IDS.iter().position(|id| *id == sample.id.as_str()).unwrap()];
            assert_eq!(sample.category.as_deref(), Some(row.0));
            assert_eq!(sample.question, row.2);
            assert_eq!(sample.reference.as_deref(), Some(row.3));
            assert_eq!(sample.pictures[0].key(), format!("{}.jpg", row.1));
            assert!(!sample.pictures[0].is_present());
        }
        let groups: Vec<usize> = data.samples().iter().map(|sample| sample.scoring_group).collect();
        assert_eq!(groups, [0, 1, 2, 3, 4, 5]);
    }
}

#[test]
fn llavas_questions_keep_their_order_ids_and_misspelling() {
    let root = tempfile::tempdir().unwrap();
    llava_questions(root.path());
    for category in Category::ALL {
        let content = label_lines(category.id(), |question| question.replace("imange", "image"));
        let path = root.path().join(format!("coco/coco_pope_{}.json", category.id()));
        write(path, format!("\u{feff}{}\r\n\r\n", content.replace('\n', "\r\n")));
    }
    write(root.path().join("coco/coco_ground_truth.json"), "not a label file");
    let data = load(root.path()).unwrap();
    let source_ids: Vec<&str> = data.samples().iter().map(|sample| sample.source_id.as_str()).collect();
    assert_eq!(source_ids, ["1", "2", "10000001", "10000002", "20000001", "20000002"]);
    let prompts = [
        (
            PromptStyle::Paper,
            "Is there a cat in the imange?\nAnswer the question using a single word or phrase.",
        ),
        (
            PromptStyle::LmmsEval,
            "Is there a cat in the imange?\nAnswer the question using a single word or phrase.",
        ),
        (PromptStyle::VlmEvalKit, "Is there a cat in the imange?"),
    ];
    for (style, expected) in prompts {
        assert_eq!(data.prompt(0, style), expected);
    }
    assert_eq!(data.provenance().files.len(), 4);
}

#[test]
fn pictures_are_found_where_the_layout_puts_them_then_under_images() {
    let root = tempfile::tempdir().unwrap();
    labels(&root.path().join("pope/coco"));
    write(root.path().join("pope/val2014/COCO_val2014_000000000001.jpg"), b"one");
    write(
        root.path().join("elsewhere/val2014/COCO_val2014_000000000002.jpg"),
        b"two",
    );
    let mut source = source(root.path());
    source.images = Some(root.path().join("elsewhere"));
    let data = Pope.load(&source).unwrap();
    let read = |index: usize| data.samples()[index].pictures[0].read();
    assert_eq!(read(0), Ok(b"one".to_vec()));
    assert_eq!(read(5), Ok(b"two".to_vec()));
}

#[test]
fn a_picture_outside_the_folder_fails_its_sample_only() {
    let root = tempfile::tempdir().unwrap();
    labels(root.path());
    let path = root.path().join("coco_pope_random.json");
    let content = fs::read_to_string(&path)
        .unwrap()
        .replacen("COCO_val2014", "../COCO_val2014", 1);
    fs::write(&path, content).unwrap();
    let data = load(root.path()).unwrap();
    let name = "../COCO_val2014_000000000001.jpg".to_owned();
    assert_eq!(
        data.samples()[0].pictures[0].read(),
        Err(PictureError::LeavesFolder { name })
    );
    assert!(matches!(
        data.samples()[1].pictures[0].read(),
        Err(PictureError::Missing { .. })
    ));
}

#[test]
fn faulty_files_are_named_with_line_and_remedy() {
    type Edit = fn(&Path);
    fn replace(path: PathBuf, from: &str, to: &str) {
        let content = fs::read_to_string(&path).unwrap();
        assert!(content.contains(from), "{from}");
        fs::write(path, content.replacen(from, to, 1)).unwrap();
    }
    let random = |root: &Path| root.join("coco/coco_pope_random.json");
    let cases: [(Edit, &str); 11] = [
        (
            |root| fs::remove_file(root.join("coco/coco_pope_popular.json")).unwrap(),
            "POPE's popular label file not found; looked for `ROOT/coco/coco_pope_popular.json`; the score is over all",
        ),
        (
            |root| fs::remove_dir_all(root.join("coco")).unwrap(),
            "POPE's label files `coco_pope_{random,popular,adversarial}.json` not found; looked for `ROOT/coco`, ",
        ),
        (
            |root| replace(root.join("coco/coco_pope_random.json"), "\"no\"", "\"No\""),
            "`ROOT/coco/coco_pope_random.json`, line 2: label `No` is neither `yes` nor `no`",
        ),
        (
            |root| replace(root.join("coco/coco_pope_random.json"), "\"label\"", "\"answer\""),
            "`ROOT/coco/coco_pope_random.json`, line 1: missing field `label`",
        ),
        (
            |root| {
                replace(
                    root.join("coco/coco_pope_random.json"),
                    "an oven in the imange",
                    "a kite in the image",
                )
            },
            "`ROOT/coco/coco_pope_random.json`, line 2: `Is there a kite in the image?` about",
        ),
        (
            |root| replace(root.join("coco/coco_pope_random.json"), "oven", "owl"),
            "`ROOT/llava_pope_test.jsonl`, line 4: `Is there an oven in the imange?` about \
             `COCO_val2014_000000000001.jpg` has no label in `ROOT/coco/coco_pope_random.json`",
        ),
        (
            |root| write(root.join("coco/coco_pope_random.json"), ""),
            "`ROOT/coco/coco_pope_random.json`: 0 labels for the 2 random questions in `ROOT/llava_pope_test.jsonl`",
        ),
        (
            |root| {
                replace(
                    root.join("llava_pope_test.jsonl"),
                    "\"category\":\"random\"",
                    "\"category\":\"rare\"",
                )
            },
            "`ROOT/llava_pope_test.jsonl`, line 3: unknown category `rare`; POPE has `random`, `popular`, ",
        ),
        (
            |root| replace(root.join("llava_pope_test.jsonl"), "10000002", "10000001"),
            "`ROOT/llava_pope_test.jsonl`, line 4: question id 10000001 stands here for the second time",
        ),
        (
            |root| replace(root.join("llava_pope_test.jsonl"), "?\\nAnswer", "? Answer"),
            "`ROOT/llava_pope_test.jsonl`, line 1: `text` does not end in LLaVA's `Answer the question using",
        ),
        (
            |root| replace(root.join("llava_pope_test.jsonl"), "{", "[{"),
            "`ROOT/llava_pope_test.jsonl`, line 1: not a JSON object",
        ),
    ];
    for (edit, expected) in cases {
        let root = tempfile::tempdir().unwrap();
        labels(&root.path().join("coco"));
        llava_questions(root.path());
        assert!(random(root.path()).is_file());
        edit(root.path());
        let error = fault(root.path());
        assert!(error.starts_with(expected), "{error}\nexpected {expected}");
    }
}

#[test]
fn questions_of_another_form_are_numbered_or_refused() {
    let root = tempfile::tempdir().unwrap();
    labels(root.path());
    let path = root.path().join("coco_pope_random.json");
    let content = fs::read_to_string(&path)
        .unwrap()
        .replacen("Is there a kite", "Do you see a kite", 1);
    fs::write(&path, content).unwrap();
    let error = fault(root.path());
    assert!(
        error.starts_with("`ROOT/coco_pope_random.json`, line 1: no sample id can be made"),
        "{error}"
    );
    for category in Category::ALL {
        let content = label_lines(category.id(), |question| question.replace("Is there", "Do you see"));
        write(root.path().join(format!("coco_pope_{}.json", category.id())), content);
    }
    let data = load(root.path()).unwrap();
    assert_eq!(data.samples()[5].id, SampleId::row(5));
}

#[test]
fn two_questions_with_one_id_are_refused() {
    let root = tempfile::tempdir().unwrap();
    labels(root.path());
    let path = root.path().join("coco_pope_random.json");
    let content = fs::read_to_string(&path).unwrap().replace("oven", "kite");
    fs::write(&path, content).unwrap();
    let expected = "`ROOT/coco_pope_random.json`, line 2: asks the same as line 1 \
                    (`random/COCO_val2014_000000000001/kite`); delete one of the two";
    assert_eq!(fault(root.path()), expected);
}

#[test]
fn nothing_there_says_what_to_download() {
    let root = tempfile::tempdir().unwrap();
    let error = fault(root.path());
    assert!(error.starts_with("POPE (`llava_pope_test.jsonl`, "), "{error}");
    assert!(
        error.contains("looked for `ROOT`; unpack LLaVA's `eval.zip`"),
        "{error}"
    );
    labels(root.path());
    write(root.path().join("coco_pope_popular.json"), "\n");
    let error = fault(root.path());
    assert!(
        error.starts_with("`ROOT/coco_pope_random.json`: no popular question here"),
        "{error}"
    );
}

#[test]
fn another_split_than_what_is_there_is_refused() {
    let root = tempfile::tempdir().unwrap();
    labels(root.path());
    let mut source = source(root.path());
    source.split = Some("coco-6".to_owned());
    assert!(Pope.load(&source).is_ok());
    source.split = Some("coco-9000".to_owned());
    let error = Pope.load(&source).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("split `coco-9000` of POPE is not in"), "{error}");
    assert!(error.contains("holds `coco-6` (official label files)"), "{error}");
}

#[test]
fn predictions_by_llavas_ids_must_ask_the_same() {
    let root = tempfile::tempdir().unwrap();
    labels(&root.path().join("coco"));
    llava_questions(root.path());
    let data = load(root.path()).unwrap();
    let line = |id: usize, prompt: &str| serde_json::json!({"question_id": id, "text": "No", "prompt": prompt});
    let found = answers(
        &*data,
        &[line(10_000_002, "USER: Is there an oven in the image? ASSISTANT:")],
    )
    .unwrap();
    assert_eq!(found.iter().position(Option::is_some), Some(3));
    let error = answers(&*data, &[line(10_000_002, "Is there a kite in the image?\nAnswer")]).unwrap_err();
    assert!(
        error.contains("line 1: `prompt` asks `Is there a kite in the image?`, question 10000002 of the data is"),
        "{error}"
    );
    let error = answers(&*data, &[line(1, "Is there a cat in the image?"), line(3, "")]).unwrap_err();
    assert!(error.contains("line 2: `3` is not in split `coco-6`"), "{error}");
    let ours = serde_json::json!({"id": IDS[4], "answer": "Yes"});
    assert_eq!(answers(&*data, &[ours]).unwrap()[0].as_deref(), Some("Yes"));
}

#[test]
fn ids_that_start_again_in_each_category_are_refused() {
    let root = tempfile::tempdir().unwrap();
    labels(root.path());
    let data = load(root.path()).unwrap();
    let error = answers(&*data, &[serde_json::json!({"question_id": 1, "text": "No"})]).unwrap_err();
    assert!(
        error.contains("line 1: question id 1 belongs to LLaVA's 2910 + 3000 + 3000 questions or"),
        "{error}"
    );
    assert!(error.contains("these data have 2 + 2 + 2"), "{error}");
    let error = answers(&*data, &[serde_json::json!({"question_id": 262_148_000, "text": "No"})]).unwrap_err();
    assert!(error.contains("it belongs to another benchmark or split"), "{error}");
}

#[test]
fn every_place_of_labels_is_a_version() {
    let root = tempfile::tempdir().unwrap();
    labels(&root.path().join("pope/coco"));
    labels(&root.path().join("pope/output/coco"));
    llava_questions(&root.path().join("pope"));
    let other = root.path().join("pope/output/coco/coco_pope_random.json");
    let flipped = fs::read_to_string(&other).unwrap().replacen("\"yes\"", "\"no\"", 1);
    write(other, flipped);
    let versions = Pope.versions(&source(root.path())).unwrap();
    let yes = |data: &dyn crate::Dataset| {
        let references = data.samples().iter().map(|sample| sample.reference.as_deref());
        references.filter(|reference| *reference == Some("yes")).count()
    };
    let found: Vec<usize> = versions
        .iter()
        .map(|data| yes(data.as_ref().unwrap().as_ref()))
        .collect();
    assert_eq!(found, [3, 2]);
    fs::remove_file(root.path().join("pope/output/coco/coco_pope_popular.json")).unwrap();
    let versions = Pope.versions(&source(root.path())).unwrap();
    let faults: Vec<Option<String>> = versions
        .into_iter()
        .map(|version| version.err().map(|error| error.to_string()))
        .collect();
    assert_eq!(faults[0], None);
    assert!(faults[1].as_ref().unwrap().contains("popular label file"), "{faults:?}");
}
