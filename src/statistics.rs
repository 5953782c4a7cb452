//! How uncertain a metric is, and whether two runs differ.
//!
//! Questions about one picture are not independent, so the picture is the unit. A metric is a sum of ratios of sums
//! over samples ([`benchmarks::Ratio`]); its linearisation gives each picture an influence, and the variance is that of
//! a sum of independent influences (delta method with clusters: Liang and Zeger, Biometrika 73, 1986; for ratios
//! Cochran, Sampling Techniques, 3rd edition, 6.3). That one form covers means of soft accuracies, F1 and its mean of
//! three, accuracy-plus pairs, circular accuracy by group and average precision. [`interval`] makes intervals of it,
//! [`paired`] compares two runs on the same samples, [`sample_size`] says how many of them a comparison needs, [`holm`]
//! judges many comparisons at once.

mod holm;
mod influence;
mod interval;
mod paired;
mod permutation;
mod sample_size;
#[cfg(test)]
mod simulation;

use std::collections::HashMap;

use benchmarks::Sample;

pub use holm::adjust;
pub use interval::uncertainty;
pub use paired::{Difference, Margin, Test, compare};
pub use sample_size::Part;

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
