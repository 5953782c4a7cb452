//! Which samples a step sees: a function of the seed and of how many were drawn before.

use std::collections::BTreeMap;
use std::error::Error;

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::records::Source;
use crate::sequences::Sample;

/// All samples, by file.
pub type Samples = BTreeMap<Source, Vec<Sample>>;

/// How many samples of each file were drawn: all that a later sitting has to know.
pub type Drawn = BTreeMap<Source, u64>;

/// A sample, and in which order its branches are tried.
#[derive(Debug)]
pub struct Draw<'a> {
    /// The sample.
    pub sample: &'a Sample,
    /// Its branches by number.
    pub order: Vec<usize>,
}

/// Draws samples; each file is gone through in a new order every time.
#[derive(Debug)]
pub struct Sampler<'a> {
    samples: &'a Samples,
    seed: u64,
    /// How many were drawn.
    pub drawn: Drawn,
    orders: BTreeMap<Source, (u64, Vec<usize>)>,
}

impl<'a> Sampler<'a> {
    /// Goes on behind `drawn`.
    pub fn new(samples: &'a Samples, seed: u64, drawn: Drawn) -> Self {
        Self {
            samples,
            seed,
            drawn,
            orders: BTreeMap::new(),
        }
    }

    /// The samples of step `step`: `count` of them, from files in the proportions of `mixture`.
    pub fn draw(
        &mut self,
        step: u64,
        count: usize,
        mixture: &BTreeMap<Source, f64>,
    ) -> Result<Vec<Draw<'a>>, Box<dyn Error>> {
        let mut dice = ChaCha8Rng::seed_from_u64(self.seed);
        dice.set_stream(step + 1);
        let mut draws = Vec::with_capacity(count);
        for _ in 0..count {
            let source = chosen(mixture, &mut dice)?;
            let sample = self.next(source)?;
            let mut order: Vec<usize> = (0..sample.branches.len()).collect();
            order.shuffle(&mut dice);
            draws.push(Draw { sample, order });
        }
        Ok(draws)
    }

    fn next(&mut self, source: Source) -> Result<&'a Sample, Box<dyn Error>> {
        let samples = self.samples.get(&source).filter(|samples| !samples.is_empty());
        let samples = samples.ok_or_else(|| format!("the plan wants `{}`, which is empty", source.file()))?;
        let drawn = self.drawn.entry(source).or_default();
        let (round, at) = (*drawn / samples.len() as u64, (*drawn % samples.len() as u64) as usize);
        *drawn += 1;
        let order = self.orders.entry(source).or_insert((u64::MAX, Vec::new()));
        if order.0 != round {
            let mut dice = ChaCha8Rng::seed_from_u64(self.seed ^ (round << 8) ^ source as u64);
            let mut fresh: Vec<usize> = (0..samples.len()).collect();
            fresh.shuffle(&mut dice);
            *order = (round, fresh);
        }
        let index = order.1.get(at).copied().unwrap_or_default();
        samples.get(index).ok_or_else(|| "a sample is out of range".into())
    }
}

fn chosen(mixture: &BTreeMap<Source, f64>, dice: &mut ChaCha8Rng) -> Result<Source, Box<dyn Error>> {
    let mut left = dice.random::<f64>() * mixture.values().sum::<f64>();
    for (source, share) in mixture {
        left -= share;
        if left < 0.0 {
            return Ok(*source);
        }
    }
    mixture
        .keys()
        .next_back()
        .copied()
        .ok_or_else(|| "a stage has an empty mixture".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Samples {
        let sample = |row| Sample {
            pictures: vec![row],
            prefix: Vec::new(),
            branches: Vec::new(),
            words: Default::default(),
        };
        BTreeMap::from([
            (Source::Captions, (0..5).map(sample).collect()),
            (Source::Instruct, (5..8).map(sample).collect()),
        ])
    }

    fn rows(draws: &[Draw<'_>]) -> Vec<usize> {
        draws.iter().map(|draw| draw.sample.pictures[0]).collect()
    }

    #[test]
    fn every_sample_comes_once_a_round_and_rounds_differ() {
        let samples = samples();
        let mixture = BTreeMap::from([(Source::Captions, 1.0)]);
        let mut sampler = Sampler::new(&samples, 3, Drawn::new());
        let rounds: Vec<Vec<usize>> = (0..6)
            .map(|step| rows(&sampler.draw(step, 5, &mixture).unwrap()))
            .collect();
        for round in &rounds {
            let mut sorted = round.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3, 4]);
        }
        assert!(rounds.iter().any(|round| *round != rounds[0]));
    }

    #[test]
    fn going_on_draws_what_would_have_been_drawn() {
        let samples = samples();
        let mixture = BTreeMap::from([(Source::Captions, 0.5), (Source::Instruct, 0.5)]);
        let mut whole = Sampler::new(&samples, 3, Drawn::new());
        let _first = whole.draw(0, 7, &mixture).unwrap();
        let mut resumed = Sampler::new(&samples, 3, whole.drawn.clone());
        assert_eq!(
            rows(&resumed.draw(1, 7, &mixture).unwrap()),
            rows(&whole.draw(1, 7, &mixture).unwrap())
        );
        let interleaved = BTreeMap::from([(Source::Interleaved, 1.0)]);
        assert_eq!(
            whole.draw(2, 1, &interleaved).unwrap_err().to_string(),
            "the plan wants `interleaved.jsonl`, which is empty"
        );
    }
}
