//! What the prompts of a run begin with before their first picture: the same system text every time, 35 of LLaVA's 613
//! shared positions and of VILA1.5's 233 (`batching.md` section 2). The first pass computes it with everything else;
//! the groups of later passes copy its keys and values, which costs less than looking at a third part in every layer.

use tch::Tensor;

use crate::runner::error::TorchError;
use crate::tokenizer::PromptToken;

/// The text before the first picture, and its keys and values.
#[derive(Debug)]
pub struct Root {
    tokens: Vec<PromptToken>,
    /// Of each layer, `[1, K, tokens, d]`.
    layers: Vec<(Tensor, Tensor)>,
}

impl Root {
    /// Cut from the keys and values, `[1, K, n, d]`, of a prompt's beginning; `None` where no text stands before a
    /// picture in it.
    pub fn of(prompt: &[PromptToken], layers: &[(Tensor, Tensor)]) -> Result<Option<Self>, TorchError> {
        let is_text = |token: &&PromptToken| matches!(token, PromptToken::Text(_));
        let tokens: Vec<PromptToken> = prompt.iter().take_while(is_text).copied().collect();
        if tokens.is_empty() || tokens.len() == prompt.len() {
            return Ok(None);
        }
        let length = tokens.len() as i64;
        if layers
            .iter()
            .any(|(keys, _)| keys.size().get(2).is_none_or(|&n| n < length))
        {
            return Ok(None);
        }
        let cut = |x: &Tensor| x.f_narrow(2, 0, length)?.f_contiguous();
        let layers = layers.iter().map(|(keys, values)| Ok((cut(keys)?, cut(values)?)));
        Ok(Some(Self {
            tokens,
            layers: layers.collect::<Result<_, TorchError>>()?,
        }))
    }

    /// Its positions.
    pub const fn positions(&self) -> usize {
        self.tokens.len()
    }

    /// Whether it stands before the end of `tokens`, which a prompt begins with.
    pub fn begins(&self, tokens: &[PromptToken]) -> bool {
        tokens.len() > self.tokens.len() && tokens.starts_with(&self.tokens)
    }

    /// Keys and values of every layer, `[1, K, n, d]`.
    pub fn layers(&self) -> &[(Tensor, Tensor)] {
        &self.layers
    }

    /// Those of one.
    pub fn layer(&self, layer: usize) -> Result<&(Tensor, Tensor), TorchError> {
        let missing = || TorchError(format!("the root has no layer {layer}"));
        self.layers.get(layer).ok_or_else(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    fn layers(positions: i64) -> Vec<(Tensor, Tensor)> {
        let keys = Tensor::arange(2 * positions, (Kind::Float, tch::Device::Cpu)).view([1, 1, positions, 2]);
        vec![(keys.shallow_clone(), -keys)]
    }

    #[test]
    fn the_text_before_the_first_picture_and_no_other_beginning() {
        let text = |id| PromptToken::Text(id);
        let picture = PromptToken::Picture;
        let prompt = [text(1), text(7), picture(0), text(9), picture(1)];
        let root = Root::of(&prompt, &layers(9)).unwrap().unwrap();
        assert_eq!(root.positions(), 2);
        let (keys, values) = root.layer(0).unwrap();
        assert_eq!(Vec::<f32>::try_from(keys.flatten(0, -1)).unwrap(), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(values.size(), [1, 1, 2, 2]);
        assert!(root.layer(1).is_err());
        assert!(root.begins(&prompt) && root.begins(&[text(1), text(7), text(8)]));
        assert!(!root.begins(&prompt[..2]) && !root.begins(&[text(1), picture(0)]));

        for without in [&prompt[2..], &prompt[..2]] {
            assert!(Root::of(without, &layers(9)).unwrap().is_none());
        }
        // A prompt that was cut within its text.
        assert!(Root::of(&prompt, &layers(1)).unwrap().is_none());
    }
}
