//! From prompt tokens and picture features to one sequence of decoder inputs (`architecture.md` section 7).

use tch::Tensor;

use crate::runner::error::AnswerError;
use crate::runner::llama::Llama;
use crate::tokenizer::PromptToken;

/// What stands where in a prompt, before anything is embedded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Splice {
    pieces: Vec<Piece>,
    /// Positions.
    pub length: usize,
    /// Positions were cut off at the end.
    pub truncated: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// Ids of the vocabulary.
    Text(Vec<i64>),
    /// The first `rows` rows of a picture.
    Picture { number: usize, rows: usize },
}

impl Piece {
    fn len(&self) -> usize {
        match self {
            Self::Text(ids) => ids.len(),
            Self::Picture { rows, .. } => *rows,
        }
    }

    fn truncate(&mut self, length: usize) {
        match self {
            Self::Text(ids) => ids.truncate(length),
            Self::Picture { rows, .. } => *rows = (*rows).min(length),
        }
    }
}

impl Splice {
    /// Puts the rows of each picture, `[1, rows, H]`, in the place of its marker and keeps the first `limit` positions.
    /// That may cut off the question, as it does in the references.
    pub fn of(
        llama: &Llama,
        tokens: &[PromptToken],
        pictures: &[Tensor],
        limit: Option<usize>,
    ) -> Result<Self, AnswerError> {
        let mut rows = Vec::with_capacity(pictures.len());
        for picture in pictures {
            let (_, count, width) = picture.size3()?;
            if width as usize != llama.hidden_size() {
                return Err(AnswerError::Sample(format!(
                    "a picture's rows are {width} wide, the decoder's {}",
                    llama.hidden_size()
                )));
            }
            rows.push(count as usize);
        }
        Self::plan(tokens, &rows, llama.rows(), limit)
    }

    /// Embeds the first `positions` positions: `[1, positions, H]`.
    pub fn embed(&self, llama: &Llama, pictures: &[Tensor], positions: usize) -> Result<Tensor, AnswerError> {
        let mut parts = Vec::with_capacity(self.pieces.len());
        let mut room = positions;
        for piece in &self.pieces {
            let taken = piece.len().min(room);
            if taken == 0 {
                break;
            }
            room -= taken;
            parts.push(match piece {
                Piece::Text(ids) => llama.embed_ids(ids.get(..taken).unwrap_or(ids))?,
                Piece::Picture { number, .. } => match pictures.get(*number) {
                    Some(picture) => picture.f_narrow(1, 0, taken as i64)?,
                    None => return Err(AnswerError::Sample(missing_picture(number + 1, pictures.len()))),
                },
            });
        }
        Ok(Tensor::f_cat(&parts, 1)?)
    }

    fn plan(
        tokens: &[PromptToken],
        picture_rows: &[usize],
        vocabulary: usize,
        limit: Option<usize>,
    ) -> Result<Self, AnswerError> {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut markers = 0;
        for token in tokens {
            match *token {
                PromptToken::Text(id) if id as usize >= vocabulary => {
                    return Err(AnswerError::Sample(format!(
                        "token {id} of the prompt has no row in the embedding of {vocabulary} rows"
                    )));
                }
                PromptToken::Text(id) => match pieces.last_mut() {
                    Some(Piece::Text(ids)) => ids.push(i64::from(id)),
                    _ => pieces.push(Piece::Text(vec![i64::from(id)])),
                },
                PromptToken::Picture(number) => {
                    let rows = picture_rows.get(number).copied().filter(|_| number == markers);
                    let rows =
                        rows.ok_or_else(|| AnswerError::Sample(missing_picture(number + 1, picture_rows.len())))?;
                    pieces.push(Piece::Picture { number, rows });
                    markers += 1;
                }
            }
        }
        if markers < picture_rows.len() {
            return Err(AnswerError::Sample(format!(
                "the prompt marks {markers} picture(s), but {} were given",
                picture_rows.len()
            )));
        }
        let whole: usize = pieces.iter().map(Piece::len).sum();
        let length = limit.map_or(whole, |limit| whole.min(limit));
        let mut room = length;
        for piece in &mut pieces {
            piece.truncate(room);
            room -= piece.len();
        }
        pieces.retain(|piece| piece.len() > 0);
        if length == 0 {
            return Err(AnswerError::Sample("the prompt has no tokens".to_owned()));
        }
        Ok(Self {
            pieces,
            length,
            truncated: length < whole,
        })
    }
}

