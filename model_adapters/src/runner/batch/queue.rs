//! What waits for a prefill pass: groups of questions, and how much of one goes into a pass.

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::rc::Rc;

use crate::runner::batch::cohort::{Question, Segment, own_room};
use crate::runner::batch::prefill::{Pass, PrefixSource};
use crate::runner::batch::root::Root;
use crate::runner::batch::sharing::{Trie, common_prefix};
use crate::runner::device::Device;
use crate::runner::error::AnswerError;
use crate::runner::loading::free_memory;
use crate::runner::model::VilaModel;
use crate::tokenizer::PromptToken;

/// A prefill pass is closed when it has so many positions: enough for full speed, few enough to bound the memory of
/// its activations.
pub const PASS_POSITIONS: usize = 2048;

/// A decode step of so many questions is no longer bound by reading the weights.
const ROWS_ON_CPU: usize = 64;
const ROWS_ON_CUDA: usize = 256;

/// How much may be in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Questions.
    pub rows: usize,
    /// Bytes of keys and values.
    pub bytes: usize,
}

impl Room {
    /// As many as pay on `device` where no number is given. On a CPU keys and values take half of what memory is free
    /// now; on a GPU a failed allocation says how much fits.
    pub fn choose(rows: Option<usize>, device: Device) -> Self {
        let (paying, bytes) = match device {
            Device::Cpu => (
                ROWS_ON_CPU,
                free_memory().map_or(usize::MAX, |free| usize::try_from(free / 2).unwrap_or(usize::MAX)),
            ),
            Device::Cuda(_) => (ROWS_ON_CUDA, usize::MAX),
        };
        Self {
            rows: rows.unwrap_or(paying),
            bytes,
        }
    }
}

/// Questions that wait, of one group.
pub struct Piece {
    /// `None` where a question stands alone.
    pub prefix: Option<Rc<Prefix>>,
    /// In their order.
    pub questions: VecDeque<Question>,
}

/// What the prompts of a group begin with.
pub struct Prefix {
    tokens: usize,
    positions: usize,
    /// Its keys and values, once a pass has computed them.
    pub segment: OnceCell<Rc<Segment>>,
}

/// What the prompts of a group begin with, if it is worth keeping.
pub fn prefix_of(questions: &[Question]) -> Option<Prefix> {
    let prompts: Vec<&[PromptToken]> = questions.iter().map(|question| &*question.tokens).collect();
    let tokens = common_prefix(&prompts);
    let (first, others) = prompts.split_first()?;
    let is_text = |prompt: &&[PromptToken]| {
        let mut behind = prompt.iter().skip(tokens);
        behind.all(|token| matches!(token, PromptToken::Text(_)))
    };
    if others.is_empty() || tokens == 0 || !prompts.iter().all(is_text) {
        return None;
    }
    // The pictures all stand in the prefix: what is left of a prompt is text, one position a token.
    let positions = questions.first()?.prompt_positions - (first.len() - tokens);
    Some(Prefix {
        tokens,
        positions,
        segment: OnceCell::new(),
    })
}

/// Adds questions of one group to a pass: all of them behind their prefix, or the only one. What `root`, the pass's
/// own, begins is taken from there.
pub fn add(
    pass: &mut Pass<'_>,
    model: &VilaModel,
    root: Option<&Root>,
    prefix: Option<&Prefix>,
    questions: Vec<Question>,
) -> Result<(), AnswerError> {
    // The positions from the root on, and whether there is one.
    let embed = |question: &Question, tokens: usize, positions: usize| {
        let splice = model.splice(&question.tokens, &question.pictures)?;
        let embedded = splice.embed(model.llama(), &question.pictures, positions)?;
        let known = rooted(root, question, tokens, positions);
        let own = embedded.f_narrow(1, known as i64, (positions - known) as i64)?;
        Ok::<_, AnswerError>((own, known > 0))
    };
    let Some(prefix) = prefix else {
        for question in questions {
            let (embedded, behind_root) = embed(&question, question.tokens.len(), question.prompt_positions)?;
            pass.add_alone(embedded, behind_root, question)?;
        }
        return Ok(());
    };
    let source = match (prefix.segment.get(), questions.first()) {
        (Some(segment), _) => PrefixSource::Known(Rc::clone(segment)),
        (None, Some(question)) => {
            let (embedded, behind_root) = embed(question, prefix.tokens, prefix.positions)?;
            PrefixSource::New { embedded, behind_root }
        }
        (None, None) => return Ok(()),
    };
    let id = |token: &PromptToken| match *token {
        PromptToken::Text(id) => Some(i64::from(id)),
        PromptToken::Picture(_) => None,
    };
    let own = |question: &Question| question.tokens.iter().skip(prefix.tokens).filter_map(id).collect();
    let suffixes: Vec<Vec<i64>> = questions.iter().map(own).collect();
    let trie = Trie::of(suffixes.iter().map(Vec::as_slice));
    Ok(pass.add_shared(source, prefix.positions, &trie, questions)?)
}

