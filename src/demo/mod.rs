//! The demo's world: drawn scenes, the questions that eight benchmarks would ask about them, and data to train on.
//!
//! A [`scene`] is drawn from a seed and says everything; [`draw`] makes its picture, the eight files named after
//! benchmarks make questions and answers of it and write them in the benchmark's official layout ([`suite`]), and
//! [`training`] writes scenes of the same world to learn from, none of which the suite shows. [`damage`] spoils a
//! checkpoint, for the demo's comparison to find.

mod captions;
pub mod damage;
mod dice;
mod draw;
mod font;
mod gqa;
mod mm_vet;
mod mmbench;
mod mme;
mod plain_text;
mod pope;
mod scene;
mod suite;
mod textvqa;
mod training;
#[cfg(test)]
mod truth_tests;
mod vizwiz;
mod vqav2;
mod world;

pub use suite::{SEED, asks as suite_asks, write as write_suite};
pub use training::write as write_training;

/// Keeps yes and no equally frequent among the questions that are taken.
#[derive(Debug, Clone, Copy, Default)]
struct Balance(i32);

impl Balance {
    /// Whether another question with this answer may be taken; counts it if so.
    fn takes(&mut self, answer: &str) -> bool {
        let lead = match answer {
            "yes" => self.0 + 1,
            "no" => self.0 - 1,
            _ => return true,
        };
        let fits = lead.abs() <= 1;
        if fits {
            self.0 = lead;
        }
        fits
    }
}

/// A question as a model reads it, and what it should say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The whole text that goes with the picture.
    pub prompt: String,
    /// The answer.
    pub answer: String,
}