fn missing_picture(marker: usize, pictures: usize) -> String {
    format!("marker {marker} of the prompt stands for no picture: pictures given: {pictures}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(ids: std::ops::Range<u32>) -> Vec<PromptToken> {
        ids.map(PromptToken::Text).collect()
    }

    fn with_picture(before: u32, after: u32) -> Vec<PromptToken> {
        let mut tokens = text(0..before);
        tokens.push(PromptToken::Picture(0));
        tokens.extend(text(before..before + after));
        tokens
    }

    #[test]
    fn one_picture_between_two_texts() {
        let plan = Splice::plan(&with_picture(35, 27), &[576], 32_000, None).unwrap();
        assert_eq!((plan.length, plan.truncated), (638, false));
        assert_eq!(plan.pieces[0].len(), 35);
        assert_eq!(plan.pieces[1], Piece::Picture { number: 0, rows: 576 });
        assert_eq!(plan.pieces[2], Piece::Text((35..62).collect()));
    }

    #[test]
    fn the_end_is_cut_off_wherever_it_falls() {
        let cases = [
            (638, [35, 576, 27], false),
            (637, [35, 576, 26], true),
            (611, [35, 576, 0], true),
            (100, [35, 65, 0], true),
            (20, [20, 0, 0], true),
        ];
        for (limit, lengths, truncated) in cases {
            let plan = Splice::plan(&with_picture(35, 27), &[576], 32_000, Some(limit)).unwrap();
            let kept: Vec<usize> = plan.pieces.iter().map(Piece::len).collect();
            let expected: Vec<usize> = lengths.into_iter().filter(|&length| length > 0).collect();
            assert_eq!((kept, plan.length, plan.truncated), (expected, limit, truncated));
        }
    }

    #[test]
    fn markers_and_pictures_must_match() {
        let two = [PromptToken::Picture(0), PromptToken::Text(3), PromptToken::Picture(1)];
        assert_eq!(Splice::plan(&two, &[4, 5], 10, None).unwrap().length, 10);
        let cases = [
            (
                &two[..],
                &[4][..],
                "marker 2 of the prompt stands for no picture: pictures given: 1",
            ),
            (&two[..1], &[4, 5], "the prompt marks 1 picture(s), but 2 were given"),
            (&two[1..2], &[4], "the prompt marks 0 picture(s), but 1 were given"),
            (
                &two[2..],
                &[4, 5],
                "marker 2 of the prompt stands for no picture: pictures given: 2",
            ),
            (&[], &[], "the prompt has no tokens"),
            (
                &[PromptToken::Text(10)],
                &[],
                "token 10 of the prompt has no row in the embedding of 10 rows",
            ),
        ];
        for (tokens, rows, message) in cases {
            assert_eq!(Splice::plan(tokens, rows, 10, None).unwrap_err().to_string(), message);
        }
    }

    proptest! {
        #[test]
        fn a_plan_keeps_order_and_counts(
            shape in prop::collection::vec(prop::option::of(0_usize..7), 1..20),
            limit in prop::option::of(1_usize..60),
        ) {
            let mut rows = Vec::new();
            let mut whole = Vec::new();
            let tokens: Vec<PromptToken> = shape
                .iter()
                .enumerate()
                .map(|(at, picture)| match picture {
                    None => {
                        whole.push((None, at));
                        PromptToken::Text(at as u32)
                    }
                    Some(count) => {
                        whole.extend((0..*count).map(|row| (Some(rows.len()), row)));
                        rows.push(*count);
                        PromptToken::Picture(rows.len() - 1)
                    }
                })
                .collect();
            let kept = limit.map_or(whole.len(), |limit| limit.min(whole.len()));
            match Splice::plan(&tokens, &rows, 100, limit) {
                Err(error) => {
                    prop_assert_eq!(error.to_string(), "the prompt has no tokens");
                    prop_assert_eq!(kept, 0);
                }
                Ok(plan) => {
                    let laid_out: Vec<(Option<usize>, usize)> = plan
                        .pieces
                        .iter()
                        .flat_map(|piece| match piece {
                            Piece::Text(ids) => ids.iter().map(|&id| (None, id as usize)).collect::<Vec<_>>(),
                            Piece::Picture { number, rows } => (0..*rows).map(|row| (Some(*number), row)).collect(),
                        })
                        .collect();
                    prop_assert_eq!(&laid_out[..], &whole[..kept]);
                    prop_assert_eq!((plan.length, plan.truncated), (kept, kept < whole.len()));
                }
            }
        }
    }
}