/// How many positions of `root` stand at the beginning of the first `tokens` tokens, or `positions` positions, of a
/// prompt.
fn rooted(root: Option<&Root>, question: &Question, tokens: usize, positions: usize) -> usize {
    let begun = question.tokens.get(..tokens).unwrap_or_default();
    let root = root.filter(|root| root.begins(begun) && root.positions() < positions);
    root.map_or(0, Root::positions)
}

impl Piece {
    /// Whether its questions begin with `prefix`.
    pub fn is_behind(&self, prefix: Option<&Rc<Prefix>>) -> bool {
        match (&self.prefix, prefix) {
            (Some(own), Some(other)) => Rc::ptr_eq(own, other),
            _ => false,
        }
    }

    /// How many of its questions go into a pass, where `taken` is in flight or in the pass already: as many as one
    /// pass takes of it, or none.
    pub fn fitting(&self, model: &VilaModel, root: Option<&Root>, room: Room, taken: Taken) -> usize {
        let all = self.questions.len().min(room.rows);
        let fills = |count: usize| (self.bytes(model, count), self.positions(root, count));
        let suits = |count: &usize| {
            let (bytes, positions) = fills(*count);
            bytes <= room.bytes && positions <= PASS_POSITIONS
        };
        let count = (1..=all).rev().find(suits).unwrap_or(1);
        let (bytes, positions) = fills(count);
        let has_room = taken.rows + count <= room.rows && taken.bytes + bytes <= room.bytes;
        let joins = taken.positions == 0 || taken.positions + positions <= PASS_POSITIONS;
        // Where nothing is in flight something must go.
        if taken.rows == 0 || (has_room && joins) {
            count
        } else {
            0
        }
    }

    /// Positions that `count` of its questions add to a pass, at most.
    pub fn positions(&self, root: Option<&Root>, count: usize) -> usize {
        self.stored(count) - self.known(root, count)
    }

    /// Bytes of keys and values that `count` of its questions take, at most.
    pub fn bytes(&self, model: &VilaModel, count: usize) -> usize {
        let room = |question: &Question| own_room(question.limits.max_new_tokens);
        let answers: usize = self.questions.iter().take(count).map(room).sum();
        (self.stored(count) + answers) * model.llama().bytes_per_position()
    }

    /// Positions whose keys and values are kept for `count` of its questions.
    fn stored(&self, count: usize) -> usize {
        let (before, shared) = match &self.prefix {
            Some(prefix) => (prefix.positions, prefix.segment.get().map_or(prefix.positions, |_| 0)),
            None => (0, 0),
        };
        let questions = self.questions.iter().take(count);
        shared
            + questions
                .map(|question| question.prompt_positions - before)
                .sum::<usize>()
    }

    /// Of these, the positions that are copied from `root`.
    fn known(&self, root: Option<&Root>, count: usize) -> usize {
        let questions = self.questions.iter().take(count);
        match &self.prefix {
            Some(prefix) if prefix.segment.get().is_some() => 0,
            Some(prefix) => {
                let known = |question| rooted(root, question, prefix.tokens, prefix.positions);
                questions.take(1).map(known).sum()
            }
            None => {
                let known =
                    |question: &Question| rooted(root, question, question.tokens.len(), question.prompt_positions);
                questions.map(known).sum()
            }
        }
    }
}

/// What is in flight, and what is in the pass that is being put together.
#[derive(Debug, Clone, Copy)]
pub struct Taken {
    /// Questions.
    pub rows: usize,
    /// Bytes of keys and values.
    pub bytes: usize,
    /// Packed positions of the pass.
    pub positions: usize,
}
