//! The standard error of one metric and its 95 % interval.
//!
//! A metric between two bounds (a percentage, MME points) gets a score interval: the values `p` that lie within `t`
//! standard errors, the standard error at `p` being the measured one scaled by `√(p(1 − p) / (v(1 − v)))`. That is
//! Wilson's interval at the effective sample size `v(1 − v) / s²` (Wilson, JASA 22, 1927; for clustered samples Dean and
//! Pagano, Journal of Survey Statistics and Methodology 3, 2015); it stays inside the bounds and keeps its coverage near
//! them, where `value ± 1.96 · error` does not. `t` is Student's, with one degree of freedom less than there are
//! clusters. A metric without bounds gets `value ± t · error`.
//!
//! `s²` itself is a guess where few pictures carry it: near a bound it is small just when the value lies too near the
//! bound, and the interval is short on the side where the truth is. Its relative variance is that of normal influences,
//! for which `t` allows, and `w = Σ e⁴ / (Σ e²)² − 3 / G` more over the influences `e` of `G` pictures (Satterthwaite,
//! Biometrics Bulletin 2, 1946; Carter, Schnepel and Steigerwald, Review of Economics and Statistics 99, 2017, on clusters
//! of which few count). With the weight `w` the log of the sample size is drawn towards that of pictures that are all
//! right or all wrong, Kish's `(Σ b)² / Σ b²` over their shares `b`, where that is smaller. To add a part of a worse
//! design that vanishes as clusters grow in number is Morel, Bokossa and Neerchal's remedy (Biometrical Journal 45, 2003);
//! weight and scale are ours. A share of right answers with one question a picture is not touched. `simulation` checks
//! the coverage, and says where it falls short.

use benchmarks::{Metric, Ratio};
use statrs::distribution::{ContinuousCDF as _, StudentsT};

use super::influence::{Linearised, linearise};

/// The uncertainty of one metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Uncertainty {
    /// Standard error, in the metric's unit, clustered by picture.
    pub standard_error: f64,
    /// 95 % interval, in the metric's unit.
    pub interval: (f64, f64),
    /// How many pictures it rests on.
    pub clusters: usize,
}

/// The uncertainty of `metric`; `clusters` holds the cluster of every sample. `None` where the metric is undefined or
/// rests on fewer than two clusters.
pub fn uncertainty(metric: &Metric, clusters: &[usize]) -> Option<Uncertainty> {
    let value = *metric.value.as_ref().ok()?;
    let linear = linearise(&metric.ratios, clusters)?;
    let standard_error = linear.variance()?.sqrt();
    let t = student(0.975, (linear.clusters() - 1) as f64)?;
    let interval = match bounds(&metric.ratios) {
        Some(bounds) => score_interval(value, bounds, &linear, standard_error, t),
        None => (value - t * standard_error, value + t * standard_error),
    };
    Some(Uncertainty {
        standard_error,
        interval,
        clusters: linear.clusters(),
    })
}

/// The quantile of Student's distribution.
pub(super) fn student(probability: f64, degrees: f64) -> Option<f64> {
    let distribution = StudentsT::new(0.0, 1.0, degrees).ok()?;
    Some(distribution.inverse_cdf(probability))
}

/// The lowest and highest value that the ratios can have, where every term lies between 0 and 1 times its share.
pub(super) fn bounds(ratios: &[Ratio]) -> Option<(f64, f64)> {
    let proper = ratios.iter().all(|ratio| {
        let mut terms = ratio.terms.iter();
        ratio.weight >= 0.0 && terms.all(|term| term.numerator >= 0.0 && term.numerator <= term.denominator)
    });
    let highest: f64 = ratios.iter().map(|ratio| ratio.weight).sum();
    (proper && highest > 0.0).then_some((0.0, highest))
}

fn score_interval(
    value: f64,
    (lowest, highest): (f64, f64),
    linear: &Linearised,
    standard_error: f64,
    t: f64,
) -> (f64, f64) {
    let range = highest - lowest;
    let share = ((value - lowest) / range).clamp(0.0, 1.0);
    let spread = share * (1.0 - share);
    let z = t * t / effective_size(spread, (standard_error / range).powi(2), linear);
    let centre = (share + z / 2.0) / (1.0 + z);
    let half = (z * (spread + z / 4.0)).sqrt() / (1.0 + z);
    let unscaled = |share: f64| lowest + range * share.clamp(0.0, 1.0);
    (unscaled(centre - half).min(value), unscaled(centre + half).max(value))
}

/// How many independent questions say as much as the clusters do.
fn effective_size(spread: f64, variance: f64, linear: &Linearised) -> f64 {
    let squares: f64 = linear.share.iter().map(|share| share * share).sum();
    let all_or_none = linear.share.iter().sum::<f64>().powi(2) / squares;
    // Where all clusters agree, but for the last bits, nothing is known of their spread.
    if variance <= 1e-12 * spread || spread == 0.0 {
        return all_or_none;
    }
    let measured = spread / variance;
    measured * (all_or_none / measured).min(1.0).powf(linear.excess())
}

