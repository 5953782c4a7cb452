//! Each format, its faults, and the same answers through all of them.

use proptest::prelude::*;

use super::*;

fn read(content: &str) -> Result<PredictionFile, String> {
    read_bytes(content.as_bytes())
}

/// The name tells nothing of the format.
fn read_bytes(content: &[u8]) -> Result<PredictionFile, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("answers");
    std::fs::write(&path, content).unwrap();
    PredictionFile::read(&path).map_err(|error| error.to_string().replace(&path.display().to_string(), "FILE"))
}

fn answer(key: PredictionKey, prompt: Option<&str>, answer: &str, line: usize) -> Prediction {
    Prediction {
        key,
        prompt: prompt.map(str::to_owned),
        outcome: PredictionOutcome::Answer(answer.to_owned()),
        line,
    }
}

#[test]
fn our_journal_is_read_header_and_all() {
    let file = read(concat!(
        "{\"vila_bench_journal\": 1, \"prompt\": \"not a prediction\"}\n",
        "{\"id\": \"random/x/dog\", \"answer\": \"No\", \"prompt\": \"Is?\", \"tokens\": [1]}\n",
        "{\"vila_bench_journal\": 1}\n",
        "{\"id\": \"random/x/cat\", \"error\": \"picture missing\", \"answer\": null}\n",
    ))
    .unwrap();
    assert_eq!(file.format, "vila-bench predictions");
    let failed = Prediction {
        key: PredictionKey::Sample("random/x/cat".to_owned()),
        prompt: None,
        outcome: PredictionOutcome::Failed("picture missing".to_owned()),
        line: 4,
    };
    let dog = PredictionKey::Sample("random/x/dog".to_owned());
    assert_eq!(file.predictions, [answer(dog, Some("Is?"), "No", 2), failed]);
}

#[test]
fn llava_answers_are_read_with_ids_of_both_kinds() {
    let file = read(concat!(
        "\u{feff}{\"question_id\": 10000001, \"prompt\": \"Is?\", \"text\": \"No\", \"metadata\": {}}\r\n",
        "{\"question_id\": \"v1_0\", \"text\": \"\", \"round_id\": 0}\r\n",
    ))
    .unwrap();
    assert_eq!(file.format, "LLaVA answers");
    let key = |id: &str| PredictionKey::Question(id.to_owned());
    let expected = [
        answer(key("10000001"), Some("Is?"), "No", 1),
        answer(key("v1_0"), None, "", 2),
    ];
    assert_eq!(file.predictions, expected);
}

#[test]
fn one_object_from_ids_to_texts_is_answers_and_one_line_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("answers.json");
    let read = |content: &str| {
        std::fs::write(&path, content).unwrap();
        PredictionFile::read(&path).map_err(|error| error.to_string())
    };
    let file = read("{\n  \"v1_1\": \"a\\nb\",\n  \"v1_0\": \"\"\n}").unwrap();
    let key = |id: &str| PredictionKey::Question(id.to_owned());
    assert_eq!(file.format, "answers by id");
    assert_eq!(
        file.predictions,
        [answer(key("v1_1"), None, "a\nb", 1), answer(key("v1_0"), None, "", 2)]
    );
    let one_line = read("{\"question_id\": \"7\", \"text\": \"a\"}").unwrap();
    assert_eq!(one_line.format, "LLaVA answers");
    assert!(read("{\"v1_1\": 3}").is_err());
}

