//! What a run asks, and in which order.
//!
//! Questions about one picture stand side by side. `--limit` takes whole scoring groups, spread over the
//! categories; `--shard` takes whole picture groups; what the journal holds is not asked again.

use std::collections::{BTreeMap, HashMap, HashSet};

use benchmarks::Sample;

use crate::hash::text_sha256;

/// What `--limit` draws by; changing it changes which questions that takes.
pub const LIMIT_SEED: &str = "vila-bench limit 1";

/// `--shard I/N`: part I, from 0, of N.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Which part.
    pub index: usize,
    /// Of how many.
    pub count: usize,
}

impl Shard {
    /// `0-of-4`, as it stands in file names.
    pub fn file_part(self) -> String {
        format!("{}-of-{}", self.index, self.count)
    }
}

impl std::str::FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text
            .split_once('/')
            .and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        match parsed {
            Some((index, count)) if index < count => Ok(Self { index, count }),
            _ => Err(format!("`{text}` is not I/N with I from 0 to N - 1, for instance 0/4")),
        }
    }
}

/// The questions of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Positions in the dataset that this run is about, whatever the journal holds, in the order of asking.
    pub selected: Vec<usize>,
    /// Those of them still to be asked.
    pub open: Vec<usize>,
}

impl Plan {
    /// Plans over `samples`; `answered` holds the ids that need no asking.
    pub fn new(samples: &[Sample], limit: Option<usize>, shard: Option<Shard>, answered: &HashSet<&str>) -> Self {
        let limited = limit.map(|limit| limited(samples, limit));
        let mut groups: Vec<Vec<usize>> = Vec::new();
        let mut group_of: HashMap<String, usize> = HashMap::new();
        for (index, sample) in samples.iter().enumerate() {
            let group = *group_of.entry(sample.picture_group()).or_insert_with(|| {
                groups.push(Vec::new());
                groups.len() - 1
            });
            if let Some(members) = groups.get_mut(group) {
                members.push(index);
            }
        }
        let selected: Vec<usize> = groups
            .into_iter()
            .enumerate()
            .filter(|(group, _)| shard.is_none_or(|shard| group % shard.count == shard.index))
            .flat_map(|(_, members)| members)
            .filter(|index| limited.as_ref().is_none_or(|limited| limited.contains(index)))
            .collect();
        let open = selected
            .iter()
            .copied()
            .filter(|&index| {
                samples
                    .get(index)
                    .is_some_and(|sample| !answered.contains(sample.id.as_str()))
            })
            .collect();
        Self { selected, open }
    }

    /// The same about these positions only.
    pub fn only(mut self, positions: &HashSet<usize>) -> Self {
        self.selected.retain(|index| positions.contains(index));
        self.open.retain(|index| positions.contains(index));
        self
    }
}

/// Whole scoring groups, at least `limit` samples of them, taken in turn from every category. A larger limit takes
/// the same groups and more.
fn limited(samples: &[Sample], limit: usize) -> HashSet<usize> {
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, sample) in samples.iter().enumerate() {
        members.entry(sample.scoring_group).or_default().push(index);
    }
    let mut categories: BTreeMap<&str, Vec<(String, Vec<usize>)>> = BTreeMap::new();
    for group in members.into_values() {
        if let Some(first) = group.first().and_then(|&index| samples.get(index)) {
            let order = text_sha256(&format!("{LIMIT_SEED}\n{}", first.id));
            categories
                .entry(first.category.as_deref().unwrap_or_default())
                .or_default()
                .push((order, group));
        }
    }
    let mut queues: Vec<_> = categories
        .into_values()
        .map(|mut groups| {
            groups.sort();
            groups.into_iter()
        })
        .collect();
    let mut taken = HashSet::new();
    while taken.len() < limit {
        let before = taken.len();
        for queue in &mut queues {
            if taken.len() < limit
                && let Some((_, group)) = queue.next()
            {
                taken.extend(group);
            }
        }
        if taken.len() == before {
            break;
        }
    }
    taken
}

#[cfg(test)]
pub mod tests {
    use std::path::PathBuf;

    use benchmarks::{Picture, SampleId};
    use proptest::prelude::*;

    use super::*;

    /// A question of that number, about that picture.
    pub fn sample(n: usize, picture: usize, category: usize, scoring_group: usize) -> Sample {
        Sample {
            id: SampleId::new(format!("s{n}")),
            source_id: n.to_string(),
            pictures: vec![Picture::file(format!("p{picture}"), PathBuf::new())],
            question: "Is it?".to_owned(),
            category: Some(format!("c{category}")),
            reference: None,
            scoring_group,
        }
    }

    /// Three categories over four pictures, visited in turn as POPE's file does; pairs are scored together.
    fn samples() -> Vec<Sample> {
        (0..24).map(|n| sample(n, n % 4, n / 8, n / 2)).collect()
    }

    #[test]
    fn questions_about_one_picture_stand_side_by_side() {
        let samples = samples();
        let plan = Plan::new(&samples, None, None, &HashSet::new());
        let pictures: Vec<usize> = plan.selected.iter().map(|n| n % 4).collect();
        assert_eq!(pictures, [[0; 6], [1; 6], [2; 6], [3; 6]].concat());
    }

    #[test]
    fn what_is_answered_is_selected_but_not_open() {
        let samples = samples();
        let plan = Plan::new(&samples, None, None, &HashSet::from(["s0", "s5"]));
        assert_eq!(plan.selected.len(), 24);
        assert_eq!(plan.open.len(), 22);
        assert!(!plan.open.contains(&0) && !plan.open.contains(&5));
    }

    #[test]
    fn shards_are_whole_pictures_and_together_everything() {
        let samples = samples();
        let mut seen: Vec<usize> = Vec::new();
        for index in 0..3 {
            let plan = Plan::new(&samples, None, Some(Shard { index, count: 3 }), &HashSet::new());
            for picture in 0..4 {
                let here = plan.selected.iter().filter(|&n| n % 4 == picture).count();
                assert!(here == 0 || here == 6);
            }
            seen.extend(plan.selected);
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..24).collect::<Vec<_>>());
    }

    #[test]
    fn a_limit_reaches_every_category() {
        let samples = samples();
        let plan = Plan::new(&samples, Some(6), None, &HashSet::new());
        let categories: HashSet<usize> = plan.selected.iter().map(|n| n / 8).collect();
        assert_eq!(plan.selected.len(), 6);
        assert_eq!(categories.len(), 3);
    }

    #[test]
    fn shard_spellings() {
        assert_eq!("0/4".parse(), Ok(Shard { index: 0, count: 4 }));
        for wrong in ["4/4", "1", "a/b", "1/0", "-1/2", ""] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_limit_takes_whole_groups_at_least_so_many_and_a_larger_one_more(small in 0_usize..30, more in 0_usize..30) {
            let samples = samples();
            let few = limited(&samples, small);
            let many = limited(&samples, small + more);
            prop_assert!(few.is_subset(&many));
            prop_assert!(few.len() >= small.min(24) && few.len() <= small.min(24) + 1);
            prop_assert!(few.iter().all(|n| few.contains(&(n ^ 1))));
        }
    }
}
