//! The scheduler: groups of questions in, generated ids out, in any order.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Instant;

use tch::Tensor;

use crate::request::{FinishReason, GenerationLimits};
use crate::runner::batch::cohort::{self, Cohort, Question, Row, Segment};
use crate::runner::batch::exactness::{Comparison, Exactness, Spread};
use crate::runner::batch::prefill::Pass;
use crate::runner::batch::queue::{PASS_POSITIONS, Piece, Prefix, Room, Taken, add, prefix_of};
use crate::runner::batch::root::Root;
use crate::runner::batch::size::BatchSize;
use crate::runner::clock::Clock;
use crate::runner::error::{AnswerError, TorchError};
use crate::runner::generate::{Generation, ending, not_finite};
use crate::runner::model::VilaModel;
use crate::tokenizer::PromptToken;
use crate::work::{Stage, Work};

/// One question of a group, tokenised.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// Comes back with the answer.
    pub ticket: usize,
    /// The prompt before splicing.
    pub tokens: Rc<[PromptToken]>,
    /// When to stop.
    pub limits: GenerationLimits,
}

/// What became of a question: its generation, or why it has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Of its [`Prompt`].
    pub ticket: usize,
    /// Generated ids, or the reason.
    pub result: Result<Generation, String>,
}

/// Answers groups of questions with one model.
pub struct Engine<'a> {
    model: &'a mut VilaModel,
    room: Room,
    /// Learns how many rows pay.
    pub size: BatchSize,
    exactness: Exactness,
    spread: &'a mut Spread,
    waiting: VecDeque<Piece>,
    cohorts: Vec<Cohort>,
    /// Known from the first pass on.
    root: Option<Root>,
    /// What a failed allocation puts back among the waiting.
    in_flight: BTreeMap<usize, (Question, Option<Rc<Prefix>>)>,
    done: Vec<Outcome>,
    /// Counts so far.
    pub work: Work,
    /// Time so far.
    pub clock: Clock,
}

impl<'a> Engine<'a> {
    /// Nothing asked yet, as many rows as `room` has. `spread` is what earlier runs have measured; it learns from this
    /// one.
    pub fn new(model: &'a mut VilaModel, room: Room, exactness: Exactness, spread: &'a mut Spread) -> Self {
        Self {
            model,
            room,
            size: BatchSize::new(room.rows, true),
            exactness,
            spread,
            waiting: VecDeque::new(),
            cohorts: Vec::new(),
            root: None,
            in_flight: BTreeMap::new(),
            done: Vec::new(),
            work: Work::default(),
            clock: Clock::default(),
        }
    }

    /// Whether another group would fill a batch that is not full yet. No more wait than one pass takes, since each
    /// holds its pictures' rows.
    pub fn is_hungry(&self) -> bool {
        let waiting: usize = self.waiting.iter().map(|piece| piece.questions.len()).sum();
        let positions: usize = self
            .waiting
            .iter()
            .map(|piece| piece.positions(self.root.as_ref(), piece.questions.len()))
            .sum();
        waiting + self.live() < self.room.rows && positions < PASS_POSITIONS
    }

