//! What a tower learns before it has a decoder: the words that a caption uses, each where the caption puts it.
//!
//! This stands in for the contrastive pre-training of CLIP and SigLIP, which needs batches of thousands. A caption's
//! sentence that names one of nine places is about that ninth of the picture, any other sentence about all of it; from
//! the mean of the patches of a ninth, one linear layer foretells which words its sentences use (words as classes, as in
//! SuperClass, Huang et al. 2024). The layer is dropped afterwards.

use std::error::Error;

use model_adapters::tokenizer::Tokenizer;
use tch::{Kind, Reduction, Tensor};

use crate::layers::Linear;
use crate::parameters::{Parameters, Part, Stored};
use crate::records::Record;
use crate::sizes::Sizes;

/// The nine places, row by row.
const PLACES: [&str; 9] = [
    "top left",
    "top",
    "top right",
    "left",
    "middle",
    "right",
    "bottom left",
    "bottom",
    "bottom right",
];
/// Places along one side.
const ACROSS: i64 = 3;
/// What stands before a place in a caption.
const AT: &str = " at the ";

/// Logit of a word before anything is learnt: most are nowhere.
const RARE: f64 = -5.0;

/// Token ids of the words at each of the nine places, sorted.
pub type Words = [Vec<u32>; PLACES.len()];

/// The words of a record's first caption, each where it belongs.
pub fn words(record: &Record, tokenizer: &Tokenizer) -> Result<Words, Box<dyn Error>> {
    let mut words = Words::default();
    let caption = record.exchanges()?.first().map_or("", |[_, caption]| *caption);
    for sentence in caption.split_inclusive('.') {
        let ids: Vec<u32> = tokenizer
            .encode(sentence.trim())?
            .into_iter()
            .filter(|id| *id > 2)
            .collect();
        let place = sentence.split_once(AT).and_then(|(_, rest)| {
            let named = PLACES.iter().enumerate().filter(|(_, name)| rest.starts_with(*name));
            named.max_by_key(|(_, name)| name.len())
        });
        for (number, words) in words.iter_mut().enumerate() {
            if place.is_none_or(|(at, _)| at == number) {
                words.extend(&ids);
            }
        }
    }
    for words in &mut words {
        words.sort_unstable();
        words.dedup();
    }
    Ok(words)
}

/// The layer that foretells words.
#[derive(Debug)]
pub struct PlaceWords {
    head: Linear,
    /// `[V]`, for the decoder's head, which has none.
    bias: Tensor,
    vocabulary: i64,
}

impl PlaceWords {
    /// Draws it.
    pub fn new(sizes: &Sizes, parameters: &mut Parameters) -> Result<Self, Box<dyn Error>> {
        let (width, vocabulary) = (sizes.tower.hidden_size, sizes.llama.vocabulary);
        Ok(Self {
            head: Linear::with_bias(parameters, Part::Words, "head", [width, vocabulary], 0.5, Stored::Whole)?
                .biased(RARE)?,
            bias: parameters.vector(Part::Words, "rows.bias", vocabulary, RARE)?,
            vocabulary: vocabulary as i64,
        })
    }

    /// The loss, summed over words and places, of tower tokens `[P, s², width]`, and at which places all words were
    /// foreseen and no others (`[9 · P]`, bool).
    pub fn loss(&self, features: &Tensor, words: &[&Words]) -> Result<(Tensor, Tensor), Box<dyn Error>> {
        self.told(&self.head.forward(&pooled(features)?)?, words)
    }

    /// The same of a projector's rows `[P, s², H]`, told by the decoder's head, `[V, H]`.
    pub fn loss_of_rows(
        &self,
        rows: &Tensor,
        head: &Tensor,
        words: &[&Words],
    ) -> Result<(Tensor, Tensor), Box<dyn Error>> {
        self.told(&pooled(rows)?.f_linear(head, Some(&self.bias))?, words)
    }

    fn told(&self, logits: &Tensor, words: &[&Words]) -> Result<(Tensor, Tensor), Box<dyn Error>> {
        let mut wanted = vec![0_f32; logits.numel()];
        let rows = wanted.chunks_exact_mut(self.vocabulary as usize);
        for (row, words) in rows.zip(words.iter().flat_map(|words| words.iter())) {
            for &id in words {
                if let Some(value) = row.get_mut(id as usize) {
                    *value = 1.0;
                }
            }
        }
        let wanted = Tensor::f_from_slice(&wanted)?.f_view(logits.size().as_slice())?;
        let loss =
            logits.f_binary_cross_entropy_with_logits(&wanted, None::<&Tensor>, None::<&Tensor>, Reduction::Sum)?;
        let foreseen = logits
            .f_detach()?
            .f_gt(0.0)?
            .f_to_kind(Kind::Float)?
            .f_eq_tensor(&wanted)?;
        Ok((loss, foreseen.f_all_dim(-1, false)?.f_flatten(0, -1)?))
    }
}

/// The mean over each ninth of a square map, `[P, s², width]` to `[P, 9, width]`.
fn pooled(map: &Tensor) -> Result<Tensor, Box<dyn Error>> {
    let (pictures, tokens, width) = map.size3()?;
    let side = (tokens as u64).isqrt() as i64;
    let map = map.f_transpose(1, 2)?.f_reshape([pictures, width, side, side])?;
    Ok(map
        .f_adaptive_avg_pool2d([ACROSS, ACROSS])?
        .f_flatten(2, 3)?
        .f_transpose(1, 2)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sizes::Shape;
    use crate::vocabulary;

    #[test]
    fn a_sentence_is_about_the_place_it_names_or_about_all() {
        let caption = "There is a big red circle at the top left. There is a blue sign at the top that says go. \
                       The background is sand.";
        let record: Record = serde_json::from_value(json!({"conversations": [
            {"from": "human", "value": "<image>\nDescribe the image."}, {"from": "gpt", "value": caption},
            {"from": "human", "value": "And in short?"}, {"from": "gpt", "value": "A star."},
        ]}))
        .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let trained = vocabulary::train(std::slice::from_ref(&record), "", 400).unwrap();
        vocabulary::write(&trained, Shape::Vila, folder.path()).unwrap();
        let tokenizer = Tokenizer::open(folder.path()).unwrap();
        let words = words(&record, &tokenizer).unwrap();
        let at = |word: &str| -> Vec<usize> {
            let ids = tokenizer.encode(word).unwrap();
            (0..PLACES.len())
                .filter(|&place| words[place].contains(&ids[1]))
                .collect()
        };
        assert_eq!(at("circle"), [0]);
        assert_eq!(at("blue"), [1]);
        assert_eq!(at("go"), [1]);
        assert_eq!(at("sand"), (0..9).collect::<Vec<_>>());
        assert!(at("star").is_empty(), "only the first answer describes the picture");
    }
}
