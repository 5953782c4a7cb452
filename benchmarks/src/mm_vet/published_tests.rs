//! MM-Vet from the real grade files to the organisers' tables.

use std::collections::BTreeSet;
use std::fs;

use super::MmVet;
use crate::benchmark::{Benchmark, Dataset};
use crate::export::Export;
use crate::matching::match_predictions;
use crate::metric::Score;
use crate::prediction::{PredictionFile, PredictionOutcome};
use crate::reference_data;
use crate::source::DataSource;
use crate::task::Protocol;

fn texts(data: &dyn Dataset, file: &PredictionFile) -> Vec<Option<String>> {
    let text = |outcome| match outcome {
        PredictionOutcome::Answer(text) => Some(text),
        PredictionOutcome::Failed(_) => None,
    };
    let outcomes = match_predictions(data, file).unwrap();
    outcomes.into_iter().map(|outcome| outcome.and_then(text)).collect()
}

fn value(score: &Score, id: &str) -> f64 {
    score.metric(id).unwrap().value.clone().unwrap()
}

/// `np.round(x, 1)`
fn numpy_round(value: f64) -> f64 {
    (value * 10.0).round_ties_even() / 10.0
}

/// `mm-vet.md`, section 10: metric, LLaVA-1.5-13B with one run, with three.
const PUBLISHED: [(&str, f64, f64); 23] = [
    ("total", 36.1468, 36.3150),
    ("capability/rec", 40.6000, 40.5333),
    ("capability/ocr", 28.0208, 28.4375),
    ("capability/know", 23.4524, 23.4524),
    ("capability/gen", 24.3750, 24.2500),
    ("capability/spat", 34.6667, 35.1556),
    ("capability/math", 7.6923, 8.8462),
    ("integration/gen+know+rec", 23.0645, 23.0108),
    ("integration/rec", 67.5676, 67.5676),
    ("integration/ocr+spat", 33.0769, 33.7179),
    ("integration/math+ocr+spat", 14.2857, 16.4286),
    ("integration/rec+spat", 75.0, 75.0),
    ("integration/ocr", 55.0, 55.0),
    ("integration/math+ocr", 0.0, 0.0),
    ("integration/know+rec", 28.8889, 28.8889),
    ("integration/gen+ocr+rec+spat", 46.25, 45.0),
    ("integration/gen+know+ocr+rec", 16.25, 16.6667),
    ("integration/ocr+rec+spat", 14.2857, 14.2857),
    ("integration/ocr+rec", 75.0, 75.0),
    ("integration/know+ocr+spat", 16.6667, 16.6667),
    ("integration/know+rec+spat", 50.0, 50.0),
    ("integration/gen+ocr+spat", 10.0, 10.0),
    ("integration/math+ocr+rec+spat", 0.0, 0.0),
];

#[test]
fn llava_15_13b_scores_what_the_organisers_tables_say() {
    let Some(folder) = reference_data::folder("llava_15_13b_scores_what_the_organisers_tables_say") else {
        return;
    };
    let folder = folder.join("llava-eval/mm-vet");
    for (runs, hash, std) in [(1, "f6cf024f900bf66c", 0.0), (3, "437a80db3349d87a", 0.1689)] {
        let grades = folder.join(format!("results/llava-v1.5-13b_gpt-4-grade-{runs}runs.json"));
        let source = DataSource {
            root: folder.clone(),
            images: None,
            split: None,
            grades: Some(grades),
        };
        let data = MmVet.load(&source).unwrap();
        assert_eq!(
            (data.samples().len(), data.provenance().split.as_str()),
            (218, MmVet.default_split())
        );
        let pictures: BTreeSet<String> = data.samples().iter().map(|sample| sample.picture_group()).collect();
        assert_eq!(pictures.len(), 200);
        let hashes: Vec<&str> = data.provenance().files.iter().map(|file| &file.sha256[..16]).collect();
        assert_eq!(hashes[1..], ["6eced3121b986509", hash]);
        let llava = PredictionFile::read(&folder.join("answers/llava-v1.5-13b.jsonl")).unwrap();
        let converted = PredictionFile::read(&folder.join("results/llava-v1.5-13b.json")).unwrap();
        let answers = texts(&*data, &llava);
        assert_eq!(answers, texts(&*data, &converted));
        assert_eq!(
            answers.iter().flatten().filter(|answer| answer.contains('\n')).count(),
            33
        );
        for protocol in [Protocol::Paper, Protocol::Official] {
            let score = data.score(&answers, protocol).unwrap();
            assert_eq!((score.answered, score.unparsed), (218, 0));
            for (id, one, three) in PUBLISHED {
                let expected = if runs == 1 { one } else { three };
                let found = value(&score, id);
                assert!((found - expected).abs() < 5e-5, "{id}: {found}, expected {expected}");
            }
            assert_eq!(score.metrics.len(), PUBLISHED.len() + 1);
            assert!((value(&score, "total/std") - std).abs() < 5e-5);
            for table in ["cap-score", "cap-int-score"] {
                let path = folder.join(format!("results/llava-v1.5-13b_gpt-4-{table}-{runs}runs.csv"));
                compare(&fs::read_to_string(path).unwrap(), &score);
            }
        }
    }
}

