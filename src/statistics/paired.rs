//! Two runs on the same samples: the difference of one metric with its interval, and tests of it.
//!
//! The difference has the influence `candidate − base` in every cluster; its variance follows as for one run. As if one
//! more sample had flipped each way, twice the square of one sample's share is added, so that two runs that say the
//! same have an interval with a width (Bonett and Price, Journal of Educational and Behavioral Statistics 37, 2012).

use benchmarks::Ratio;
use serde::{Deserialize, Serialize};
use statrs::distribution::{Binomial, ContinuousCDF as _, DiscreteCDF as _, StudentsT};

use super::influence::{linearise, variance};
use super::interval::student;
use super::permutation;

/// The 80 % point of the standard normal distribution: the power at which a difference counts as detectable.
const NORMAL_80: f64 = 0.841_621_233_572_914_4;

/// What is asked of the difference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Margin {
    /// The candidate may be worse by this much, in the metric's unit.
    pub worse: f64,
    /// Differences up to this much count as none, where the user says so.
    pub equivalent: Option<f64>,
    /// The level of the tests.
    pub alpha: f64,
}

/// Which test gave the p-values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Test {
    /// Exact McNemar: one question a picture, right or wrong (McNemar, Psychometrika 12, 1947).
    McNemar,
    /// Every swap of the pictures about which the runs differ.
    PermutationExact,
    /// Random swaps.
    Permutation,
    /// Student's t of the influences: the metric's own weights depend on the answers, or a margin is asked for.
    Student,
}

/// A comparison of one metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// Candidate minus base.
    pub value: f64,
    /// Its standard error, clustered by picture.
    pub standard_error: f64,
    /// 95 % interval.
    pub interval: (f64, f64),
    /// How many pictures it rests on.
    pub clusters: usize,
    /// Chance of a difference at least this large either way between runs that are alike.
    pub p: f64,
    /// Chance of a candidate at least this bad where it is worse by no more than the margin.
    pub p_worse: f64,
    /// Which test gave them.
    pub test: Test,
    /// Chance of a difference at least this small where the runs differ by more than the user's bound (two one-sided
    /// tests: Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15, 1987).
    pub p_apart: Option<f64>,
    /// The difference that this many samples show in four of five comparisons at the level asked for.
    pub detectable: f64,
}

/// Compares the terms of one metric in two runs, over the same samples; `clusters` holds the cluster of every sample.
/// `None` where it is undefined in one of them or rests on fewer than two clusters.
pub fn compare(base: &[Ratio], candidate: &[Ratio], clusters: &[usize], margin: Margin) -> Option<Difference> {
    compare_with(base, candidate, clusters, margin, permutation::DRAWS)
}

pub(super) fn compare_with(
    base: &[Ratio],
    candidate: &[Ratio],
    clusters: &[usize],
    margin: Margin,
    draws: usize,
) -> Option<Difference> {
    let (of_base, of_candidate) = (linearise(base, clusters)?, linearise(candidate, clusters)?);
    let value = of_candidate.value - of_base.value;
    let pairs = of_base.influence.iter().zip(&of_candidate.influence);
    let influence: Vec<f64> = pairs
        .filter(|pair| pair.0.is_some() || pair.1.is_some())
        .map(|(base, candidate)| candidate.unwrap_or(0.0) - base.unwrap_or(0.0))
        .collect();
    let samples = of_base.samples.max(of_candidate.samples);
    let share = candidate.iter().map(|ratio| ratio.weight.abs()).sum::<f64>() / samples as f64;
    let standard_error = (variance(influence.iter().copied())? + 2.0 * share * share).sqrt();
    let degrees = (influence.len() - 1) as f64;
    let t = student(0.975, degrees)?;
    let below = |distance: f64| -> Option<f64> {
        let student = StudentsT::new(0.0, 1.0, degrees).ok()?;
        Some(student.cdf(distance / standard_error))
    };
    let (test, p, p_without_margin) = significance(base, candidate, clusters, draws, below(value)?)?;
    let (test, p_worse) = if margin.worse > 0.0 {
        (Test::Student, below(value + margin.worse)?)
    } else {
        (test, p_without_margin)
    };
    let p_apart = match margin.equivalent {
        Some(within) => Some(f64::max(below(value - within)?, 1.0 - below(value + within)?)),
        None => None,
    };
    Some(Difference {
        value,
        standard_error,
        interval: (value - t * standard_error, value + t * standard_error),
        clusters: influence.len(),
        p,
        p_worse,
        test,
        p_apart,
        detectable: (student(1.0 - margin.alpha / 2.0, degrees)? + NORMAL_80) * standard_error,
    })
}

