//! Greedy generation (`architecture.md` section 8): argmax of f32 logits, the lowest id on ties, until an end token or
//! the limit.

use tch::{Kind, Tensor};

use crate::request::{FinishReason, GenerationLimits};
use crate::runner::error::{AnswerError, TorchError};
use crate::runner::kv_cache::KvCache;
use crate::runner::llama::Llama;

/// The outcome of one generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// Generated ids, the end token included.
    pub ids: Vec<u32>,
    /// Why it ended.
    pub finish: FinishReason,
    /// Positions of the spliced prompt.
    pub prompt_tokens: usize,
    /// The spliced prompt was cut to the model's longest sequence.
    pub truncated: bool,
}

/// The best next token.
struct Choice {
    /// `[1]`, i64, on the device: fed back without a round trip.
    fed_back: Tensor,
    id: u32,
}

/// Sees the ids generated so far and the logits `[V]` that choose the next.
pub type Watch<'a> = dyn FnMut(&[u32], &Tensor) -> Result<(), TorchError> + 'a;

/// Whether an answer is over after these ids.
pub fn ending(ids: &[u32], eos: &[u32], limits: GenerationLimits) -> Option<FinishReason> {
    if ids.last().is_some_and(|last| eos.contains(last)) {
        Some(FinishReason::EndToken)
    } else if ids.len() >= limits.max_new_tokens {
        Some(FinishReason::Length)
    } else {
        None
    }
}

/// The failure of a question whose logits after `ids` are not finite.
pub fn not_finite(ids: &[u32]) -> String {
    format!(
        "the logits of new token {} are not finite; try `--dtype float32`",
        ids.len() + 1
    )
}

/// Continues the prompt `[1, n, H]` over an empty `cache`; gives the generated ids, the end token included.
pub fn greedy(
    llama: &Llama,
    prompt: &Tensor,
    cache: &mut KvCache,
    eos: &[u32],
    limits: GenerationLimits,
    watch: &mut Watch<'_>,
) -> Result<(Vec<u32>, FinishReason), AnswerError> {
    let mut ids = Vec::new();
    if let Some(finish) = ending(&ids, eos, limits) {
        return Ok((ids, finish));
    }
    let mut logits = llama.forward(prompt, cache)?;
    loop {
        watch(&ids, &logits)?;
        let choice = best(&logits)?.ok_or_else(|| AnswerError::Sample(not_finite(&ids)))?;
        ids.push(choice.id);
        if let Some(finish) = ending(&ids, eos, limits) {
            return Ok((ids, finish));
        }
        logits = llama.forward(&llama.embed(&choice.fed_back)?, cache)?;
    }
}

/// The first maximum of logits `[V]`; `None` where it is not finite, and NaN counts as the maximum. One round trip to
/// the device brings both the id and its logit.
fn best(logits: &Tensor) -> Result<Option<Choice>, TorchError> {
    let fed_back = logits.f_argmax(-1, true)?;
    let logit = logits.f_index_select(0, &fed_back)?;
    let both = Tensor::f_cat(&[fed_back.f_to_kind(Kind::Double)?, logit.f_to_kind(Kind::Double)?], 0)?;
    let both = Vec::<f64>::try_from(both)?;
    Ok(match both.as_slice() {
        &[id, logit] if logit.is_finite() => Some(Choice {
            fed_back,
            id: id as u32,
        }),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::llama::tests::{config, llama};
    use half::f16;

    fn best_of(logits: &[f32]) -> Option<u32> {
        best(&Tensor::from_slice(logits)).unwrap().map(|choice| choice.id)
    }

    #[test]
    fn ties_go_to_the_lowest_id() {
        assert_eq!(best_of(&[0.0, 3.5, -1.0, 3.5, 3.5]), Some(1));
        assert_eq!(best_of(&[-2.0, -2.0]), Some(0));
        // Long enough for the vectorised and the threaded kernel.
        let mut long = vec![1.0_f32; 128_257];
        long[77_777] = 2.0;
        long[100_003] = 2.0;
        assert_eq!(best_of(&long), Some(77_777));
        assert_eq!(best_of(&vec![0.25; 32_000]), Some(0));
        // Different in f32, equal once rounded to f16, as logits of a float16 model are.
        let rounded: Vec<f32> = [16.001_f32, 16.004]
            .iter()
            .map(|&v| f16::from_f32(v).to_f32())
            .collect();
        assert_eq!(best_of(&rounded), Some(0));
    }

    #[test]
    fn logits_that_are_not_finite_give_no_token() {
        assert_eq!(best_of(&[0.0, f32::NAN, 5.0]), None);
        assert_eq!(best_of(&[0.0, f32::INFINITY]), None);
        assert_eq!(best_of(&[f32::NEG_INFINITY, -3.0]), Some(1));
    }

    fn run(eos: &[u32], max_new_tokens: usize) -> (Vec<u32>, FinishReason, usize) {
        let llama = llama(&config(2));
        let mut cache = llama.cache(64).unwrap();
        let prompt = llama.embed_ids(&[1, 7, 9, 30]).unwrap();
        let limits = GenerationLimits { max_new_tokens };
        let (ids, finish) = greedy(&llama, &prompt, &mut cache, eos, limits, &mut |_, _| Ok(())).unwrap();
        (ids, finish, cache.length())
    }

    #[test]
    fn generation_stops_at_the_limit_and_at_an_end_token() {
        let (free, finish, filled) = run(&[], 12);
        assert_eq!((free.len(), finish), (12, FinishReason::Length));
        assert_eq!(filled, 4 + 11, "the last token is not fed back");
        assert_eq!(run(&[], 0), (vec![], FinishReason::Length, 0));
        assert_eq!(run(&[], 1).0, free[..1]);

        let end = free[5];
        let first = free.iter().position(|&id| id == end).unwrap();
        let (stopped, finish, _) = run(&[49_999, end], 12);
        assert_eq!((stopped.as_slice(), finish), (&free[..=first], FinishReason::EndToken));
        // The end token as the last one allowed is still an end token.
        assert_eq!(run(&[end], first + 1).1, FinishReason::EndToken);
    }

    #[test]
    fn every_step_is_the_argmax_of_a_prefill() {
        let llama = llama(&config(2));
        let mut ids = vec![1_i64, 7, 9, 30];
        for expected in run(&[], 12).0 {
            let mut cache = llama.cache(64).unwrap();
            let logits = llama.forward(&llama.embed_ids(&ids).unwrap(), &mut cache).unwrap();
            assert_eq!(best(&logits).unwrap().unwrap().id, expected);
            ids.push(i64::from(expected));
        }
    }
}
