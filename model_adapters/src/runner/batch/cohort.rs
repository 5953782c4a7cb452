//! Questions that decode together: rows with keys and values of their own behind a segment that they share.

use std::rc::Rc;

use tch::{Kind, Tensor};

use crate::request::GenerationLimits;
use crate::runner::attention::{Partial, Visible, attend, join_heads};
use crate::runner::error::TorchError;
use crate::runner::kv_cache::KvCache;
use crate::runner::llama::{Llama, Mixing};
use crate::tokenizer::PromptToken;

/// Own caches grow by so many positions. Most answers of MM-Vet, 80 tokens on average, then need no other: what is left of
/// those that were too small cost 64 of them 0.8 GB, a quarter of what they hold.
const GROWTH: usize = 128;

/// A question, tokenised, with the rows of its pictures.
#[derive(Debug, Clone)]
pub struct Question {
    /// Comes back with the answer.
    pub ticket: usize,
    /// The prompt before splicing.
    pub tokens: Rc<[PromptToken]>,
    /// `[1, rows, H]` each; equal for the questions of a group.
    pub pictures: Rc<[Tensor]>,
    /// When to stop.
    pub limits: GenerationLimits,
    /// Positions of the spliced prompt.
    pub prompt_positions: usize,
    /// The spliced prompt was cut.
    pub truncated: bool,
}

/// A question and what has been answered so far.
#[derive(Debug)]
pub struct Row {
    /// What is asked.
    pub question: Question,
    /// Generated ids.
    pub ids: Vec<u32>,
    /// How each of them was chosen.
    pub choices: Vec<Choice>,
}

/// The two best tokens of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// The best; the lowest id on ties.
    pub first: u32,
    /// The next best.
    pub second: u32,
    /// The logit of the best.
    pub logit: f64,
    /// How far the next best lies below it.
    pub margin: f64,
}

/// Keys and values of positions that several questions look at; computed once, never copied.
#[derive(Debug)]
pub struct Segment {
    /// Keys and values of each layer, `[1, K, length, d]`.
    layers: Vec<(Tensor, Tensor)>,
    bytes: usize,
}

impl Segment {
    /// Takes keys and values of every layer.
    pub fn new(layers: Vec<(Tensor, Tensor)>, llama: &Llama) -> Self {
        let length = layers.first().and_then(|(keys, _)| keys.size().get(2).copied());
        Self {
            layers,
            bytes: length.unwrap_or_default() as usize * llama.bytes_per_position(),
        }
    }

    /// What it takes.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The keys and values of one layer.
    pub fn layer(&self, layer: usize) -> Result<(Tensor, Tensor), TorchError> {
        match self.layers.get(layer) {
            Some((keys, values)) => Ok((keys.shallow_clone(), values.shallow_clone())),
            None => Err(TorchError(format!("the shared segment has no layer {layer}"))),
        }
    }
}

/// Rows that were prefilled together. Their own positions stand right-aligned, so that the next position of every row
/// is the same slot of the cache, written with one copy, and the mask never changes.
#[derive(Debug)]
pub struct Cohort {
    /// What stands before the rows' own positions; `None` where a single row owns all of its own.
    pub segment: Option<Rc<Segment>>,
    /// The rows' own positions.
    pub cache: KvCache,
    /// `[m, 1, 1, capacity]`, minus infinity where a row has padding; `None` where no row has.
    mask: Option<Tensor>,
    /// Positions of padding before each row.
    padding: Vec<i64>,
    /// Live rows.
    pub rows: Vec<Row>,
    /// Position of each row's next token, `[m]`.
    positions: Tensor,
    /// Each row's next token, `[m]`.
    next: Tensor,
}

impl Cohort {
    /// Rows whose own positions `cache` holds behind so much `padding`. Every row still lacks its first token.
    pub fn new(
        segment: Option<Rc<Segment>>,
        cache: KvCache,
        padding: Vec<i64>,
        rows: Vec<Row>,
        llama: &Llama,
    ) -> Result<Self, TorchError> {
        let positions: Vec<i64> = rows.iter().map(|row| row.question.prompt_positions as i64).collect();
        let positions = Tensor::f_from_slice(&positions)?.f_to_device(llama.placement().device.tch())?;
        let mut cohort = Self {
            segment,
            cache,
            mask: None,
            padding,
            rows,
            next: positions.shallow_clone(),
            positions,
        };
        cohort.mask = cohort.padding_mask(llama)?;
        Ok(cohort)
    }

    /// Makes room for the next position where there is none.
    fn make_room(&mut self, llama: &Llama) -> Result<(), TorchError> {
        let filled = self.cache.length();
        if filled == self.cache.capacity() {
            let still_wanted = |row: &Row| row.question.limits.max_new_tokens.saturating_sub(row.ids.len());
            let wanted = self.rows.iter().map(still_wanted).max().unwrap_or_default();
            self.cache.grow(filled + own_room(wanted).max(1))?;
            self.mask = self.padding_mask(llama)?;
        }
        Ok(())
    }

