//! A few samples side by side, as the model reads them.

use std::error::Error;

use model_adapters::tokenizer::PromptToken;
use tch::{Kind, Tensor};

use crate::pictures::Pictures;
use crate::sequences::{Branch, Sample};
use crate::sizes::Sizes;

/// Belongs to all branches of its sequence.
const SHARED: u16 = 0;
/// Fills a short sequence.
const FILLER: u16 = u16::MAX;

/// The input of one pass.
#[derive(Debug)]
pub struct Batch {
    /// `[P, patches, 3 · p · p]`; `None` where no sample has a picture.
    pub patches: Option<Tensor>,
    /// `[B · L]`: rows of the embedding, or rows of the pictures behind it.
    pub inputs: Tensor,
    /// `[B, L]`
    pub positions: Tensor,
    /// `[B, 1, L, L]`, 0 or minus infinity.
    pub mask: Tensor,
    /// `[n]`: flattened positions whose next token is learnt.
    pub learnt: Tensor,
    /// `[n]`: those next tokens.
    pub targets: Tensor,
    /// For each answer, how many of the n tokens are its own, in order.
    pub answers: Vec<usize>,
}

/// One sequence of positions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sequence {
    pictures: Vec<usize>,
    places: Vec<Place>,
    answers: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    input: Input,
    branch: u16,
    position: i64,
    /// The next token, where it is learnt.
    target: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Input {
    Text(u32),
    /// A row of a picture of this sequence.
    Row {
        picture: usize,
        row: usize,
    },
}

impl Sequence {
    /// The prefix of `sample` and the branches of it that `chosen` names, as many as fit into `room` positions; one at
    /// least.
    pub fn new(sample: &Sample, chosen: &[usize], room: usize, picture_rows: usize) -> Self {
        let mut sequence = Self {
            pictures: sample.pictures.clone(),
            ..Self::default()
        };
        for token in &sample.prefix {
            sequence.push(*token, SHARED, picture_rows);
        }
        let prefix = sequence.places.len();
        let branches = chosen.iter().filter_map(|&branch| sample.branches.get(branch));
        for (number, branch) in (1..FILLER).zip(branches) {
            let whole = sequence.places.len() + length(branch, picture_rows);
            if number == 1 || whole <= room {
                sequence.branch(branch, number, prefix, picture_rows);
            }
        }
        sequence
    }

    /// How many positions it has.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// How many tokens it teaches.
    pub fn taught(&self) -> usize {
        self.answers.iter().sum()
    }

    fn branch(&mut self, branch: &Branch, number: u16, prefix: usize, picture_rows: usize) {
        let start = self.places.len();
        let mut answer = 0;
        for &(token, learnt) in &branch.tokens {
            if let (true, PromptToken::Text(id)) = (learnt, token)
                && self.places.len() > start
                && let Some(before) = self.places.last_mut()
            {
                before.target = Some(id);
                answer += 1;
            } else if answer > 0 {
                self.answers.push(std::mem::take(&mut answer));
            }
            self.push(token, number, picture_rows);
        }
        self.answers.push(answer);
        for (offset, place) in self.places.iter_mut().skip(start).enumerate() {
            place.position = (prefix + offset) as i64;
        }
    }

    fn push(&mut self, token: PromptToken, branch: u16, picture_rows: usize) {
        let mut push = |input| {
            self.places.push(Place {
                input,
                branch,
                position: self.places.len() as i64,
                target: None,
            });
        };
        match token {
            PromptToken::Text(id) => push(Input::Text(id)),
            PromptToken::Picture(picture) => {
                for row in 0..picture_rows {
                    push(Input::Row { picture, row });
                }
            }
        }
    }
}

fn length(branch: &Branch, picture_rows: usize) -> usize {
    let length = |(token, _): &(PromptToken, bool)| match token {
        PromptToken::Text(_) => 1,
        PromptToken::Picture(_) => picture_rows,
    };
    branch.tokens.iter().map(length).sum()
}

impl Batch {
    /// Puts sequences side by side; short ones are filled up at their ends.
    pub fn new(sequences: &[Sequence], pictures: &Pictures, sizes: &Sizes) -> Result<Self, Box<dyn Error>> {
        let (count, longest) = (
            sequences.len(),
            sequences.iter().map(Sequence::len).max().unwrap_or_default(),
        );
        let rows = sizes.picture_rows();
        let mut inputs = vec![0_i64; count * longest];
        let mut positions = vec![0_i64; count * longest];
        let mut mask = vec![f32::NEG_INFINITY; count * longest * longest];
        let (mut learnt, mut targets, mut answers) = (Vec::new(), Vec::new(), Vec::new());
        let mut seen = Vec::new();
        for (number, sequence) in sequences.iter().enumerate() {
            let start = number * longest;
            for (at, place) in sequence.places.iter().enumerate() {
                inputs[start + at] = match place.input {
                    Input::Text(id) => i64::from(id),
                    Input::Row { picture, row } => {
                        (sizes.llama.vocabulary + (seen.len() + picture) * rows + row) as i64
                    }
                };
                positions[start + at] = place.position;
                if let Some(id) = place.target {
                    learnt.push((start + at) as i64);
                    targets.push(i64::from(id));
                }
            }
            let branch = |at: usize| sequence.places.get(at).map_or(FILLER, |place| place.branch);
            let square = mask.chunks_exact_mut(longest).skip(start).take(longest);
            for (at, row) in square.enumerate() {
                for (other, value) in row.iter_mut().take(at + 1).enumerate() {
                    if branch(other) == SHARED || branch(other) == branch(at) {
                        *value = 0.0;
                    }
                }
            }
            seen.extend(&sequence.pictures);
            answers.extend(&sequence.answers);
        }
        let (count, longest) = (count as i64, longest as i64);
        Ok(Self {
            patches: patches(&seen, pictures, sizes)?,
            inputs: Tensor::f_from_slice(&inputs)?,
            positions: Tensor::f_from_slice(&positions)?.f_view([count, longest])?,
            mask: Tensor::f_from_slice(&mask)?.f_view([count, 1, longest, longest])?,
            learnt: Tensor::f_from_slice(&learnt)?,
            targets: Tensor::f_from_slice(&targets)?.f_to_kind(Kind::Int64)?,
            answers,
        })
    }
}

/// The patches of some pictures, `[P, patches, 3 · p · p]`; `None` of none.
pub fn patches(rows: &[usize], pictures: &Pictures, sizes: &Sizes) -> Result<Option<Tensor>, Box<dyn Error>> {
    if rows.is_empty() {
        return Ok(None);
    }
    let (patch, side) = (sizes.tower.patch_size, sizes.tower.patches_per_side());
    let mut values = Vec::with_capacity(rows.len() * 3 * sizes.tower.image_size * sizes.tower.image_size);
    for &row in rows {
        values.extend(pictures.patches(row, patch)?);
    }
    let shape = [rows.len() as i64, (side * side) as i64, (3 * patch * patch) as i64];
    Ok(Some(Tensor::f_from_slice(&values)?.f_view(shape)?))
}