#[cfg(test)]
mod tests {
    use benchmarks::{MetricId, Term};

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
        ratio(&values.iter().map(|&value| (value, 1.0)).collect::<Vec<_>>())
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
        assert!((a - b).abs() < 1e-9, "{a} is not {b}");
    }

    #[test]
    fn a_mean_of_independent_values_has_the_textbook_error_and_interval() {
        // Variance of 1, 2, 3, 4 with n − 1: 5/3; the 97.5 % point of Student's t with 3 degrees of freedom: 3.18244630528.
        let found = uncertainty(&metric(vec![mean(&[1.0, 2.0, 3.0, 4.0])]), &[0, 1, 2, 3]).unwrap();
        let error = (5.0_f64 / 12.0).sqrt();
        close(found.standard_error, error);
        close(found.interval.0, 2.5 - 3.182_446_305_283 * error);
        assert_eq!(found.clusters, 4);
    }

    #[test]
    fn a_share_has_wilsons_interval() {
        // 8 of 10 with t instead of z: the roots of (0.8 − p)² = t² p (1 − p) / 9, as the n − 1 of the variance has it.
        let values: Vec<f64> = (0..10).map(|n| f64::from(n < 8)).collect();
        let clusters: Vec<usize> = (0..10).collect();
        let (low, high) = uncertainty(&metric(vec![mean(&values)]), &clusters).unwrap().interval;
        let t = student(0.975, 9.0).unwrap();
        for p in [low, high] {
            close((0.8 - p).powi(2), t * t * p * (1.0 - p) / 9.0);
        }
        assert!(low < 0.8 && high > 0.8 && high < 1.0);
    }

    #[test]
    fn at_a_bound_the_interval_stays_inside_and_has_a_width() {
        let clusters: Vec<usize> = (0..40).collect();
        let (low, high) = uncertainty(&metric(vec![mean(&[1.0; 40])]), &clusters)
            .unwrap()
            .interval;
        assert_eq!(high, 1.0);
        assert!(low > 0.85 && low < 0.95, "{low}");
        let (low, high) = uncertainty(&metric(vec![mean(&[0.0; 40])]), &clusters)
            .unwrap()
            .interval;
        assert_eq!(low, 0.0);
        assert!(high > 0.05 && high < 0.15, "{high}");
    }

    #[test]
    fn copies_of_one_question_about_one_picture_add_no_certainty() {
        let once = uncertainty(&metric(vec![mean(&[0.0, 1.0, 1.0])]), &[0, 1, 2]).unwrap();
        let thrice = metric(vec![mean(&[0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])]);
        let thrice = uncertainty(&thrice, &[0, 0, 0, 1, 1, 1, 2, 2, 2]).unwrap();
        close(once.standard_error, thrice.standard_error);
        close(once.interval.0, thrice.interval.0);
    }

    #[test]
    fn few_pictures_that_carry_the_variance_draw_the_size_towards_all_or_none() {
        // Ten pictures of two questions; on one both are wrong, on one only one is.
        let mut values = [1.0; 20];
        values[..3].fill(0.0);
        let clusters: Vec<usize> = (0..20).map(|sample| sample / 2).collect();
        let linear = linearise(&[mean(&values)], &clusters).unwrap();
        // Influences in twentieths: −1.7, −0.7 and 8 times 0.3.
        let (squares, fourths) = (2.89 + 0.49 + 8.0 * 0.09, 2.89 * 2.89 + 0.49 * 0.49 + 8.0 * 0.0081);
        let excess = fourths / (squares * squares) - 0.3;
        close(linear.excess(), excess);
        let (spread, variance) = (0.15 * 0.85, linear.variance().unwrap());
        close(variance, squares / 400.0 * 10.0 / 9.0);
        let measured: f64 = spread / variance;
        let drawn = measured.ln() + (10.0 / measured).ln() * excess;
        assert!(measured > 10.0);
        close(effective_size(spread, variance, &linear), drawn.exp());
        // Uneven pictures that are all right or all wrong: (Σ b)² / Σ b² = 4² / (3² + 1²).
        let linear = linearise(&[mean(&[1.0, 1.0, 1.0, 1.0])], &[0, 0, 0, 1]).unwrap();
        close(effective_size(0.0, 0.0, &linear), 1.6);
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

    #[test]
    fn only_shares_have_bounds() {
        assert_eq!(bounds(&[mean(&[0.0, 1.0]), mean(&[0.5])]), Some((0.0, 2.0)));
        assert_eq!(bounds(&[mean(&[0.0, 1.5])]), None);
        assert_eq!(
            bounds(&[Ratio {
                weight: -1.0,
                ..mean(&[1.0])
            }]),
            None
        );
    }
}
