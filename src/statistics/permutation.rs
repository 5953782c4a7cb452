//! The paired cluster permutation test: if two runs are alike, swapping what they said about any picture changes
//! nothing, so the measured difference is one of all those that swapping gives (Fisher, The Design of Experiments,
//! 1935, section 21; with clusters Gail and others, Statistics in Medicine 15, 1996).
//!
//! Only pictures about which the runs differ matter. Up to [`ENUMERATED`] of them every swap is tried; beyond that
//! a fixed number of random ones, always from the same seed, and the measured one counts as one of them.

use benchmarks::Ratio;
use rand::RngCore as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

/// Up to this many differing clusters all 2ⁿ swaps are tried.
const ENUMERATED: usize = 12;

/// Random swaps beyond that.
pub(super) const DRAWS: usize = 9_999;

const SEED: u64 = 0x76_69_6c_61;

/// The shares of swaps whose difference is at least as extreme as the measured one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shares {
    /// In either direction.
    pub(super) two_sided: f64,
    /// Towards the candidate being worse.
    pub(super) worse: f64,
    /// All swaps were tried.
    pub(super) exact: bool,
}

/// Sums of one ratio in both runs, and how much swapping a cluster moves from the candidate to the base.
struct Sums {
    weight: f64,
    base: (f64, f64),
    candidate: (f64, f64),
    /// Position among the differing clusters, numerator, denominator.
    moved: Vec<(usize, f64, f64)>,
}

impl Sums {
    /// Candidate minus base after the swaps that `swapped` marks; `None` where a denominator vanishes.
    fn difference(&self, swapped: &[bool]) -> Option<f64> {
        let (mut numerator, mut denominator) = (0.0, 0.0);
        for (cluster, up, down) in &self.moved {
            if swapped.get(*cluster) == Some(&true) {
                numerator += up;
                denominator += down;
            }
        }
        let base = (self.base.0 + numerator) / nonzero(self.base.1 + denominator)?;
        let candidate = (self.candidate.0 - numerator) / nonzero(self.candidate.1 - denominator)?;
        Some(self.weight * (candidate - base))
    }
}

fn nonzero(value: f64) -> Option<f64> {
    (value.abs() > 1e-9).then_some(value)
}

/// Tests two runs whose ratios have the same weights, in the same order; `draws` random swaps where there are too many
/// to try all.
pub(super) fn test(base: &[Ratio], candidate: &[Ratio], clusters: &[usize], draws: usize) -> Option<Shares> {
    let (sums, differing) = sums(base, candidate, clusters)?;
    let difference =
        |swapped: &[bool]| -> Option<f64> { sums.iter().map(|of_ratio| of_ratio.difference(swapped)).sum() };
    let mut swapped = vec![false; differing];
    let measured = difference(&swapped)?;
    // Equal differences must not part at their last bit.
    let slack = 1e-9 * sums.iter().map(|of_ratio| of_ratio.weight.abs()).sum::<f64>();
    let mut count = Count::default();
    let exact = differing <= ENUMERATED;
    if exact {
        for pattern in 0..1_u64 << differing {
            for (cluster, bit) in swapped.iter_mut().enumerate() {
                *bit = pattern >> cluster & 1 == 1;
            }
            count.add(difference(&swapped), measured, slack);
        }
    } else {
        let mut random = ChaCha8Rng::seed_from_u64(SEED);
        count.add(Some(measured), measured, slack);
        for _ in 0..draws {
            for chunk in swapped.chunks_mut(64) {
                let bits = random.next_u64();
                for (place, bit) in chunk.iter_mut().enumerate() {
                    *bit = bits >> place & 1 == 1;
                }
            }
            count.add(difference(&swapped), measured, slack);
        }
    }
    Some(Shares {
        two_sided: count.extreme as f64 / count.all as f64,
        worse: count.worse as f64 / count.all as f64,
        exact,
    })
}

#[derive(Default)]
struct Count {
    all: usize,
    extreme: usize,
    worse: usize,
}

impl Count {
    /// A swap under which the metric is undefined counts as extreme both ways, to be on the safe side.
    fn add(&mut self, difference: Option<f64>, measured: f64, slack: f64) {
        self.all += 1;
        self.extreme += usize::from(difference.is_none_or(|found| found.abs() >= measured.abs() - slack));
        self.worse += usize::from(difference.is_none_or(|found| found <= measured + slack));
    }
}

