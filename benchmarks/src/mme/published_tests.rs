//! MME from the real files to the published numbers.

use std::fs;
use std::path::Path;

use super::fixture::{load, source, texts};
use super::{ALL, Mme};
use crate::benchmark::Benchmark;
use crate::matching::match_predictions;
use crate::metric::Score;
use crate::prediction::PredictionFile;
use crate::reference_data;
use crate::task::{PromptStyle, Protocol};

/// LLaVA-1.5-13B by the official tool: subtask, right answers, questions, right pairs, pairs (`mme.md`, section 10).
const SUBTASKS: [(&str, f64, f64, f64, f64); 14] = [
    ("existence", 57.0, 60.0, 27.0, 30.0),
    ("count", 51.0, 60.0, 21.0, 30.0),
    ("position", 46.0, 60.0, 17.0, 30.0),
    ("color", 54.0, 60.0, 24.0, 30.0),
    ("posters", 254.0, 294.0, 109.0, 147.0),
    ("celebrity", 284.0, 340.0, 118.0, 170.0),
    ("scene", 347.0, 400.0, 149.0, 200.0),
    ("landmark", 360.0, 400.0, 161.0, 200.0),
    ("artwork", 283.0, 400.0, 94.0, 200.0),
    ("OCR", 30.0, 40.0, 10.0, 20.0),
    ("commonsense_reasoning", 103.0, 140.0, 38.0, 70.0),
    ("numerical_calculation", 15.0, 40.0, 1.0, 20.0),
    ("text_translation", 23.0, 40.0, 4.0, 20.0),
    ("code_reasoning", 17.0, 40.0, 1.0, 20.0),
];

const PERCEPTION: f64 = 1531.3187274909965;
const COGNITION: f64 = 295.3571428571429;

fn close(score: &Score, id: &str, expected: f64) {
    let value = *score.metric(id).unwrap().value.as_ref().unwrap();
    assert!((value - expected).abs() < 1e-9, "{id}: {value}, expected {expected}");
}

fn answers_13b(folder: &Path) -> PredictionFile {
    let file = PredictionFile::read(&folder.join("answers/llava-v1.5-13b.jsonl")).unwrap();
    assert!(file.sha256.starts_with("6f9cd5db475782e2"), "{}", file.sha256);
    file
}

#[test]
fn llava_15_13b_scores_what_the_paper_says() {
    let Some(folder) = reference_data::folder("llava_15_13b_scores_what_the_paper_says") else {
        return;
    };
    let file = answers_13b(&folder.join("llava-eval/MME"));
    let by_question_file = load(&folder.join("llava-eval")).unwrap();
    let by_tool = load(&folder.join("llava-eval/MME/eval_tool")).unwrap();
    let layouts = [&by_question_file, &by_tool].map(|data| data.provenance().layout);
    assert_eq!(
        layouts,
        ["LLaVA question file with official labels", "evaluation tool's files"]
    );
    let files = &by_question_file.provenance().files;
    assert!(files[0].sha256.starts_with("9f67707cb72d2a71"), "{}", files[0].sha256);
    assert_eq!((files.len(), by_tool.provenance().files.len()), (15, 14));
    for data in [&by_question_file, &by_tool] {
        assert_eq!((data.samples().len(), data.provenance().split.as_str()), (ALL, "all"));
        let answers = texts(match_predictions(&**data, &file).unwrap());
        for protocol in Protocol::ALL {
            let score = data.score(&answers, *protocol).unwrap();
            assert_eq!(
                (score.answered, score.unparsed, score.empty),
                (ALL, 11, 0),
                "{protocol}"
            );
            close(&score, "perception", PERCEPTION);
            close(&score, "cognition", COGNITION);
            close(&score, "total", PERCEPTION + COGNITION);
            for (subtask, right, asked, right_pairs, pairs) in SUBTASKS {
                let (accuracy, plus) = (100.0 * right / asked, 100.0 * right_pairs / pairs);
                close(&score, &format!("{subtask}/accuracy"), accuracy);
                close(&score, &format!("{subtask}/accuracy-plus"), plus);
                close(&score, &format!("{subtask}/score"), accuracy + plus);
            }
        }
    }
}

