//! How a judge's grades differ from those that another gave the same answers.

use benchmarks::{Metric, MetricId, Ratio, Score, Task, Term};
use serde::Serialize;

use crate::statistics::uncertainty;
use crate::table::{Table, left, right};

/// `calibration_<judge>.json`. See `results/FORMATS.md` for every field.
#[derive(Debug, Serialize)]
pub struct Calibration<'a> {
    /// Version of this document.
    pub format: u32,
    /// Benchmark.
    pub task: Task,
    /// The judge that was measured.
    pub judge: &'a str,
    /// How often it graded each answer.
    pub runs: u32,
    /// One entry a grade file.
    pub comparisons: &'a [Comparison],
}

/// A judge beside a reference, over the answers that both graded. Scores in points: 100 times the mean grade.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The grade file that it is compared with.
    pub reference: String,
    /// Who graded there; absent where the file does not say.
    pub reference_judge: Option<String>,
    /// Answers that both graded.
    pub n: usize,
    /// Answers that the reference graded and the judge did not; in nothing below.
    pub ungraded: usize,
    /// The reference's score of these answers.
    pub reference_score: Option<f64>,
    /// The judge's.
    pub judge_score: Option<f64>,
    /// The judge's minus the reference's.
    pub shift: Option<f64>,
    /// Standard error of the shift, clustered by picture.
    pub stderr: Option<f64>,
    /// 95 % interval from it.
    pub ci95: Option<(f64, f64)>,
    /// Pearson's correlation of the grades; absent where one of the two never varies.
    pub correlation: Option<f64>,
    /// Per cent of the answers whose grades are equal.
    pub equal: Option<f64>,
    /// Mean of the grades' absolute differences, in points.
    pub mean_difference: Option<f64>,
}

impl Comparison {
    /// Compares two scores of the same answers; `clusters` holds the picture of every sample.
    pub fn new(
        reference: (String, Option<String>),
        of_reference: &Score,
        of_judge: &Score,
        clusters: &[usize],
    ) -> Self {
        let both = of_reference.samples.iter().zip(&of_judge.samples).enumerate();
        let graded: Vec<(usize, f64, Option<f64>)> = both
            .filter_map(|(sample, (reference, judge))| Some((sample, reference.score?, judge.score)))
            .collect();
        let pairs: Vec<(usize, f64, f64)> = graded
            .iter()
            .filter_map(|(sample, reference, judge)| Some((*sample, *reference, (*judge)?)))
            .collect();
        let mean = |value: fn(&(usize, f64, f64)) -> f64| {
            (!pairs.is_empty()).then(|| pairs.iter().map(value).sum::<f64>() / pairs.len() as f64)
        };
        let percent = |mean: Option<f64>| mean.map(|mean| 100.0 * mean);
        let shift = shift(&pairs);
        let spread = uncertainty(&shift, clusters);
        let (reference, reference_judge) = reference;
        Self {
            reference,
            reference_judge,
            n: pairs.len(),
            ungraded: graded.len() - pairs.len(),
            reference_score: percent(mean(|pair| pair.1)),
            judge_score: percent(mean(|pair| pair.2)),
            shift: shift.value.ok(),
            stderr: spread.map(|spread| spread.standard_error),
            ci95: spread.map(|spread| spread.interval),
            correlation: correlation(&pairs),
            equal: percent(mean(|pair| f64::from((pair.1 - pair.2).abs() < 1e-9))),
            mean_difference: percent(mean(|pair| (pair.1 - pair.2).abs())),
        }
    }
}

/// One row a grade file.
pub fn table(comparisons: &[Comparison]) -> Table {
    let mut table = Table::new(&[
        left("reference"),
        right("n"),
        right("reference score"),
        right("judge's score"),
        right("shift"),
        right("95 % interval"),
        right("mean difference"),
        right("correlation"),
        right("equal, %"),
        right("ungraded"),
    ]);
    let two = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"));
    for row in comparisons {
        let interval = row.ci95.map(|(low, high)| format!("{low:+.2} to {high:+.2}"));
        table.row([
            row.reference.clone(),
            row.n.to_string(),
            two(row.reference_score),
            two(row.judge_score),
            row.shift.map_or_else(|| "–".to_owned(), |shift| format!("{shift:+.2}")),
            interval.unwrap_or_default(),
            two(row.mean_difference),
            two(row.correlation),
            two(row.equal),
            row.ungraded.to_string(),
        ]);
    }
    table
}

