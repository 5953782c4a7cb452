//! Forth and back through the model for the samples of one step, a few at a time: a step's gradient is the sum.

use std::error::Error;

use tch::Tensor;

use crate::batch::{Batch, Sequence, patches};
use crate::model::Model;
use crate::pictures::Pictures;
use crate::places::Words;
use crate::plan::Objective;
use crate::sampler::Draw;

/// How the samples of a step are gone through.
#[derive(Debug)]
pub struct Passes<'a> {
    /// The model whose gradients gather.
    pub model: &'a Model,
    /// The pictures of the samples.
    pub pictures: &'a Pictures,
    /// Samples of one pass.
    pub size: usize,
    /// Positions of a sequence at most, where its first branch fits.
    pub room: usize,
}

/// What one step saw of its samples.
#[derive(Debug, Clone, Copy, Default)]
pub struct Passed {
    /// Mean over learnt tokens, or over places.
    pub loss: f64,
    /// Share of answers, or of places, that were foreseen whole.
    pub foreseen: f64,
    /// Positions of the decoder.
    pub tokens: usize,
}

impl Passes<'_> {
    /// Runs the samples of a step.
    pub fn run(&self, objective: Objective, draws: &[Draw<'_>]) -> Result<Passed, Box<dyn Error>> {
        match objective {
            Objective::Words | Objective::Rows => self.words(objective, draws),
            Objective::Answers => self.answers(draws),
        }
    }

    fn words(&self, objective: Objective, draws: &[Draw<'_>]) -> Result<Passed, Box<dyn Error>> {
        let seen = draws.iter().filter(|draw| draw.sample.pictures.len() == 1);
        let seen: Vec<(usize, &Words)> = seen.map(|draw| (draw.sample.pictures[0], &draw.sample.words)).collect();
        let mut passed = Passed::default();
        for together in seen.chunks(self.size) {
            let rows: Vec<usize> = together.iter().map(|(row, _)| *row).collect();
            let words: Vec<&Words> = together.iter().map(|(_, words)| *words).collect();
            if let Some(patches) = patches(&rows, self.pictures, &self.model.sizes)? {
                let (loss, foreseen) = self.model.words_loss(objective, &patches, &words)?;
                let places = (seen.len() * words[0].len()) as f64;
                passed.loss += learn(&loss, places)?;
                passed.foreseen += foreseen.f_sum(tch::Kind::Float)?.f_double_value(&[])? / places;
            }
        }
        Ok(passed)
    }

    fn answers(&self, draws: &[Draw<'_>]) -> Result<Passed, Box<dyn Error>> {
        let rows = self.model.sizes.picture_rows();
        let mut sequences: Vec<Sequence> = draws
            .iter()
            .map(|draw| Sequence::new(draw.sample, &draw.order, self.room, rows))
            .collect();
        // Sequences of a length go together: less is filled up.
        sequences.sort_by_key(Sequence::len);
        let taught: usize = sequences.iter().map(Sequence::taught).sum();
        let mut passed = Passed {
            tokens: sequences.iter().map(Sequence::len).sum(),
            ..Passed::default()
        };
        let (mut answers, mut right) = (0_usize, 0_usize);
        for together in sequences.chunks(self.size) {
            let batch = Batch::new(together, self.pictures, &self.model.sizes)?;
            let (loss, foreseen) = self.model.loss(&batch)?;
            passed.loss += learn(&loss, taught as f64)?;
            let foreseen: Vec<bool> = Vec::try_from(foreseen)?;
            let mut rest = foreseen.as_slice();
            for &length in &batch.answers {
                let (answer, others) = rest.split_at(length.min(rest.len()));
                right += usize::from(answer.iter().all(|&token| token));
                rest = others;
            }
            answers += batch.answers.len();
        }
        passed.foreseen = right as f64 / answers.max(1) as f64;
        Ok(passed)
    }
}

/// Gathers the gradients of a summed loss divided by `count`, and gives that quotient.
fn learn(loss: &Tensor, count: f64) -> Result<f64, Box<dyn Error>> {
    let loss = loss.f_div_scalar(count)?;
    loss.f_backward()?;
    Ok(loss.f_double_value(&[])?)
}