#[test]
fn every_layout_asks_what_llava_asked() {
    let Some(folder) = reference_data::folder("every_layout_asks_what_llava_asked") else {
        return;
    };
    let file = answers_13b(&folder.join("llava-eval/MME"));
    let by_question_file = load(&folder.join("llava-eval")).unwrap();
    let by_tool = load(&folder.join("llava-eval/MME/eval_tool")).unwrap();
    let mut two_spaces = 0;
    for (index, prediction) in file.predictions.iter().enumerate() {
        assert_eq!(by_question_file.locate(prediction), Ok(index));
        let asked = prediction.prompt.as_deref().unwrap();
        let other = by_tool.locate(prediction).unwrap();
        assert_eq!(by_tool.samples()[other].id, by_question_file.samples()[index].id);
        for (data, index) in [(&by_question_file, index), (&by_tool, other)] {
            assert_eq!(data.prompt(index, PromptStyle::Paper), asked);
        }
        let lmms = by_question_file.prompt(index, PromptStyle::LmmsEval);
        two_spaces += usize::from(lmms != asked);
    }
    assert_eq!(two_spaces, 7);
    for pair in by_question_file.samples().chunks(2) {
        let [first, second] = pair else {
            panic!("an odd number of questions")
        };
        assert_eq!(first.scoring_group, second.scoring_group);
        assert_eq!(first.pictures[0].key(), second.pictures[0].key());
        assert_eq!(
            (first.reference.as_deref(), second.reference.as_deref()),
            (Some("Yes"), Some("No"))
        );
    }
}

#[test]
fn landmark_labels_of_396_rows_give_their_own_total() {
    let Some(folder) = reference_data::folder("landmark_labels_of_396_rows_give_their_own_total") else {
        return;
    };
    let folder = folder.join("llava-eval/MME");
    let file = answers_13b(&folder);
    let root = tempfile::tempdir().unwrap();
    fs::copy(folder.join("llava_mme.jsonl"), root.path().join("llava_mme.jsonl")).unwrap();
    let tool = root.path().join("eval_tool/Your_Results");
    fs::create_dir_all(&tool).unwrap();
    for (subtask, ..) in SUBTASKS {
        let name = format!("{subtask}.txt");
        fs::copy(folder.join("eval_tool/Your_Results").join(&name), tool.join(&name)).unwrap();
    }
    let path = tool.join("landmark.txt");
    let whole = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    // By the scores that are known, 13B has both questions about one of the missing pictures right, one about the other.
    let data = load(root.path()).unwrap();
    let score = data
        .score(&texts(match_predictions(&*data, &file).unwrap()), Protocol::Paper)
        .unwrap();
    let earned = |picture: &str| -> f64 {
        let samples = data.samples().iter().zip(&score.samples);
        let of_picture = samples.filter(|(sample, _)| sample.pictures[0].key() == format!("landmark/{picture}"));
        of_picture.filter_map(|(_, score)| score.score).sum()
    };
    let mut pictures = lines.chunks(2).map(|pair| pair[0].split('\t').next().unwrap());
    let left_out = [2.0, 1.0].map(|sum| pictures.find(|picture| earned(picture) == sum).unwrap());
    let kept = lines
        .iter()
        .filter(|line| !left_out.contains(&line.split('\t').next().unwrap()));
    fs::write(&path, kept.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let data = load(root.path()).unwrap();
    assert_eq!(
        (data.samples().len(), data.provenance().split.as_str()),
        (ALL, "all-2370")
    );
    let answers = texts(match_predictions(&*data, &file).unwrap());
    let score = data.score(&answers, Protocol::Paper).unwrap();
    assert_eq!(score.samples.iter().filter(|sample| sample.score.is_none()).count(), 4);
    let landmark: f64 = 100.0 * 357.0 / 396.0 + 100.0 * 160.0 / 198.0;
    assert!((landmark - 170.9596).abs() < 5e-5);
    close(&score, "landmark/score", landmark);
    let perception: f64 = PERCEPTION - 170.5 + landmark;
    assert!((perception - 1531.7783).abs() < 5e-5);
    close(&score, "perception", perception);
    let mut source = source(root.path());
    source.split = Some("all".to_owned());
    let error = Mme.load(&source).map(|_| ()).unwrap_err().to_string();
    assert!(
        error.contains("which holds `all-2370` (LLaVA question file with official labels, landmark has 396 of 400)"),
        "{error}"
    );
}