#[test]
fn faults_name_the_line_and_what_was_expected() {
    let expected = "expected `id` and `answer` (vila-bench), `question_id` and `text` (LLaVA), `doc_id` and `resps` \
                    (lmms-eval), or `question` and `answer` (POPE)";
    let cases = [
        (
            "",
            "`FILE`: holds no prediction; expected JSON Lines with `id` and `answer`, or `question_id` and `text`"
                .to_owned(),
        ),
        (
            "{\"vila_bench_journal\": 1}\n",
            "`FILE`: holds no prediction; expected JSON Lines with `id` and `answer`, or `question_id` and `text`"
                .to_owned(),
        ),
        (
            "{\"question\": \"q\", \"answer\": null}",
            format!("`FILE`, line 1: no prediction; {expected}"),
        ),
        (
            "{\"id\": \"a\"}",
            "`FILE`, line 1: `id` without `answer` or `error`".to_owned(),
        ),
        (
            "{\"id\": \"a\", \"answer\": 3}",
            "`FILE`, line 1: `answer` is not text".to_owned(),
        ),
        (
            "{\"id\": \"a\", \"answer\": \"\", \"error\": \"\"}",
            "`FILE`, line 1: both `answer` and `error`".to_owned(),
        ),
        (
            "{\"question_id\": 1}",
            "`FILE`, line 1: `question_id` without `text`, LLaVA's answer".to_owned(),
        ),
        (
            "{\"question_id\": 1.5, \"text\": \"\"}",
            "`FILE`, line 1: `question_id` is neither text nor a whole number".to_owned(),
        ),
        (
            "{\"id\": \"a\", \"answer\": \"\"}\n{\"question_id\": 1, \"text\": \"\"}",
            "`FILE`, line 2: one of LLaVA answers, the lines before are vila-bench predictions".to_owned(),
        ),
        (
            "no JSON",
            "`FILE`, line 1: no prediction file of a known format".to_owned(),
        ),
    ];
    for (content, expected) in cases {
        let error = read(content).unwrap_err();
        assert!(error.starts_with(&expected), "{content}: {error}");
    }
}

#[test]
fn lmms_eval_samples_are_read_in_both_forms() {
    let file = read(concat!(
        "{\"doc_id\": 3, \"input\": \"Is?\", \"target\": \"yes\", \"filtered_resps\": [\"No\"], \"doc_hash\": \"x\"}\n",
        "{\"doc_id\": 0, \"doc\": {\"question_id\": \"7\"}, \"arguments\": [\"What?\", {\"until\": []}], ",
        "\"resps\": [[\" a \"]], \"filtered_resps\": [\"a\"]}\n",
        "{\"doc_id\": 1, \"resps\": \"b\"}\n",
    ))
    .unwrap();
    assert_eq!(file.format, "lmms-eval samples");
    let expected = [
        answer(PredictionKey::Row(3), Some("Is?"), "No", 1),
        answer(PredictionKey::Row(0), Some("What?"), " a ", 2),
        answer(PredictionKey::Row(1), None, "b", 3),
    ];
    assert_eq!(file.predictions, expected);
}

#[test]
fn pope_answers_keep_their_place() {
    let file =
        read("{\"question\": \"Is?\", \"answer\": \"no\"}\n\n{\"answer\": \"yes\", \"question\": \"Is it?\"}").unwrap();
    assert_eq!(file.format, "POPE answers");
    let expected = [
        answer(PredictionKey::Place(0), Some("Is?"), "no", 1),
        answer(PredictionKey::Place(1), Some("Is it?"), "yes", 3),
    ];
    assert_eq!(file.predictions, expected);
}

#[test]
fn uploads_are_arrays_with_ids_of_three_kinds() {
    let question = |id: &str| PredictionKey::Question(id.to_owned());
    let cases = [
        (
            "\u{feff}\r\n[{\"question_id\": 7, \"answer\": \"a\"},\r\n {\"answer\": \"\", \"question_id\": \"8\"}]\r\n",
            "EvalAI answers",
            [question("7"), question("8")],
        ),
        (
            "[{\"questionId\": \"07\", \"prediction\": \"a\"}, {\"questionId\": 8, \"prediction\": \"\"}]",
            "GQA answers",
            [question("07"), question("8")],
        ),
        (
            "[{\"image\": \"x.jpg\", \"answer\": \"a\"}, {\"image\": \"y.jpg\", \"answer\": \"\"}]",
            "VizWiz answers",
            [
                PredictionKey::Picture("x.jpg".to_owned()),
                PredictionKey::Picture("y.jpg".to_owned()),
            ],
        ),
    ];
    for (content, format, [first, second]) in cases {
        let file = read(content).unwrap();
        assert_eq!(file.format, format);
        assert_eq!(
            file.predictions,
            [answer(first, None, "a", 1), answer(second, None, "", 2)]
        );
    }
}

