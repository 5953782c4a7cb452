//! How uncertain a metric is.
//!
//! Questions about one picture are not independent, so the picture is the unit: a metric is a sum of ratios of
//! sums over samples ([`benchmarks::Ratio`]), its linearisation gives each picture an influence, and the variance is
//! that of a sum of independent influences (delta method with clusters: Liang and Zeger, Biometrika 73, 1986;
//! for ratios Cochran, Sampling Techniques, 3rd edition, 6.3). The small-sample factor G / (G - 1) is applied.

use std::collections::{BTreeMap, HashMap};

use benchmarks::{Metric, Sample};

/// The 97.5 % point of the standard normal distribution.
const NORMAL_975: f64 = 1.959_963_984_540_054;

/// The uncertainty of one metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Uncertainty {
    /// Standard error, in the metric's unit, clustered by picture.
    pub standard_error: f64,
    /// 95 % interval, in the metric's unit: normal approximation.
    pub interval: (f64, f64),
    /// How many pictures it rests on.
    pub clusters: usize,
}

/// Numbers the picture of every sample: equal numbers, same picture.
pub fn clusters(samples: &[Sample]) -> Vec<usize> {
    let mut numbers: HashMap<String, usize> = HashMap::new();
    samples
        .iter()
        .map(|sample| {
            let next = numbers.len();
            *numbers.entry(sample.picture_group()).or_insert(next)
        })
        .collect()
}

/// The uncertainty of `metric`; `clusters` holds the cluster of every sample. `None` where the metric is undefined
/// or rests on fewer than two clusters.
pub fn uncertainty(metric: &Metric, clusters: &[usize]) -> Option<Uncertainty> {
    let value = *metric.value.as_ref().ok()?;
    // In the order of the clusters, so that the sum below has the same last bits in every run.
    let mut influence: BTreeMap<usize, f64> = BTreeMap::new();
    for ratio in &metric.ratios {
        let numerator: f64 = ratio.terms.iter().map(|term| term.numerator).sum();
        let denominator: f64 = ratio.terms.iter().map(|term| term.denominator).sum();
        if denominator == 0.0 {
            return None;
        }
        let quotient = numerator / denominator;
        for term in &ratio.terms {
            let cluster = *clusters.get(term.sample)?;
            *influence.entry(cluster).or_default() +=
                ratio.weight * (term.numerator - quotient * term.denominator) / denominator;
        }
    }
    let count = influence.len();
    if count < 2 {
        return None;
    }
    let squares: f64 = influence.values().map(|sum| sum * sum).sum();
    let standard_error = (squares * count as f64 / (count as f64 - 1.0)).sqrt();
    let half = NORMAL_975 * standard_error;
    Some(Uncertainty {
        standard_error,
        interval: (value - half, value + half),
        clusters: count,
    })
}

#[cfg(test)]
mod tests {
    use benchmarks::{MetricId, Ratio, Term};

    use super::*;

    fn metric(ratios: Vec<Ratio>) -> Metric {
        let value = ratios.iter().map(|ratio| ratio.value().unwrap()).sum();
        Metric {
            id: MetricId::new("test"),
            value: Ok(value),
            n: ratios.first().unwrap().terms.len(),
            bounds: None,
            ratios,
        }
    }

    fn mean(values: &[f64]) -> Ratio {
        let terms = values.iter().enumerate();
        let terms = terms.map(|(sample, &numerator)| Term {
            sample,
            numerator,
            denominator: 1.0,
        });
        Ratio {
            weight: 1.0,
            terms: terms.collect(),
        }
    }

    fn ratio(pairs: &[(f64, f64)]) -> Ratio {
        let terms = pairs.iter().enumerate();
        let terms = terms.map(|(sample, &(numerator, denominator))| Term {
            sample,
            numerator,
            denominator,
        });
        Ratio {
            weight: 1.0,
            terms: terms.collect(),
        }
    }

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-12, "{a} is not {b}");
    }

    #[test]
    fn a_mean_of_independent_values_has_the_textbook_standard_error() {
        // Variance of 1, 2, 3, 4 with n - 1: 5/3; standard error sqrt(5/3 / 4).
        let uncertainty = uncertainty(&metric(vec![mean(&[1.0, 2.0, 3.0, 4.0])]), &[0, 1, 2, 3]).unwrap();
        close(uncertainty.standard_error, (5.0_f64 / 12.0).sqrt());
        close(uncertainty.interval.0, 2.5 - NORMAL_975 * (5.0_f64 / 12.0).sqrt());
        assert_eq!(uncertainty.clusters, 4);
    }

    #[test]
    fn copies_of_one_question_about_one_picture_add_no_certainty() {
        let once = uncertainty(&metric(vec![mean(&[0.0, 1.0, 1.0])]), &[0, 1, 2]).unwrap();
        let thrice = metric(vec![mean(&[0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])]);
        let thrice = uncertainty(&thrice, &[0, 0, 0, 1, 1, 1, 2, 2, 2]).unwrap();
        close(once.standard_error, thrice.standard_error);
    }

    #[test]
    fn a_ratio_agrees_with_its_jackknife() {
        let pairs: Vec<(f64, f64)> = (0..200)
            .map(|n| (f64::from(n * 7 % 5), 1.0 + f64::from(n * 3 % 4)))
            .collect();
        let clusters: Vec<usize> = (0..pairs.len()).collect();
        let delta = uncertainty(&metric(vec![ratio(&pairs)]), &clusters)
            .unwrap()
            .standard_error;
        let without = |left: usize| {
            let rest: Vec<_> = pairs
                .iter()
                .enumerate()
                .filter(|(n, _)| *n != left)
                .map(|(_, &pair)| pair)
                .collect();
            ratio(&rest).value().unwrap()
        };
        let n = pairs.len() as f64;
        let values: Vec<f64> = (0..pairs.len()).map(without).collect();
        let mean = values.iter().sum::<f64>() / n;
        let jackknife = ((n - 1.0) / n * values.iter().map(|value| (value - mean).powi(2)).sum::<f64>()).sqrt();
        assert!((delta / jackknife - 1.0).abs() < 0.01, "{delta} against {jackknife}");
    }

    #[test]
    fn parts_that_share_pictures_are_not_taken_for_independent() {
        let half = |ratio: Ratio| Ratio { weight: 0.5, ..ratio };
        let values = [0.0, 1.0, 1.0, 0.0, 1.0];
        let whole = uncertainty(&metric(vec![mean(&values)]), &[0, 1, 2, 3, 4]).unwrap();
        let parts = metric(vec![half(mean(&values)), half(mean(&values))]);
        close(
            uncertainty(&parts, &[0, 1, 2, 3, 4]).unwrap().standard_error,
            whole.standard_error,
        );
    }

    #[test]
    fn one_picture_gives_no_standard_error() {
        assert_eq!(uncertainty(&metric(vec![mean(&[0.0, 1.0])]), &[0, 0]), None);
    }
}