/// `mm-vet.md`, section 10; the list is not among the files that LLaVA released.
#[test]
fn llava_15_13b_scores_what_the_page_says_on_the_bard_set() {
    let test = "llava_15_13b_scores_what_the_page_says_on_the_bard_set";
    let Some(folder) = reference_data::folder(test) else {
        return;
    };
    let folder = folder.join("llava-eval/mm-vet");
    if !folder.join("bard_set.json").is_file() {
        return reference_data::skip(test, "no `llava-eval/mm-vet/bard_set.json`");
    }
    let source = DataSource {
        root: folder.clone(),
        images: None,
        split: Some("bard".to_owned()),
        grades: Some(folder.join("results/llava-v1.5-13b_gpt-4-grade-1runs.json")),
    };
    let data = MmVet.load(&source).unwrap();
    let answers = PredictionFile::read(&folder.join("answers/llava-v1.5-13b.jsonl")).unwrap();
    let score = data.score(&texts(&*data, &answers), Protocol::Official).unwrap();
    assert_eq!(data.samples().len(), 168);
    assert!((value(&score, "total") - 36.9048).abs() < 5e-5);
}

#[test]
fn the_export_is_llavas_results_file() {
    let Some(folder) = reference_data::folder("the_export_is_llavas_results_file") else {
        return;
    };
    let folder = folder.join("llava-eval/mm-vet");
    let source = DataSource {
        root: folder.clone(),
        images: None,
        split: None,
        grades: None,
    };
    let data = MmVet.load(&source).unwrap();
    let llava = PredictionFile::read(&folder.join("answers/llava-v1.5-13b.jsonl")).unwrap();
    let mut answers = texts(&*data, &llava);
    let results = fs::read(folder.join("results/llava-v1.5-13b.json")).unwrap();
    assert!(data.export(&answers).unwrap() == Export::File(results));
    answers[217] = None;
    let error = data.export(&answers).unwrap_err().to_string();
    assert!(
        error.starts_with("1 of 218 samples have no answer (first: `v1_217`); MM-Vet's grader needs every one"),
        "{error}"
    );
}

/// Every cell of the model's row but the list of runs, whose mean and spread stand beside it.
fn compare(table: &str, score: &Score) {
    let mut lines = table.lines();
    let names = lines.next().unwrap().split(',').skip(1);
    let row = lines.find(|line| line.starts_with("llava-v1.5-13b,")).unwrap();
    let mut compared = 0;
    for (name, cell) in names.zip(row.split(',').skip(1)) {
        let mut parts: Vec<&str> = name.split('_').collect();
        parts.sort_unstable();
        let id = match name {
            "runs" => continue,
            "std" => "total/std".to_owned(),
            "total" => name.to_owned(),
            _ if table.contains("gen_") => format!("integration/{}", parts.join("+")),
            _ => format!("capability/{name}"),
        };
        assert_eq!(numpy_round(value(score, &id)), cell.parse::<f64>().unwrap(), "{id}");
        compared += 1;
    }
    assert_eq!(compared, if table.contains("gen_") { 18 } else { 8 });
}