#[test]
fn tables_are_read_with_quotes_and_without_empty_predictions() {
    let file = read(concat!(
        "\u{feff}\"index\"\t\"question\"\t\"prediction\"\r\n",
        "\"7\"\t\"What\tis\nthis?\"\t\"a \"\"mug\"\"\"\r\n",
        "\t\t\r\n8.0\tWho?\t\r\nv1_9\t\tB\r\n",
    ))
    .unwrap();
    assert_eq!(file.format, "tab-separated values with `index` and `prediction`");
    let index = |id: &str| PredictionKey::Index(id.to_owned());
    let expected = [
        answer(index("7"), Some("What\tis\nthis?"), "a \"mug\"", 2),
        answer(index("v1_9"), None, "B", 5),
    ];
    assert_eq!(file.predictions, expected);
    let file = read("index\tcategory\timage_path\tprediction\n0\tOCR\tOCR/0001.jpg\tYes\n8.0\t\t\tNo").unwrap();
    let picture = PredictionKey::Picture("OCR/0001.jpg".to_owned());
    assert_eq!(
        file.predictions,
        [answer(picture, None, "Yes", 2), answer(index("8"), None, "No", 3)]
    );
}

#[test]
fn workbooks_are_read_with_ids_of_both_kinds_and_merged_cells_are_named() {
    let book = |merged: bool| {
        let mut book = rust_xlsxwriter::Workbook::new();
        let sheet = book.add_worksheet();
        for (column, name) in (0..).zip(["index", "prediction"]) {
            sheet.write(0, column, name).unwrap();
        }
        sheet.write(1, 0, 7).unwrap();
        sheet.write(2, 0, "8").unwrap();
        sheet.write(1, 1, "a").unwrap();
        sheet.write(2, 1, 3).unwrap();
        sheet.write(3, 1, "c").unwrap();
        match merged {
            true => sheet
                .merge_range(2, 0, 3, 0, "8", &rust_xlsxwriter::Format::new())
                .map(|_| ()),
            false => sheet.write(3, 0, 9.0).map(|_| ()),
        }
        .unwrap();
        read_bytes(&book.save_to_buffer().unwrap())
    };
    let index = |id: &str| PredictionKey::Index(id.to_owned());
    let expected = [
        answer(index("7"), None, "a", 2),
        answer(index("8"), None, "3", 3),
        answer(index("9"), None, "c", 4),
    ];
    let file = book(false).unwrap();
    assert_eq!(
        (file.format, file.predictions.as_slice()),
        ("sheet with `index` and `prediction`", &expected[..])
    );
    let error = book(true).unwrap_err();
    assert!(
        error.starts_with("`FILE`, row 4: `index` is empty; each row needs its own, merged cells"),
        "{error}"
    );
}