/// The test that fits the terms, its two-sided p-value and the one-sided one of a worse candidate.
fn significance(
    base: &[Ratio],
    candidate: &[Ratio],
    clusters: &[usize],
    draws: usize,
    student_below: f64,
) -> Option<(Test, f64, f64)> {
    if let Some((wrong, right)) = discordant(base, candidate, clusters) {
        let (two_sided, worse) = mcnemar(wrong, right)?;
        return Some((Test::McNemar, two_sided, worse));
    }
    let alike = base.len() == candidate.len() && base.iter().zip(candidate).all(|(a, b)| a.weight == b.weight);
    if !alike {
        let two_sided = 2.0 * f64::min(student_below, 1.0 - student_below);
        return Some((Test::Student, two_sided, student_below));
    }
    let shares = permutation::test(base, candidate, clusters, draws)?;
    let test = if shares.exact {
        Test::PermutationExact
    } else {
        Test::Permutation
    };
    Some((test, shares.two_sided, shares.worse))
}

/// How many samples became wrong and right, where the metric is a share of right answers over the same samples with
/// one sample a picture.
fn discordant(base: &[Ratio], candidate: &[Ratio], clusters: &[usize]) -> Option<(u64, u64)> {
    let ([base], [candidate]) = (base, candidate) else {
        return None;
    };
    if base.terms.len() != candidate.terms.len() {
        return None;
    }
    let mut seen = vec![false; clusters.iter().max()? + 1];
    let (mut wrong, mut right) = (0, 0);
    for (before, after) in base.terms.iter().zip(&candidate.terms) {
        let plain = |value: f64| value == 0.0 || value == 1.0;
        let seen = seen.get_mut(*clusters.get(before.sample)?)?;
        let fits = before.sample == after.sample
            && before.denominator == 1.0
            && after.denominator == 1.0
            && plain(before.numerator)
            && plain(after.numerator);
        if *seen || !fits {
            return None;
        }
        *seen = true;
        wrong += u64::from(before.numerator > after.numerator);
        right += u64::from(before.numerator < after.numerator);
    }
    Some((wrong, right))
}

/// Exact McNemar: each flip is a fair coin. Two-sided, and towards more flips to wrong.
fn mcnemar(wrong: u64, right: u64) -> Option<(f64, f64)> {
    let flips = Binomial::new(0.5, wrong + right).ok()?;
    let two_sided = (2.0 * flips.cdf(wrong.min(right))).min(1.0);
    // At least `wrong` of the flips are to wrong just where at most `right` are to right.
    Some((two_sided, flips.cdf(right)))
}

#[cfg(test)]
mod tests {
    use benchmarks::Term;

    use super::*;

    const PLAIN: Margin = Margin {
        worse: 0.0,
        equivalent: None,
        alpha: 0.05,
    };

    fn mean(values: &[f64]) -> Vec<Ratio> {
        let terms = values.iter().enumerate().map(|(sample, &numerator)| Term {
            sample,
            numerator,
            denominator: 1.0,
        });
        vec![Ratio {
            weight: 100.0,
            terms: terms.collect(),
        }]
    }