    /// Whether every question has its outcome.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.cohorts.is_empty() && self.done.is_empty()
    }

    /// The rows that take a picture's place, `[1, rows, H]`, of normalised pixels. One picture at a time: on a CPU the
    /// products of one picture's 577 rows run at full speed already, and four at once are no faster (13.7 ms a picture
    /// and block against 13.4 to 15.4 ms for the first MLP product of a tower 512 wide, 11.1 against 11.0 for attention).
    pub fn encode(&mut self, pixels: &[f32]) -> Result<Tensor, AnswerError> {
        let features = self.clock.run(Stage::Tower, || self.model.tower_features(pixels))?;
        self.work.tower_forwards += 1;
        self.clock.run(Stage::Projector, || self.model.project(&features))
    }

    /// Takes the questions of one group, whose markers stand for `pictures`.
    pub fn submit(&mut self, prompts: Vec<Prompt>, pictures: &Rc<[Tensor]>) -> Result<(), TorchError> {
        let mut questions = Vec::with_capacity(prompts.len());
        for prompt in prompts {
            match self.question(prompt, pictures)? {
                Ok(question) => questions.push(question),
                Err(outcome) => self.done.push(outcome),
            }
        }
        // A prompt that was cut has no beginning in common with those that were not.
        let (cut, mut whole): (Vec<_>, Vec<_>) = questions.into_iter().partition(|question| question.truncated);
        let prefix = prefix_of(&whole).map(Rc::new);
        if prefix.is_some() {
            let questions = std::mem::take(&mut whole).into();
            self.waiting.push_back(Piece { prefix, questions });
        }
        for question in whole.into_iter().chain(cut) {
            self.waiting.push_back(Piece {
                prefix: None,
                questions: VecDeque::from([question]),
            });
        }
        Ok(())
    }

    fn question(&self, prompt: Prompt, pictures: &Rc<[Tensor]>) -> Result<Result<Question, Outcome>, TorchError> {
        let ticket = prompt.ticket;
        let splice = match self.model.splice(&prompt.tokens, pictures) {
            Ok(splice) => splice,
            Err(AnswerError::Sample(reason)) => {
                return Ok(Err(Outcome {
                    ticket,
                    result: Err(reason),
                }));
            }
            Err(AnswerError::Torch(error)) => return Err(error),
        };
        let question = Question {
            ticket,
            tokens: prompt.tokens,
            pictures: Rc::clone(pictures),
            limits: prompt.limits,
            prompt_positions: splice.length,
            truncated: splice.truncated,
        };
        Ok(match ending(&[], &[], question.limits) {
            None => Ok(question),
            Some(finish) => Err(Outcome {
                ticket,
                result: Ok(question.generation(Vec::new(), finish)),
            }),
        })
    }

    /// Does the next piece of work, a prefill pass or a decode step; gives the outcomes that are known by then.
    pub fn step(&mut self) -> Result<Vec<Outcome>, TorchError> {
        let _guard = tch::no_grad_guard();
        match self.advance() {
            Err(AnswerError::Torch(error)) if error.is_out_of_memory() && self.room.rows > 1 => self.retreat(),
            Err(AnswerError::Torch(error)) => return Err(error),
            // Questions are checked when they are submitted.
            Err(AnswerError::Sample(reason)) => return Err(TorchError(reason)),
            Ok(()) => {}
        }
        Ok(std::mem::take(&mut self.done))
    }

    fn advance(&mut self) -> Result<(), AnswerError> {
        if self.exactness == Exactness::Reference {
            return self.ask_next_alone();
        }
        let earlier = self.cohorts.len();
        if self.prefill()? {
            self.take_tokens(earlier)
        } else if self.cohorts.is_empty() {
            Ok(())
        } else {
            self.decode()?;
            self.take_tokens(0)
        }
    }

    /// The reference path: the next question by itself, whatever it shares with others.
    fn ask_next_alone(&mut self) -> Result<(), AnswerError> {
        let Some(piece) = self.waiting.front_mut() else {
            return Ok(());
        };
        let question = piece.questions.pop_front();
        if piece.questions.is_empty() {
            self.waiting.pop_front();
        }
        if let Some(question) = question {
            self.work.questions += 1;
            self.work.prompt_positions += question.prompt_positions;
            self.work.prefilled += question.prompt_positions;
            let row = Row {
                question,
                ids: Vec::new(),
                choices: Vec::new(),
            };
            let result = self.ask_alone(&row)?;
            self.done.push(Outcome {
                ticket: row.question.ticket,
                result,
            });
        }
        Ok(())
    }

    /// Prefills as much as there is room for, as new cohorts; whether there was anything to prefill.
    fn prefill(&mut self) -> Result<bool, AnswerError> {
        let start = Instant::now();
        let mut taken = Taken {
            rows: self.live(),
            bytes: self.kv_bytes(),
            positions: 0,
        };
        let root = self.root.as_ref();
        let mut pass = Pass::new(self.model.llama(), root);
        let mut prefixes = Vec::new();
        while let Some(piece) = self.waiting.front_mut() {
            taken.positions = pass.positions();
            let fitting = piece.fitting(self.model, root, self.room, taken);
            if fitting == 0 {
                break;
            }
            taken.rows += fitting;
            taken.bytes += piece.bytes(self.model, fitting);
            let questions: Vec<Question> = piece.questions.drain(..fitting).collect();
            for question in &questions {
                self.work.questions += 1;
                self.work.prompt_positions += question.prompt_positions;
                self.in_flight
                    .insert(question.ticket, (question.clone(), piece.prefix.clone()));
            }
            prefixes.push(piece.prefix.clone());
            add(&mut pass, self.model, root, piece.prefix.as_deref(), questions)?;
            if !piece.questions.is_empty() {
                break;
            }
            self.waiting.pop_front();
        }
        if pass.positions() == 0 {
            return Ok(false);
        }
        self.work.prefill_passes += 1;
        self.work.prefilled += pass.positions();
        let cohorts = pass.run()?;
        if self.root.is_none() {
            self.root = root_of(&cohorts)?;
        }
        for (cohort, prefix) in cohorts.iter().zip(prefixes) {
            if let (Some(segment), Some(prefix)) = (&cohort.segment, prefix) {
                let _known_before = prefix.segment.set(Rc::clone(segment));
            }
        }
        self.cohorts.extend(cohorts);
        self.clock.since(Stage::Prefill, start);
        Ok(true)
    }

    /// One decode step of everything in flight.
    fn decode(&mut self) -> Result<(), AnswerError> {
        let start = Instant::now();
        self.work.decode_steps += 1;
        self.work.decoded += self.live();
        cohort::decode(self.model.llama(), &mut self.cohorts)?;
        self.clock.since(Stage::Step, start);
        self.room.rows = self.size.note(self.live(), start.elapsed().as_secs_f64());
        Ok(())
    }

    /// Chooses the next token of every row of the cohorts from `start` on and lets those go that are done.
    fn take_tokens(&mut self, start: usize) -> Result<(), AnswerError> {
        self.work.kv_bytes = self.work.kv_bytes.max(self.kv_bytes());
        let mut gone = Vec::new();
        for cohort in self.cohorts.iter_mut().skip(start) {
            let (model, exactness, spread) = (&*self.model, self.exactness, &*self.spread);
            gone.extend(cohort.release(|row| row.goes_on(model, exactness, spread))?);
        }
        self.cohorts.retain(|cohort| !cohort.rows.is_empty());
        for row in gone {
            let result = self.conclude(&row)?;
            self.in_flight.remove(&row.question.ticket);
            self.done.push(Outcome {
                ticket: row.question.ticket,
                result,
            });
        }
        Ok(())
    }

    /// The outcome of a row that has left its batch.
    fn conclude(&mut self, row: &Row) -> Result<Result<Generation, String>, AnswerError> {
        let covered = self.spread.covers(row.ids.len());
        let settled = row.is_settled(self.model, self.spread);
        let in_batch = || match ending(&row.ids, self.model.eos(), row.question.limits) {
            Some(finish) if row.is_finite() => Ok(row.question.generation(row.ids.clone(), finish)),
            _ => Err(not_finite(row.ids.split_last().map_or(&[], |(_, before)| before))),
        };
        match self.exactness {
            Exactness::Exact if covered && settled => Ok(in_batch()),
            Exactness::Fast if covered => Ok(in_batch()),
            Exactness::Exact | Exactness::Reference => {
                if covered {
                    self.work.close += 1;
                }
                self.ask_alone(row)
            }
            Exactness::Fast => {
                let said = in_batch();
                let _compared = self.ask_alone(row)?;
                Ok(said)
            }
        }
    }

    /// Asks the question of `row` from scratch and learns from the difference.
    fn ask_alone(&mut self, row: &Row) -> Result<Result<Generation, String>, AnswerError> {
        let question = &row.question;
        let mut comparison = Comparison::with(&row.choices);
        let alone = self.clock.run(Stage::Alone, || {
            let mut watch = |ids: &[u32], logits: &Tensor| comparison.step(ids, logits);
            self.model
                .generate_watched(&question.tokens, &question.pictures, question.limits, &mut watch)
        });
        self.work.measured += 1;
        self.work.kv_bytes = self.work.kv_bytes.max(self.kv_bytes());
        let alone = match alone {
            Ok(generation) => generation,
            Err(AnswerError::Sample(reason)) => return Ok(Err(reason)),
            Err(error) => return Err(error),
        };
        self.spread.learn(comparison.moved, row.ids.len().max(alone.ids.len()));
        if !alone.ids.starts_with(&row.ids) {
            self.work.differing += 1;
        }
        Ok(Ok(alone))
    }

    /// After a failed allocation: half as much at once, and everything in flight from its beginning.
    fn retreat(&mut self) {
        self.room.rows = self.size.halve();
        self.room.bytes /= 2;
        self.cohorts.clear();
        for (question, prefix) in std::mem::take(&mut self.in_flight).into_values().rev() {
            self.work.questions -= 1;
            self.work.prompt_positions -= question.prompt_positions;
            match self.waiting.front_mut() {
                Some(piece) if prefix.is_some() && piece.is_behind(prefix.as_ref()) => {
                    piece.questions.push_front(question);
                }
                _ => self.waiting.push_front(Piece {
                    prefix,
                    questions: VecDeque::from([question]),
                }),
            }
        }
    }

    fn live(&self) -> usize {
        self.cohorts.iter().map(|cohort| cohort.rows.len()).sum()
    }

    /// Bytes of keys and values that are held, every shared segment once.
    fn kv_bytes(&self) -> usize {
        let mut segments: Vec<&Rc<Segment>> = Vec::new();
        let prefixes = self.in_flight.values().filter_map(|(_, prefix)| prefix.as_deref());
        let kept = prefixes.filter_map(|prefix| prefix.segment.get());
        for segment in self
            .cohorts
            .iter()
            .filter_map(|cohort| cohort.segment.as_ref())
            .chain(kept)
        {
            if !segments.iter().any(|known| Rc::ptr_eq(known, segment)) {
                segments.push(segment);
            }
        }
        let shared: usize = segments.iter().map(|segment| segment.bytes()).sum();
        let own: usize = self.cohorts.iter().map(|cohort| cohort.cache.bytes()).sum();
        shared + own + self.model.cache_bytes()
    }
}