#[test]
fn a_folder_is_read_as_mme_results() {
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str, content: &str| {
        std::fs::write(folder.path().join(name), content).unwrap();
        let shown = folder.path().display().to_string();
        PredictionFile::read(folder.path()).map_err(|error| error.to_string().replace(&shown, "FOLDER"))
    };
    let error = read("notes.txt", "a\tb\tc\td\n").unwrap_err();
    assert!(
        error.starts_with("`FOLDER`: no prediction file in this folder; give the file"),
        "{error}"
    );
    read("OCR.txt", "0001.txt\tIs? Please answer yes or no.\tYes\t yes \r\n\r\n").unwrap();
    let file = read("color.txt", "\u{feff}1.v2.jpg\tIs it?\tNo\t").unwrap();
    assert_eq!(file.format, "MME result folder");
    let picture = |name: &str| PredictionKey::Picture(name.to_owned());
    let expected = [
        answer(picture("color/1.v2.jpg"), Some("Is it?"), "", 1),
        answer(
            picture("OCR/0001.txt"),
            Some("Is? Please answer yes or no."),
            " yes ",
            1,
        ),
    ];
    assert_eq!(file.predictions, expected);
    let cases = [
        (
            "a\tb\tYes",
            "`FOLDER/color.txt`, line 1: no fourth field, the response; these are the questions",
        ),
        (
            "a\tb\tYes\tx\na\tb\tNo\tYes\tor no",
            "`FOLDER/color.txt`, line 2: 5 fields, expected four",
        ),
        ("yes", "`FOLDER/color.txt`, line 1: 1 fields, expected four"),
    ];
    for (content, expected) in cases {
        let error = read("color.txt", content).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn faults_of_other_programs_files_name_the_record() {
    let cases = [
        (
            "[1, 2]",
            "`FILE`: invalid type: integer `1`, expected a map at line 1 column 3",
        ),
        ("[]", "`FILE`: an empty array; it holds no prediction"),
        (
            "[{\"question_id\": 7, \"answer\": \"a\"}, {\"question_id\"",
            "`FILE`: cut off in the middle, at line 1 column 50; copy the file again",
        ),
        (
            "[{\"id\": 7, \"answer\": \"a\"}]",
            "`FILE`, record 1: no id; expected `question_id` and `answer`",
        ),
        (
            "[{\"question_id\": 7}]",
            "`FILE`, record 1: `question_id` without `answer`",
        ),
        (
            "[{\"question_id\": 7, \"answer\": 1}]",
            "`FILE`, record 1: `answer` is not text",
        ),
        (
            "[{\"questionId\": 7.5, \"prediction\": \"\"}]",
            "`FILE`, record 1: `questionId` is neither text nor",
        ),
        (
            "[{\"question_id\": 7, \"answer\": \"a\"}, {\"image\": \"x.jpg\", \"answer\": \"a\"}]",
            "`FILE`, record 2: one of VizWiz answers, the records before are EvalAI answers",
        ),
        (
            "{\"doc_id\": 1}",
            "`FILE`, line 1: `doc_id` without `resps` or `filtered_resps`, lmms-eval's answers",
        ),
        (
            "{\"doc_id\": -1, \"resps\": [\"a\"]}",
            "`FILE`, line 1: `doc_id` is no whole number from 0",
        ),
        (
            "{\"doc_id\": 1, \"resps\": [[\"a\", \"b\"]]}",
            "`FILE`, line 1: `resps` holds 2 answers; one to a sample can be scored",
        ),
        (
            "{\"doc_id\": 1, \"resps\": [[]]}",
            "`FILE`, line 1: `resps` holds 0 answers",
        ),
        (
            "{\"doc_id\": 1, \"filtered_resps\": [null]}",
            "`FILE`, line 1: `filtered_resps` holds no text",
        ),
        (
            "{\"v1_0\": \"a\", \"v1_1\": 3}",
            "`FILE`, member 2: `v1_1` is not text; an object of answers goes",
        ),
        (
            "{\"doc_id\": 1, \"res",
            "`FILE`, line 1: cut off in the middle of an object",
        ),
        (
            "index\tanswer\n1\tA\n",
            "`FILE`: no column `prediction`; a table of predictions has `index` and",
        ),
        (
            "index\tprediction\n1\tA\tB\n",
            "`FILE`, row 2: 3 cells, the header has 2; is the file cut off?",
        ),
        (
            "index\tprediction\n1\t\n",
            "`FILE`: holds no prediction; all cells under `prediction` are empty",
        ),
        ("index\tprediction\n\tA\n", "`FILE`, row 2: `index` is empty"),
        ("PK\u{3}\u{4}broken", "`FILE`: not readable as a spreadsheet: "),
    ];
    for (content, expected) in cases {
        let error = read(content).unwrap_err();
        assert!(error.starts_with(expected), "{content}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
    let error = read_bytes(b"index\tprediction\n1\t\xFF\n").unwrap_err();
    assert_eq!(error, "`FILE`, row 2: not UTF-8; save the file as UTF-8");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(
        start in prop::sample::select(vec!["", "[", "{", "[{", "PK\u{3}\u{4}", "index\tprediction\n"]),
        rest: String,
    ) {
        let _ = read(&format!("{start}{rest}"));
    }

    #[test]
    fn any_text_survives_as_an_answer(text: String, id: String) {
        let line = serde_json::json!({ "id": id, "answer": text });
        let file = read(&line.to_string()).unwrap();
        prop_assert_eq!(&file.predictions, &[answer(PredictionKey::Sample(id), None, &text, 1)]);
    }
}
