//! MMBench from the real upload to the published number.

use std::collections::BTreeMap;

use super::fixture::{answers, load};
use super::{MmBench, ROTATION, infer};
use crate::benchmark::Benchmark;
use crate::metric::Score;
use crate::prediction::PredictionFile;
use crate::reference_data;
use crate::task::{PromptStyle, Protocol};

fn value(score: &Score, id: &str) -> f64 {
    score.metric(id).unwrap().value.clone().unwrap()
}

#[test]
fn llava_15_13b_scores_what_the_paper_says() {
    let Some(folder) = reference_data::folder("mmbench: llava_15_13b_scores_what_the_paper_says") else {
        return;
    };
    let folder = folder.join("llava-eval");
    let upload = folder.join("mmbench/answers_upload/mmbench_dev_20230712/llava-v1.5-13b.xlsx");
    let lines = folder.join("mmbench/answers/mmbench_dev_20230712/llava-v1.5-13b.jsonl");
    let data = load(&folder, None).unwrap();
    assert_eq!(
        (data.samples().len(), data.provenance().split.as_str()),
        (4377, MmBench.default_split())
    );
    assert!(data.provenance().files[0].sha256.starts_with("84567efa0a91265f"));
    let file = PredictionFile::read(&lines).unwrap();
    assert!(file.sha256.starts_with("3f14fbd16b09c229"), "{}", file.sha256);
    // The prompts in the answer file are those that were asked, but for hints and the last line.
    for (index, prediction) in file.predictions.iter().enumerate() {
        let prompt = data.prompt(index, PromptStyle::Paper);
        let (asked, _) = prompt.rsplit_once('\n').unwrap();
        assert!(prediction.prompt.as_ref().unwrap().ends_with(asked), "{asked}");
    }
    let read = answers(&*data, &upload).unwrap();
    assert_eq!(read, answers(&*data, &lines).unwrap());
    for protocol in Protocol::ALL {
        let score = data.score(&read, *protocol).unwrap();
        assert_eq!((score.answered, score.unparsed, score.empty), (4377, 0, 0));
        let rows = [
            ("accuracy", 796.0, 1176),
            ("accuracy/vanilla-base", 887.0, 1176),
            ("accuracy/vanilla-all", 3346.0, 4377),
            ("rule-matched", 4377.0, 4377),
        ];
        assert_eq!(score.metrics.len(), rows.len());
        for (id, hits, n) in rows {
            assert_eq!(score.metric(id).unwrap().n, n, "{id}");
            assert!((value(&score, id) - 100.0 * hits / n as f64).abs() < 1e-9, "{id}");
        }
        let mut by_rotation: BTreeMap<u64, (f64, usize)> = BTreeMap::new();
        let mut by_question: BTreeMap<usize, (f64, usize)> = BTreeMap::new();
        for (sample, scored) in data.samples().iter().zip(&score.samples) {
            let rotation = sample.id.as_str().parse::<u64>().unwrap() / ROTATION;
            let right = scored.score.unwrap();
            let counts = by_rotation.entry(rotation).or_default();
            *counts = (counts.0 + right, counts.1 + 1);
            let counts = by_question.entry(sample.scoring_group).or_default();
            *counts = (counts.0 + right, counts.1 + 1);
        }
        let expected = [(887.0, 1176), (894.0, 1176), (829.0, 1087), (736.0, 938)];
        assert_eq!(by_rotation.into_values().collect::<Vec<_>>(), expected);
        for (rotations, hits, of) in [(2, 66, 89), (3, 80, 149), (4, 650, 938)] {
            let questions: Vec<f64> = by_question
                .values()
                .filter(|counts| counts.1 == rotations)
                .map(|counts| counts.0)
                .collect();
            let circular = questions.iter().filter(|right| **right == rotations as f64).count();
            assert_eq!((circular, questions.len()), (hits, of), "{rotations} rotations");
        }
    }
    let mut letters: BTreeMap<&str, usize> = BTreeMap::new();
    let no_option: [String; 0] = [];
    for answer in read.iter().flatten() {
        *letters
            .entry(infer::early(answer, &no_option).unwrap().id())
            .or_default() += 1;
    }
    assert_eq!(
        letters,
        BTreeMap::from([("A", 1160), ("B", 1171), ("C", 1083), ("D", 963)])
    );
}