    /// 0-1 scores of `n` samples of which the last `wrong` become wrong and the first `right` become right.
    fn flipped(n: usize, wrong: usize, right: usize) -> (Vec<Ratio>, Vec<Ratio>) {
        let base: Vec<f64> = (0..n).map(|sample| f64::from(u8::from(sample >= right))).collect();
        let candidate: Vec<f64> = (0..n).map(|sample| f64::from(u8::from(sample < n - wrong))).collect();
        (mean(&base), mean(&candidate))
    }

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-9, "{a} is not {b}");
    }

    #[test]
    fn mcnemar_is_a_coin_tossed_once_a_flip() {
        let (two_sided, worse) = mcnemar(10, 2).unwrap();
        // 2 · (1 + 12 + 66) / 2¹².
        close(two_sided, 158.0 / 4096.0);
        close(worse, 79.0 / 4096.0);
        assert_eq!(mcnemar(0, 0), Some((1.0, 1.0)));
        close(mcnemar(2, 10).unwrap().1, 1.0 - 13.0 / 4096.0);
    }

    #[test]
    fn one_question_a_picture_takes_mcnemar_and_several_the_permutation() {
        let (base, candidate) = flipped(40, 10, 2);
        let singles: Vec<usize> = (0..40).collect();
        let pairs: Vec<usize> = (0..40).map(|n| n / 2).collect();
        let found = compare(&base, &candidate, &singles, PLAIN).unwrap();
        assert_eq!((found.test, found.value, found.clusters), (Test::McNemar, -20.0, 40));
        close(found.p, 158.0 / 4096.0);
        let found = compare(&base, &candidate, &pairs, PLAIN).unwrap();
        assert_eq!((found.test, found.clusters), (Test::PermutationExact, 20));
        // Five pictures with two questions that became wrong, one with two that became right: 7 of 2⁶ swaps are as bad.
        close(found.p_worse, 7.0 / 64.0);
    }

    #[test]
    fn the_interval_of_a_paired_difference_is_bonett_and_prices() {
        let (n, wrong, right) = (1000_usize, 30_usize, 10_usize);
        let (base, candidate) = flipped(n, wrong, right);
        let clusters: Vec<usize> = (0..n).collect();
        let found = compare(&base, &candidate, &clusters, PLAIN).unwrap();
        let (p12, p21) = (31.0 / 1002.0, 11.0 / 1002.0);
        let theirs = 100.0 * ((p12 + p21 - (p12 - p21) * (p12 - p21)) / 1002.0_f64).sqrt();
        assert!(
            (found.standard_error / theirs - 1.0).abs() < 0.005,
            "{} {theirs}",
            found.standard_error
        );
        assert!(found.interval.1 < 0.0 && found.p < 0.01);
    }

    #[test]
    fn equal_runs_have_an_interval_with_a_width_and_a_detectable_difference() {
        let (base, candidate) = flipped(1000, 0, 0);
        let clusters: Vec<usize> = (0..1000).collect();
        let margin = Margin {
            equivalent: Some(0.5),
            ..PLAIN
        };
        let found = compare(&base, &candidate, &clusters, margin).unwrap();
        assert_eq!((found.value, found.p, found.p_worse), (0.0, 1.0, 1.0));
        assert!(found.interval.0 < -0.2 && found.interval.1 < 0.3);
        assert!(found.detectable > 0.3 && found.detectable < 0.5, "{}", found.detectable);
        assert!(found.p_apart.unwrap() < 0.001);
    }

    #[test]
    fn a_margin_forgives_what_lies_within_it() {
        let (base, candidate) = flipped(1000, 40, 10);
        let clusters: Vec<usize> = (0..1000).collect();
        let with = |worse| compare(&base, &candidate, &clusters, Margin { worse, ..PLAIN }).unwrap();
        assert!(with(0.0).p_worse < 0.001);
        assert!(with(1.0).p_worse < 0.01 && with(1.0).test == Test::Student);
        assert!(with(3.0).p_worse > 0.4);
    }

    #[test]
    fn equivalence_needs_certainty_both_ways() {
        let (base, candidate) = flipped(100, 3, 3);
        let clusters: Vec<usize> = (0..100).collect();
        let apart = |within| {
            let margin = Margin {
                equivalent: Some(within),
                ..PLAIN
            };
            compare(&base, &candidate, &clusters, margin).unwrap().p_apart.unwrap()
        };
        assert!(apart(0.5) > 0.3);
        assert!(apart(10.0) < 0.001);
    }

    #[test]
    fn metrics_whose_weights_depend_on_the_answers_are_compared_by_their_influences() {
        let (base, mut candidate) = flipped(200, 30, 10);
        candidate[0].weight = 99.0;
        let clusters: Vec<usize> = (0..200).map(|n| n / 2).collect();
        let found = compare(&base, &candidate, &clusters, PLAIN).unwrap();
        assert_eq!(found.test, Test::Student);
        close(found.p, 2.0 * found.p_worse);
    }
}