    /// Takes the next token of every row, `[m]`.
    fn feed(&mut self, tokens: Tensor, choices: &mut impl Iterator<Item = Choice>) {
        self.next = tokens;
        for (row, choice) in self.rows.iter_mut().zip(choices) {
            row.ids.push(choice.first);
            row.choices.push(choice);
        }
    }

    /// Lets every row go that `stays` denies; gives those.
    pub fn release(&mut self, mut stays: impl FnMut(&Row) -> bool) -> Result<Vec<Row>, TorchError> {
        let (mut kept, mut gone) = (Vec::new(), Vec::new());
        let mut indices = Vec::new();
        for (index, row) in std::mem::take(&mut self.rows).into_iter().enumerate() {
            if stays(&row) {
                indices.push(index as i64);
                kept.push(row);
            } else {
                gone.push(row);
            }
        }
        self.rows = kept;
        if !gone.is_empty() && !indices.is_empty() {
            let chosen = Tensor::f_from_slice(&indices)?.f_to_device(self.positions.device())?;
            self.cache.keep(&chosen)?;
            self.positions = self.positions.f_index_select(0, &chosen)?;
            self.next = self.next.f_index_select(0, &chosen)?;
            self.mask = match &self.mask {
                Some(mask) => Some(mask.f_index_select(0, &chosen)?),
                None => None,
            };
            self.padding = indices
                .iter()
                .filter_map(|&index| self.padding.get(index as usize).copied())
                .collect();
        }
        Ok(gone)
    }

    fn padding_mask(&self, llama: &Llama) -> Result<Option<Tensor>, TorchError> {
        if self.padding.iter().all(|&padding| padding == 0) {
            return Ok(None);
        }
        let (rows, capacity) = (self.padding.len() as i64, self.cache.capacity() as i64);
        let mask = Tensor::f_zeros([rows, 1, 1, capacity], llama.placement().options())?;
        for (row, &padding) in self.padding.iter().enumerate() {
            let _masked = mask
                .f_select(0, row as i64)?
                .f_narrow(2, 0, padding)?
                .f_fill_(f64::NEG_INFINITY)?;
        }
        Ok(Some(mask))
    }

    /// Attention of one new position per row: queries `[1, A, m, d]`, keys and values `[1, K, m, d]`; gives
    /// `[1, m, A · d]`.
    fn mix(&mut self, layer: usize, query: &Tensor, key: &Tensor, value: &Tensor) -> Result<Tensor, TorchError> {
        let (keys, values) = self.cache.append(layer, &by_row(key)?, &by_row(value)?)?;
        let Some(segment) = &self.segment else {
            return attend(query, &keys, &values, &Visible::All);
        };
        let mask = match &self.mask {
            Some(mask) => Some(mask.f_narrow(3, 0, keys.size4()?.2)?),
            None => None,
        };
        let (shared_keys, shared_values) = segment.layer(layer)?;
        let shared = Partial::over(query, &shared_keys, &shared_values, None)?;
        attend_by_row(query, &shared, &keys, &values, mask.as_ref())
    }

    /// Keys and values of the first row's positions from 0 on, `[1, K, n, d]`, layer by layer; where rows share a
    /// segment, those of the segment.
    pub fn beginning(&self) -> Result<Vec<(Tensor, Tensor)>, TorchError> {
        match &self.segment {
            Some(segment) => (0..segment.layers.len()).map(|layer| segment.layer(layer)).collect(),
            None => self.cache.filled(),
        }
    }
}

/// From positions in a row to one row each, and back: `[1, heads, m, d]` and `[m, heads, 1, d]`.
fn by_row(x: &Tensor) -> Result<Tensor, TorchError> {
    Ok(x.f_permute([2, 1, 0, 3])?)
}

/// Attention of one query per row, `[1, A, m, d]`, over what the rows share and over the keys and values of each,
/// `[m, K, l, d]`, of which `mask` hides padding; gives `[1, m, A · d]`.
pub fn attend_by_row(
    query: &Tensor,
    shared: &Partial,
    keys: &Tensor,
    values: &Tensor,
    mask: Option<&Tensor>,
) -> Result<Tensor, TorchError> {
    let own = Partial::over(&by_row(query)?, keys, values, mask)?;
    let own = Partial {
        mixed: by_row(&own.mixed)?,
        weight: own.weight.f_permute([2, 1, 0])?,
    };
    join_heads(&shared.join(&own)?)
}

/// How much room an own cache has behind the prompt, for answers of up to `limit` tokens.
pub fn own_room(limit: usize) -> usize {
    limit.min(GROWTH)
}