/// The sums of every ratio, and how many clusters differ.
fn sums(base: &[Ratio], candidate: &[Ratio], clusters: &[usize]) -> Option<(Vec<Sums>, usize)> {
    let size = clusters.iter().max()? + 1;
    let mut found = Vec::with_capacity(base.len());
    let mut differs = vec![false; size];
    for (of_base, of_candidate) in base.iter().zip(candidate) {
        let mut moved = vec![(0.0, 0.0); size];
        let base = add_up(of_base, clusters, &mut moved, -1.0)?;
        let candidate = add_up(of_candidate, clusters, &mut moved, 1.0)?;
        for (differs, moved) in differs.iter_mut().zip(&moved) {
            *differs |= *moved != (0.0, 0.0);
        }
        found.push((of_base.weight, base, candidate, moved));
    }
    let numbers: Vec<usize> = differs
        .iter()
        .scan(0, |next, differs| {
            let number = *next;
            *next += usize::from(*differs);
            Some(number)
        })
        .collect();
    let sums = found.into_iter().map(|(weight, base, candidate, moved)| Sums {
        weight,
        base,
        candidate,
        moved: moved
            .into_iter()
            .zip(&numbers)
            .filter(|(moved, _)| *moved != (0.0, 0.0))
            .map(|((up, down), number)| (*number, up, down))
            .collect(),
    });
    let differing = differs.iter().filter(|differs| **differs).count();
    Some((sums.collect(), differing))
}

/// The sums of a ratio; each cluster's share, times `sign`, is added to `moved`.
fn add_up(ratio: &Ratio, clusters: &[usize], moved: &mut [(f64, f64)], sign: f64) -> Option<(f64, f64)> {
    let (mut numerator, mut denominator) = (0.0, 0.0);
    for term in &ratio.terms {
        numerator += term.numerator;
        denominator += term.denominator;
        let of_cluster = moved.get_mut(*clusters.get(term.sample)?)?;
        of_cluster.0 += sign * term.numerator;
        of_cluster.1 += sign * term.denominator;
    }
    Some((numerator, denominator))
}

#[cfg(test)]
mod tests {
    use benchmarks::Term;

    use super::*;

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

    #[test]
    fn five_pictures_that_all_got_worse() {
        let (base, candidate) = (mean(&[1.0; 5]), mean(&[0.0; 5]));
        let shares = test(&base, &candidate, &[0, 1, 2, 3, 4], DRAWS).unwrap();
        assert_eq!(
            (shares.two_sided, shares.worse, shares.exact),
            (2.0 / 32.0, 1.0 / 32.0, true)
        );
        let shares = test(&candidate, &base, &[0, 1, 2, 3, 4], DRAWS).unwrap();
        assert_eq!((shares.two_sided, shares.worse), (2.0 / 32.0, 1.0));
    }

    #[test]
    fn a_picture_is_swapped_as_a_whole() {
        let shares = test(&mean(&[1.0; 6]), &mean(&[0.0; 6]), &[0, 0, 0, 1, 1, 1], DRAWS).unwrap();
        assert_eq!(shares.two_sided, 0.5);
    }

    #[test]
    fn equal_runs_do_not_differ() {
        let shares = test(&mean(&[1.0, 0.0]), &mean(&[1.0, 0.0]), &[0, 1], DRAWS).unwrap();
        assert_eq!((shares.two_sided, shares.worse, shares.exact), (1.0, 1.0, true));
    }

    #[test]
    fn random_swaps_agree_with_all_swaps() {
        // Twelve pictures are enumerated; a thirteenth that differs by next to nothing makes them random.
        let signs = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0];
        let base: Vec<f64> = signs.to_vec();
        let candidate: Vec<f64> = signs.iter().map(|sign| 1.0 - sign).collect();
        let clusters: Vec<usize> = (0..13).collect();
        let exact = test(&mean(&base), &mean(&candidate), &clusters, DRAWS).unwrap();
        let more = |values: &[f64], last: f64| mean(&[values, &[last]].concat());
        let drawn = test(&more(&base, 0.0), &more(&candidate, 1e-8), &clusters, DRAWS).unwrap();
        assert!(exact.exact && !drawn.exact);
        assert!((exact.two_sided - drawn.two_sided).abs() < 0.02, "{exact:?} {drawn:?}");
        assert_eq!(
            test(&more(&base, 0.0), &more(&candidate, 1e-8), &clusters, DRAWS),
            Some(drawn)
        );
    }
}
