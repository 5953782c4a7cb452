//! The chance of the demo: the same numbers on every machine and with every version of `rand`.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore as _, SeedableRng as _};

/// What is drawn; each has numbers of its own, so that more of one leaves the others as they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// The scenes of a benchmark, by its place in the registry.
    Suite(u8),
    /// The scenes and texts to train on.
    Training,
    /// Their records without picture.
    Text,
}

/// Random choices. Integers only.
#[derive(Debug)]
pub struct Dice(ChaCha8Rng);

impl Dice {
    /// The choices of member `number` of a stream.
    pub fn new(seed: u64, stream: Stream, number: u32) -> Self {
        let stream = match stream {
            Stream::Suite(benchmark) => u64::from(benchmark),
            Stream::Training => 1 << 8,
            Stream::Text => 2 << 8,
        };
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(stream << 32 | u64::from(number));
        Self(generator)
    }

    /// From 0 to `n - 1`, 0 for `n` = 0.
    pub fn below(&mut self, n: usize) -> usize {
        // The top 32 bits of a product of 32-bit numbers: `n` here is far below 2^32.
        let drawn = u64::from(self.0.next_u32()) * n as u64;
        (drawn >> 32) as usize
    }

    /// From `-reach` to `reach`.
    pub fn around(&mut self, reach: i32) -> i32 {
        let drawn = self.below(usize::try_from(2 * reach + 1).unwrap_or(1));
        i32::try_from(drawn).unwrap_or(0) - reach
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of several.
    pub fn one<T: Copy, const N: usize>(&mut self, of: [T; N]) -> T {
        const { assert!(N > 0) };
        of[self.below(N)]
    }

    /// One of a list, `None` where it is empty.
    pub fn any<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        of.get(self.below(of.len())).copied()
    }

    /// Another order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_numbers_come_out_everywhere() {
        let mut dice = Dice::new(7, Stream::Training, 3);
        let drawn: Vec<usize> = (0..6).map(|_| dice.below(1000)).collect();
        let mut again = Dice::new(7, Stream::Training, 3);
        assert_eq!(drawn, (0..6).map(|_| again.below(1000)).collect::<Vec<_>>());
        let mut other = Dice::new(7, Stream::Text, 3);
        assert_ne!(drawn, (0..6).map(|_| other.below(1000)).collect::<Vec<_>>());
    }

    #[test]
    fn every_value_is_reached_and_none_beyond() {
        let mut dice = Dice::new(1, Stream::Text, 0);
        let mut seen = [0; 5];
        for _ in 0..1000 {
            seen[usize::try_from(dice.around(2) + 2).unwrap()] += 1;
        }
        assert!(seen.iter().all(|n| (150..250).contains(n)), "{seen:?}");
        let mut order = [0, 1, 2, 3, 4];
        dice.shuffle(&mut order);
        let mut sorted = order;
        sorted.sort_unstable();
        assert_eq!(sorted, [0, 1, 2, 3, 4]);
        assert_eq!(dice.any::<u8>(&[]), None);
    }
}