/// One decode step of all cohorts: every row feeds its last token and gets its next.
pub fn decode(llama: &Llama, cohorts: &mut [Cohort]) -> Result<(), TorchError> {
    let mut end = 0;
    for cohort in &mut *cohorts {
        cohort.make_room(llama)?;
        let positions = |row: &Row| row.question.prompt_positions + row.ids.len();
        end = cohort.rows.iter().map(positions).max().unwrap_or_default().max(end);
    }
    let all = |part: fn(&Cohort) -> &Tensor| {
        let parts: Vec<&Tensor> = cohorts.iter().map(part).collect();
        Tensor::f_cat(&parts, 0)
    };
    let embedded = llama.embed(&all(|cohort| &cohort.next)?)?;
    let rotation = llama.rotation_of(&all(|cohort| &cohort.positions)?, end)?;
    let hidden = llama.run(&embedded, &rotation, &mut DecodeStep { cohorts })?;
    for cohort in &mut *cohorts {
        cohort.cache.advance(1);
        cohort.positions = cohort.positions.f_add_scalar_(1)?;
    }
    feed(cohorts, &llama.logits(&hidden.f_squeeze_dim(0)?)?)
}

/// Gives every row its next token, from logits `[rows, V]`.
pub fn feed(cohorts: &mut [Cohort], logits: &Tensor) -> Result<(), TorchError> {
    let (tokens, choices) = choose(logits)?;
    let mut choices = choices.into_iter();
    let mut start = 0;
    for cohort in cohorts {
        let count = cohort.rows.len() as i64;
        cohort.feed(
            tokens.f_narrow(0, start, count)?,
            &mut choices.by_ref().take(count as usize),
        );
        start += count;
    }
    Ok(())
}

/// The rows of all cohorts stand one behind the other, one new position each.
struct DecodeStep<'a> {
    cohorts: &'a mut [Cohort],
}

impl Mixing for DecodeStep<'_> {
    fn mix(&mut self, layer: usize, query: &Tensor, key: &Tensor, value: &Tensor) -> Result<Tensor, TorchError> {
        let mut mixed = Vec::with_capacity(self.cohorts.len());
        let mut start = 0;
        for cohort in self.cohorts.iter_mut() {
            let count = cohort.rows.len() as i64;
            let part = |x: &Tensor| x.f_narrow(2, start, count);
            mixed.push(cohort.mix(layer, &part(query)?, &part(key)?, &part(value)?)?);
            start += count;
        }
        Ok(Tensor::f_cat(&mixed, 1)?)
    }
}

/// The next token of every row of logits `[n, V]`, which are used up: on the device for the next step, and with its
/// rival on the host. One round trip.
fn choose(logits: &Tensor) -> Result<(Tensor, Vec<Choice>), TorchError> {
    let first = logits.f_argmax(-1, true)?;
    let best = logits.f_gather(1, &first, false)?;
    let _rest = logits.shallow_clone().f_scatter_value_(1, &first, f64::NEG_INFINITY)?;
    let (rival, second) = logits.f_max_dim(-1, true)?;
    let wide = |x: &Tensor| x.f_to_kind(Kind::Double);
    let both = Tensor::f_cat(&[wide(&first)?, wide(&second)?, wide(&best)?, wide(&rival)?], 1)?;
    let both = Vec::<f64>::try_from(both.f_flatten(0, -1)?)?;
    let choices = both
        .chunks_exact(4)
        .filter_map(|row| match *row {
            [first, second, logit, rival] => Some(Choice {
                first: first as u32,
                second: second as u32,
                logit,
                margin: logit - rival,
            }),
            _ => None,
        })
        .collect();
    Ok((first.f_squeeze_dim(1)?, choices))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(rows: &[&[f32]]) -> Vec<Choice> {
        let rows: Vec<Tensor> = rows.iter().map(|row| Tensor::from_slice(row)).collect();
        choose(&Tensor::stack(&rows, 0)).unwrap().1
    }

    #[test]
    fn the_two_best_and_the_lowest_id_on_ties() {
        let rows = chosen(&[&[0.0, 3.5, 1.25, -1.0], &[2.0, 5.0, 5.0, 5.0]]);
        let expected = [(1, 2, 3.5, 2.25), (1, 2, 5.0, 0.0)].map(|(first, second, logit, margin)| Choice {
            first,
            second,
            logit,
            margin,
        });
        assert_eq!(rows, expected);
    }

    #[test]
    fn logits_that_are_not_finite_show() {
        let rows = chosen(&[&[0.0, f32::NAN, 5.0], &[0.0, 1.0, f32::INFINITY]]);
        assert!(rows.iter().all(|choice| !choice.logit.is_finite()));
    }
}