/// The root that one of `cohorts` begins with.
fn root_of(cohorts: &[Cohort]) -> Result<Option<Root>, TorchError> {
    for cohort in cohorts {
        if let Some(row) = cohort.rows.first()
            && let Some(root) = Root::of(&row.question.tokens, &cohort.beginning()?)?
        {
            return Ok(Some(root));
        }
    }
    Ok(None)
}

impl Row {
    /// Whether it needs another token.
    fn goes_on(&self, model: &VilaModel, exactness: Exactness, spread: &Spread) -> bool {
        let is_over = ending(&self.ids, model.eos(), self.question.limits).is_some() || !self.is_finite();
        // Once its answer is in doubt, the batch's is of no use; while nothing can be judged, it is for measuring.
        let is_doubtful =
            exactness == Exactness::Exact && spread.covers(self.ids.len()) && !self.is_settled(model, spread);
        !is_over && !is_doubtful
    }

    fn is_settled(&self, model: &VilaModel, spread: &Spread) -> bool {
        let dtype = model.placement().dtype;
        self.choices.iter().all(|choice| spread.settles(choice, dtype))
    }

    fn is_finite(&self) -> bool {
        self.choices.last().is_none_or(|choice| choice.logit.is_finite())
    }
}

impl Question {
    fn generation(&self, ids: Vec<u32>, finish: FinishReason) -> Generation {
        Generation {
            ids,
            finish,
            prompt_tokens: self.prompt_positions,
            truncated: self.truncated,
        }
    }
}

#[cfg(test)]
mod tests;
