//! What each picture adds to a metric, to first order.

use benchmarks::Ratio;

/// A sum of ratios, linearised at its value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Linearised {
    /// The sum of the ratios.
    pub(super) value: f64,
    /// By cluster: the sum of the influences of its samples, `None` where it has no sample in the metric. They add up
    /// to 0.
    pub(super) influence: Vec<Option<f64>>,
    /// By cluster: how much of the value rests on it, `weight · Σ denominator of the cluster / Σ denominator`. Together
    /// the sum of the weights.
    pub(super) share: Vec<f64>,
    /// How many samples take part.
    pub(super) samples: usize,
}

/// The influence of a term is `weight · (numerator − quotient · denominator) / Σ denominator`. `None` where a
/// denominator is 0 or a sample has no cluster.
pub(super) fn linearise(ratios: &[Ratio], clusters: &[usize]) -> Option<Linearised> {
    let highest = clusters.iter().max()?;
    let mut influence = vec![None; highest + 1];
    let mut share = vec![0.0; highest + 1];
    let mut takes_part = vec![false; clusters.len()];
    let mut value = 0.0;
    for ratio in ratios {
        let numerator: f64 = ratio.terms.iter().map(|term| term.numerator).sum();
        let denominator: f64 = ratio.terms.iter().map(|term| term.denominator).sum();
        if denominator == 0.0 {
            return None;
        }
        let quotient = numerator / denominator;
        value += ratio.weight * quotient;
        for term in &ratio.terms {
            *takes_part.get_mut(term.sample)? = true;
            let cluster = *clusters.get(term.sample)?;
            *share.get_mut(cluster)? += ratio.weight * term.denominator / denominator;
            let of_cluster = influence.get_mut(cluster)?;
            let of_term = ratio.weight * (term.numerator - quotient * term.denominator) / denominator;
            *of_cluster = Some(of_cluster.unwrap_or(0.0) + of_term);
        }
    }
    Some(Linearised {
        value,
        influence,
        share,
        samples: takes_part.into_iter().filter(|takes_part| *takes_part).count(),
    })
}

impl Linearised {
    /// How many clusters take part.
    pub(super) fn clusters(&self) -> usize {
        self.influence.iter().flatten().count()
    }

    /// By how much the relative variance of the variance exceeds that under normal influences, which Student's t allows
    /// for: their excess kurtosis over their number; 0 where it is less. At most 1.
    pub(super) fn excess(&self) -> f64 {
        let squares = self.influence.iter().flatten().map(|one| one * one);
        let (sum, of_squares) = squares.fold((0.0, 0.0), |(sum, of_squares), one| (sum + one, of_squares + one * one));
        (of_squares / (sum * sum) - 3.0 / self.clusters() as f64).max(0.0)
    }

    /// The variance of the value: the sum of squared influences with the small-sample factor G / (G − 1). `None` with
    /// fewer than two clusters.
    pub(super) fn variance(&self) -> Option<f64> {
        variance(self.influence.iter().flatten().copied())
    }
}

/// As [`Linearised::variance`], of the influences of independent clusters.
pub(super) fn variance(influence: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, squares) = influence.fold((0_usize, 0.0), |(count, squares), one| (count + 1, squares + one * one));
    (count > 1).then(|| squares * count as f64 / (count as f64 - 1.0))
}