/// The mean difference as a metric, whose uncertainty is that of any other: questions about one picture stand
/// together.
fn shift(pairs: &[(usize, f64, f64)]) -> Metric {
    let terms = pairs.iter().map(|(sample, reference, judge)| Term {
        sample: *sample,
        numerator: judge - reference,
        denominator: 1.0,
    });
    let ratio = Ratio {
        weight: 100.0,
        terms: terms.collect(),
    };
    Metric {
        id: MetricId::new("shift"),
        value: ratio.value().ok_or_else(|| "no answer graded by both".to_owned()),
        bounds: None,
        n: pairs.len(),
        ratios: vec![ratio],
    }
}

fn correlation(pairs: &[(usize, f64, f64)]) -> Option<f64> {
    let n = pairs.len() as f64;
    let (x, y) = (
        pairs.iter().map(|pair| pair.1).sum::<f64>() / n,
        pairs.iter().map(|pair| pair.2).sum::<f64>() / n,
    );
    let sum =
        |product: &dyn Fn(f64, f64) -> f64| -> f64 { pairs.iter().map(|pair| product(pair.1 - x, pair.2 - y)).sum() };
    let (xy, xx, yy) = (sum(&|a, b| a * b), sum(&|a, _| a * a), sum(&|_, b| b * b));
    (xx > 0.0 && yy > 0.0).then(|| xy / (xx * yy).sqrt())
}

#[cfg(test)]
mod tests {
    use benchmarks::SampleScore;

    use super::*;

    fn score(values: &[Option<f64>]) -> Score {
        let sample = |score: &Option<f64>| SampleScore {
            parsed: None,
            score: *score,
        };
        Score {
            samples: values.iter().map(sample).collect(),
            metrics: Vec::new(),
            answered: values.len(),
            unparsed: 0,
            empty: 0,
        }
    }

    fn compared(reference: &[Option<f64>], judge: &[Option<f64>], clusters: &[usize]) -> Comparison {
        Comparison::new(("r".to_owned(), None), &score(reference), &score(judge), clusters)
    }

    fn close(found: Option<f64>, expected: f64) {
        assert!(
            found.is_some_and(|found| (found - expected).abs() < 1e-9),
            "{found:?} is not {expected}"
        );
    }

    #[test]
    fn a_judge_is_compared_over_what_both_graded() {
        let reference = [Some(0.0), Some(0.5), Some(1.0), None, Some(1.0)];
        let judge = [Some(0.2), Some(0.5), Some(0.8), Some(0.1), None];
        let found = compared(&reference, &judge, &[0, 1, 2, 3, 4]);
        assert_eq!((found.n, found.ungraded), (3, 1));
        close(found.reference_score, 50.0);
        close(found.judge_score, 50.0);
        close(found.shift, 0.0);
        close(found.correlation, 1.0);
        close(found.equal, 100.0 / 3.0);
        close(found.mean_difference, 40.0 / 3.0);
        // Differences 20, 0, -20 points: variance 400 with n - 1, standard error sqrt(400 / 3).
        close(found.stderr, (400.0_f64 / 3.0).sqrt());
    }

    #[test]
    fn questions_about_one_picture_are_one_observation() {
        let (reference, judge) = ([Some(0.0); 4], [Some(0.4), Some(0.0), Some(0.2), Some(0.0)]);
        let apart = compared(&reference, &judge, &[0, 1, 2, 3]);
        let together = compared(&reference, &judge, &[0, 0, 1, 1]);
        close(apart.shift, 15.0);
        // Two pictures of means 20 and 10: the standard error is 5.
        close(together.stderr, 5.0);
        assert_eq!(apart.correlation, None);
    }

    #[test]
    fn nothing_in_common_is_no_number() {
        let found = compared(&[Some(0.5), None], &[None, Some(0.5)], &[0, 1]);
        assert_eq!((found.n, found.ungraded, found.shift, found.equal), (0, 1, None, None));
    }
}
