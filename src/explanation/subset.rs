//! Which questions a side run asks: whole pictures and whole scoring groups, spread over the categories, always in the
//! same order, so that a larger part holds every smaller one.

use std::collections::{BTreeMap, HashMap};

use benchmarks::Sample;

use crate::hash::text_sha256;

/// Changing it changes which questions are asked.
const SEED: &str = "vila-bench explain 1";

/// The samples that may be asked, in blocks that are asked together or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subset {
    blocks: Vec<Vec<usize>>,
}

impl Subset {
    /// Of the blocks all of whose samples `answered` holds.
    pub fn new(samples: &[Sample], answered: impl Fn(usize) -> bool) -> Self {
        let mut queues: BTreeMap<&str, Vec<(String, Vec<usize>)>> = BTreeMap::new();
        for block in blocks(samples) {
            let first = block.first().and_then(|&index| samples.get(index));
            if let Some(first) = first.filter(|_| block.iter().all(|&index| answered(index))) {
                let category = first.category.as_deref().unwrap_or_default();
                let order = text_sha256(&format!("{SEED}\n{}", first.id));
                queues.entry(category).or_default().push((order, block));
            }
        }
        let mut queues: Vec<_> = queues
            .into_values()
            .map(|mut queue| {
                queue.sort();
                queue.into_iter()
            })
            .collect();
        let mut ordered = Vec::new();
        loop {
            let before = ordered.len();
            ordered.extend(queues.iter_mut().filter_map(|queue| Some(queue.next()?.1)));
            if ordered.len() == before {
                return Self { blocks: ordered };
            }
        }
    }

    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.blocks.iter().map(Vec::len).sum()
    }

    /// The first blocks with at least `count` samples together.
    pub fn first(&self, count: usize) -> Vec<usize> {
        let mut taken = Vec::new();
        for block in &self.blocks {
            if taken.len() >= count {
                break;
            }
            taken.extend(block);
        }
        taken
    }
}

/// Samples that share a picture or a scoring group, directly or through others, in the order of the data.
fn blocks(samples: &[Sample]) -> Vec<Vec<usize>> {
    let mut leaders: Vec<usize> = (0..samples.len()).collect();
    let mut pictures: HashMap<String, usize> = HashMap::new();
    let mut groups: HashMap<usize, usize> = HashMap::new();
    for (index, sample) in samples.iter().enumerate() {
        let by_picture = *pictures.entry(sample.picture_group()).or_insert(index);
        let by_group = *groups.entry(sample.scoring_group).or_insert(index);
        for other in [by_picture, by_group] {
            let (a, b) = (leader(&leaders, index), leader(&leaders, other));
            if let Some(slot) = leaders.get_mut(a.max(b)) {
                *slot = a.min(b);
            }
        }
    }
    let mut found: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for index in 0..samples.len() {
        found.entry(leader(&leaders, index)).or_default().push(index);
    }
    found.into_values().collect()
}

fn leader(leaders: &[usize], mut index: usize) -> usize {
    while let Some(&next) = leaders.get(index).filter(|next| **next != index) {
        index = next;
    }
    index
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::plan::tests::sample;

    #[test]
    fn pictures_and_scoring_groups_hang_together() {
        // Rotations 0 and 2 are scored together, 2 and 3 show one picture; 1 stands alone.
        let samples = [
            sample(0, 0, 0, 7),
            sample(1, 1, 0, 8),
            sample(2, 2, 0, 7),
            sample(3, 2, 0, 9),
        ];
        assert_eq!(blocks(&samples), [vec![0, 2, 3], vec![1]]);
    }

    #[test]
    fn a_block_without_all_its_answers_is_left_out() {
        let samples = [sample(0, 0, 0, 0), sample(1, 0, 0, 1), sample(2, 1, 0, 2)];
        let subset = Subset::new(&samples, |index| index != 1);
        assert_eq!((subset.len(), subset.first(9)), (1, vec![2]));
    }

    proptest! {
        #[test]
        fn parts_are_whole_blocks_large_enough_nested_and_spread(few in 1_usize..40, more in 0_usize..40) {
            let samples: Vec<Sample> = (0..48).map(|n| sample(n, n / 3, n / 24, n)).collect();
            let subset = Subset::new(&samples, |_| true);
            let (small, large) = (subset.first(few), subset.first(few + more));
            prop_assert!(small.len() >= few && small.len() < few + 3);
            prop_assert!(large.starts_with(&small));
            prop_assert!(small.chunks(3).all(|block| block[0] % 3 == 0 && block[2] == block[0] + 2));
            let of_first = small.iter().filter(|n| **n < 24).count();
            prop_assert!(of_first.abs_diff(small.len() - of_first) <= 3);
        }
    }
}
