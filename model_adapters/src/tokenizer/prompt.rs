//! From a prompt with picture markers to token positions (`prompting.md` section 3).

use crate::template::PICTURE;
use crate::tokenizer::TokenizerError;

/// One position of a prompt before splicing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptToken {
    /// A token of the vocabulary.
    Text(u32),
    /// All rows of the picture with that number (from 0, in prompt order).
    Picture(usize),
}

impl PromptToken {
    /// How many pictures a prompt wants. More than were given means that the question itself holds a marker.
    pub fn pictures(prompt: &[Self]) -> usize {
        prompt.iter().filter(|token| matches!(token, Self::Picture(_))).count()
    }
}

/// LLaVA's `tokenizer_image_token`: every piece between markers is a text of its own. Whether the pieces' first
/// tokens are dropped is decided on the first piece alone, also where that drops no BOS but a token of the text: a
/// template that begins with a literal BOS loses the line feed after the picture if the tokenizer adds no BOS.
pub(super) fn piece_by_piece(
    prompt: &str,
    bos: Option<u32>,
    encode: impl Fn(&str) -> Result<Vec<u32>, TokenizerError>,
) -> Result<Vec<PromptToken>, TokenizerError> {
    let mut tokens = Vec::new();
    let mut dropped = 0;
    for (number, piece) in prompt.split(PICTURE).enumerate() {
        let ids = encode(piece)?;
        match number.checked_sub(1) {
            None => {
                dropped = usize::from(bos.is_some() && ids.first().copied() == bos);
                tokens.extend(ids.into_iter().map(PromptToken::Text));
            }
            Some(picture) => {
                tokens.push(PromptToken::Picture(picture));
                tokens.extend(ids.into_iter().skip(dropped).map(PromptToken::Text));
            }
        }
    }
    Ok(tokens)
}

/// The llava-hf way: the whole prompt at once, `image_token` standing for a picture.
pub(super) fn in_one_go(
    prompt: &str,
    image_token: u32,
    encode: impl Fn(&str) -> Result<Vec<u32>, TokenizerError>,
) -> Result<Vec<PromptToken>, TokenizerError> {
    let mut pictures = 0;
    let tokens = encode(prompt)?
        .into_iter()
        .map(|id| {
            if id == image_token {
                pictures += 1;
                PromptToken::Picture(pictures - 1)
            } else {
                PromptToken::Text(id)
            }
        })
        .collect();
    let markers = prompt.matches(PICTURE).count();
    if pictures == markers {
        Ok(tokens)
    } else {
        Err(TokenizerError(format!(
            "the prompt has {markers} `{PICTURE}` but the tokenizer makes {pictures} of them token {image_token}: \
             check the added tokens against `image_token_index` in `config.json`"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::PromptToken::{Picture, Text};
    use super::*;

    /// One id a character; with BOS 1 in front if asked.
    fn letters(bos: bool) -> impl Fn(&str) -> Result<Vec<u32>, TokenizerError> {
        move |text| {
            Ok(bos
                .then_some(1)
                .into_iter()
                .chain(text.chars().map(u32::from))
                .collect())
        }
    }

    #[test]
    fn an_added_bos_stays_in_front_only() {
        let tokens = piece_by_piece("ab<image>c<image>", Some(1), letters(true)).unwrap();
        assert_eq!(tokens, [Text(1), Text(97), Text(98), Picture(0), Text(99), Picture(1)]);
        assert_eq!(PromptToken::pictures(&tokens), 2);
        let tokens = piece_by_piece("<image>c", Some(1), letters(true)).unwrap();
        assert_eq!(tokens, [Text(1), Picture(0), Text(99)]);
        assert_eq!(piece_by_piece("", Some(1), letters(true)).unwrap(), [Text(1)]);
    }

    #[test]
    fn without_bos_nothing_is_dropped() {
        let tokens = piece_by_piece("<image>c", Some(1), letters(false)).unwrap();
        assert_eq!(tokens, [Picture(0), Text(99)]);
        assert_eq!(
            piece_by_piece("a<image>\n", None, letters(false)).unwrap(),
            [Text(97), Picture(0), Text(10)]
        );
    }

    /// The prompts of `llama_3_2405` on a tokenizer without automatic BOS.
    #[test]
    fn a_literal_bos_costs_every_later_piece_its_first_token() {
        let tokens = piece_by_piece("Ba<image>\nb<image>\n<image>", Some(66), letters(false)).unwrap();
        assert_eq!(
            tokens,
            [Text(66), Text(97), Picture(0), Text(98), Picture(1), Picture(2)]
        );
    }

    #[test]
    fn in_one_go_counts_the_markers() {
        let whole = |ids: &'static [u32]| move |_: &str| Ok(ids.to_vec());
        let tokens = in_one_go("<image>x<image>", 7, whole(&[1, 7, 9, 7])).unwrap();
        assert_eq!(tokens, [Text(1), Picture(0), Text(9), Picture(1)]);
        let error = in_one_go("<image>x<image>", 7, whole(&[1, 7, 9])).unwrap_err();
        assert_eq!(
            error.0,
            "the prompt has 2 `<image>` but the tokenizer makes 1 of them token 7: check the added tokens against \
             `image_token_index` in `config.json`"
        );
        assert!(in_one_go("x", 7, whole(&[7])).is_err());
    }
}
