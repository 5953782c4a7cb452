//! A paired difference measured on part of a benchmark's questions, as an estimate of the difference on all of them:
//! how wide its interval is, and how large a part a given width needs.
//!
//! The questions are fixed, only the part is drawn, so the variance is that of sampling without replacement: times
//! `1 − n / N` (Cochran, Sampling Techniques, 3rd edition, 2.6), 0 where every question has been asked.

use benchmarks::Ratio;

use super::interval::student;
use super::paired::Difference;

/// The 97.5 % point of the standard normal distribution.
const NORMAL_975: f64 = 1.959_963_984_540_054;

/// A difference measured on `asked` of `all` samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Part {
    /// Variance of the influences at `asked` samples.
    variance: f64,
    /// Sum of the ratios' weights: what one sample moves is this over the samples.
    weight: f64,
    clusters: usize,
    asked: usize,
    all: usize,
}

impl Part {
    /// From a comparison whose candidate has the terms `candidate`.
    pub fn new(difference: &Difference, candidate: &[Ratio], asked: usize, all: usize) -> Self {
        let weight: f64 = candidate.iter().map(|ratio| ratio.weight.abs()).sum();
        let flips = 2.0 * (weight / asked as f64).powi(2);
        Self {
            variance: (difference.standard_error.powi(2) - flips).max(0.0),
            weight,
            clusters: difference.clusters,
            asked,
            all: all.max(asked),
        }
    }

    /// Half the width of the 95 % interval.
    pub fn half_width(&self) -> f64 {
        let t = student(0.975, self.clusters.saturating_sub(1) as f64).unwrap_or(NORMAL_975);
        self.width_at(self.asked, t)
    }

    /// How many samples give an interval of that half width, if they flip as those asked did; at most all.
    pub fn needed(&self, half_width: f64) -> usize {
        let (mut few, mut enough) = (1, self.all);
        while few < enough {
            let middle = few + (enough - few) / 2;
            if self.width_at(middle, NORMAL_975) <= half_width {
                enough = middle;
            } else {
                few = middle + 1;
            }
        }
        enough
    }

    /// As if one more sample had flipped each way, at any size: what has not been seen to flip may.
    fn width_at(&self, samples: usize, t: f64) -> f64 {
        let n = samples as f64;
        let variance = self.variance * self.asked as f64 / n + 2.0 * (self.weight / n).powi(2);
        t * (variance * (1.0 - n / self.all as f64).max(0.0)).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use benchmarks::Term;

    use super::*;
    use crate::statistics::{Margin, compare};

    const PLAIN: Margin = Margin {
        worse: 0.0,
        equivalent: None,
        alpha: 0.05,
    };

    fn mean(values: impl Iterator<Item = bool>) -> Vec<Ratio> {
        let terms = values.enumerate().map(|(sample, right)| Term {
            sample,
            numerator: f64::from(right),
            denominator: 1.0,
        });
        vec![Ratio {
            weight: 100.0,
            terms: terms.collect(),
        }]
    }

    fn part(asked: usize, flips: usize, all: usize) -> Part {
        let base = mean((0..asked).map(|_| true));
        let candidate = mean((0..asked).map(|sample| sample >= flips));
        let clusters: Vec<usize> = (0..asked).collect();
        let difference = compare(&base, &candidate, &clusters, PLAIN).unwrap();
        Part::new(&difference, &candidate, asked, all)
    }

    #[test]
    fn all_questions_leave_no_doubt_and_fewer_leave_more() {
        assert_eq!(part(200, 20, 200).half_width(), 0.0);
        let widths = [100_000, 400, 250].map(|all| part(200, 20, all).half_width());
        assert!(widths[0] > widths[1] && widths[1] > widths[2], "{widths:?}");
        // One flip in ten, and as if one more each way: 1.972 · 100 · √(0.1 · 0.9 / 199 + 2 / 200²).
        assert!((widths[0] - 4.41).abs() < 0.02, "{widths:?}");
    }

    #[test]
    fn what_is_needed_is_just_enough() {
        let pilot = part(200, 20, 100_000);
        let needed = pilot.needed(0.5);
        assert!((12_000..14_000).contains(&needed), "{needed}");
        assert!(pilot.width_at(needed, NORMAL_975) <= 0.5 && pilot.width_at(needed - 1, NORMAL_975) > 0.5);
        assert_eq!(part(200, 20, 500).needed(1e-9), 500);
        // Nothing flipped: 1.96 · √2 · 100 / n.
        assert!((540..=560).contains(&part(200, 0, 1_000_000).needed(0.5)));
    }
}
