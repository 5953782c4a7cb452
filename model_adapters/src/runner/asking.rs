//! From a stream of requests to answers: groups them by picture, has their pictures made ready ahead, keeps the
//! engine fed, and gives repeated questions their earlier answer.

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tch::Tensor;

use crate::request::{Answer, EncodedPicture, Generated, Request, SampleFailure, Script};
use crate::runner::adapter::{Language, Message, Sight};
use crate::runner::batch::engine::{Engine, Prompt};
use crate::runner::batch::size::BatchSize;
use crate::runner::error::{AnswerError, TorchError};
use crate::runner::generate::Generation;
use crate::runner::pictures::{Awaited, ContentHash, PictureThreads};
use crate::runner::repeats::{Outcome, QuestionHash, Repeats, Turn};
use crate::tokenizer::PromptToken;
use crate::work::{Report, Span, Stage, Work};

/// Groups whose pictures are made ready before the engine asks for them.
const GROUPS_AHEAD: usize = 4;
/// Threads that make pictures ready: one keeps up with a model that takes 5 ms a picture.
const PICTURE_THREADS: usize = 2;
/// Encoded pictures that are kept, for groups that show the same content under another name.
const PICTURES_KEPT: usize = 8;

/// Neighbouring requests about the same pictures, of one script.
struct Group {
    requests: Vec<Request>,
    pictures: Vec<Awaited>,
}

/// A question in the engine.
struct Asked {
    id: String,
    script: Script,
    tokens: Rc<[PromptToken]>,
    hash: Option<QuestionHash>,
}

/// One stream of requests on its way to its answers.
pub struct Asking<'a> {
    engine: Engine<'a>,
    language: &'a Language,
    sight: &'a Sight,
    threads: PictureThreads,
    ahead: VecDeque<Group>,
    encoded: VecDeque<(ContentHash, Tensor)>,
    asked: HashMap<usize, Asked>,
    tickets: usize,
    repeats: Option<Repeats>,
    repeated: usize,
    stop: &'a AtomicBool,
}

type Sink<'s> = dyn FnMut(Answer) -> ControlFlow<()> + 's;

impl<'a> Asking<'a> {
    /// Nothing asked yet.
    pub fn new(
        engine: Engine<'a>,
        language: &'a Language,
        sight: &'a Sight,
        dedupe: bool,
        stop: &'a AtomicBool,
    ) -> Self {
        Self {
            engine,
            language,
            sight,
            threads: PictureThreads::start(PICTURE_THREADS),
            ahead: VecDeque::new(),
            encoded: VecDeque::new(),
            asked: HashMap::new(),
            tickets: 0,
            repeats: dedupe.then(Repeats::default),
            repeated: 0,
            stop,
        }
    }

    /// What it took.
    pub fn report(&self) -> Report {
        Report {
            work: Work {
                repeats: self.repeated,
                ..self.engine.work
            },
            spent: self.engine.clock.spent,
            rates: None,
        }
    }

    /// When what was done, where the engine's clock keeps that, and what was learned about the batch's size.
    pub fn into_parts(self) -> (Vec<Span>, BatchSize) {
        (self.engine.clock.spans, self.engine.size)
    }

    /// Answers `requests` until they end, `sink` breaks or a stop is asked for.
    pub fn run(&mut self, requests: &mut dyn Iterator<Item = Request>, sink: &mut Sink<'_>) -> Result<(), TorchError> {
        let mut requests = requests.peekable();
        loop {
            while self.ahead.len() < GROUPS_AHEAD
                && let Some(group) = self.next_group(&mut requests)
            {
                self.ahead.push_back(group);
            }
            let mut flow = ControlFlow::Continue(());
            if self.engine.is_hungry()
                && let Some(group) = self.ahead.pop_front()
            {
                flow = self.enter(group, sink)?;
            } else if self.engine.is_idle() {
                return Ok(());
            } else {
                for outcome in self.engine.step()? {
                    flow = self.leave(outcome.ticket, outcome.result.map_err(SampleFailure), sink);
                    if flow.is_break() {
                        break;
                    }
                }
            }
            if flow.is_break() || self.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
        }
    }

    /// The next requests about the same pictures, with these ordered.
    fn next_group(&self, requests: &mut std::iter::Peekable<&mut dyn Iterator<Item = Request>>) -> Option<Group> {
        let first = requests.next()?;
        let (script, pictures) = (first.script, keys(&first));
        let preprocess = self.sight.of(script);
        let ordered = Message::unchecked(&first).pictures;
        let ordered = ordered
            .iter()
            .map(|picture| self.threads.order(picture, &preprocess, self.sight.decoder));
        let ordered = ordered.collect();
        let mut group = vec![first];
        while let Some(next) = requests.next_if(|next| next.script == script && keys(next) == pictures) {
            group.push(next);
        }
        Some(Group {
            requests: group,
            pictures: ordered,
        })
    }

    /// Hands a group to the engine, apart from questions that fail or were asked before.
    fn enter(&mut self, group: Group, sink: &mut Sink<'_>) -> Result<ControlFlow<()>, TorchError> {
        let (contents, pictures) = match self.encode(group.pictures) {
            Ok(encoded) => encoded,
            Err(AnswerError::Torch(error)) => return Err(error),
            Err(AnswerError::Sample(reason)) => {
                for request in group.requests {
                    let answer = Answer {
                        id: request.id,
                        outcome: Err(SampleFailure(reason.clone())),
                    };
                    if sink(answer).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                return Ok(ControlFlow::Continue(()));
            }
        };
        let mut prompts = Vec::with_capacity(group.requests.len());
        for request in group.requests {
            let clock = &mut self.engine.clock;
            let tokens = clock.run(Stage::Tokenise, || self.language.prompt_tokens(&request));
            let tokens = match tokens {
                Ok(tokens) => tokens,
                Err(AnswerError::Torch(error)) => return Err(error),
                Err(AnswerError::Sample(reason)) => {
                    let outcome = Err(SampleFailure(reason));
                    if sink(Answer {
                        id: request.id,
                        outcome,
                    })
                    .is_break()
                    {
                        return Ok(ControlFlow::Break(()));
                    }
                    continue;
                }
            };
            let hash = QuestionHash::of(&contents, &tokens, request.script, request.limits);
            match self
                .repeats
                .as_mut()
                .map_or(Turn::Ask, |known| known.turn(hash, &request.id))
            {
                Turn::Wait => {}
                Turn::Repeat { id, outcome } => {
                    if self.repeat(request.id, &id, outcome, sink).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Turn::Ask => {
                    let ticket = self.tickets;
                    self.tickets += 1;
                    let hash = self.repeats.is_some().then_some(hash);
                    let tokens: Rc<[PromptToken]> = tokens.into();
                    let asked = Asked {
                        id: request.id,
                        script: request.script,
                        tokens: Rc::clone(&tokens),
                        hash,
                    };
                    self.asked.insert(ticket, asked);
                    prompts.push(Prompt {
                        ticket,
                        tokens,
                        limits: request.limits,
                    });
                }
            }
        }
        self.engine.submit(prompts, &pictures)?;
        Ok(ControlFlow::Continue(()))
    }

    /// Gives an outcome to its request and to those that repeat it.
    fn leave(
        &mut self,
        ticket: usize,
        result: Result<Generation, SampleFailure>,
        sink: &mut Sink<'_>,
    ) -> ControlFlow<()> {
        let Some(asked) = self.asked.remove(&ticket) else {
            return ControlFlow::Continue(());
        };
        let Asked {
            id,
            script,
            tokens,
            hash,
        } = asked;
        let outcome = result.and_then(|generation| self.language.answer(script, &tokens, generation));
        let waiting = match (&mut self.repeats, hash) {
            (Some(repeats), Some(hash)) => repeats.answered(hash, &id, &outcome),
            _ => Vec::new(),
        };
        sink(Answer {
            id: id.clone(),
            outcome: outcome.clone(),
        })?;
        for repeating in waiting {
            self.repeat(repeating, &id, outcome.clone(), sink)?;
        }
        ControlFlow::Continue(())
    }

    /// Gives question `id` the outcome of the equal question `of`.
    fn repeat(&mut self, id: String, of: &str, outcome: Outcome, sink: &mut Sink<'_>) -> ControlFlow<()> {
        self.repeated += 1;
        let outcome = outcome.map(|said| Generated {
            repeats: Some(of.to_owned()),
            ..said
        });
        sink(Answer { id, outcome })
    }

    /// Waits for pictures and encodes those that are not kept.
    fn encode(&mut self, awaited: Vec<Awaited>) -> Result<(Vec<ContentHash>, Rc<[Tensor]>), AnswerError> {
        let mut contents = Vec::with_capacity(awaited.len());
        let mut rows = Vec::with_capacity(awaited.len());
        for picture in awaited {
            let ready = self.engine.clock.run(Stage::Waiting, || picture.recv());
            let ready =
                ready.map_err(|_| AnswerError::Sample("the thread that reads pictures has failed".to_owned()))?;
            let ready = ready.map_err(AnswerError::Sample)?;
            ready.spans.into_iter().for_each(|span| self.engine.clock.add(span));
            let known = self.encoded.iter().find(|(content, _)| *content == ready.content);
            let encoded = match known {
                Some((_, encoded)) => encoded.shallow_clone(),
                None => {
                    let encoded = self.engine.encode(&ready.pixels)?;
                    self.encoded.truncate(PICTURES_KEPT - 1);
                    self.encoded.push_front((ready.content, encoded.shallow_clone()));
                    encoded
                }
            };
            contents.push(ready.content);
            rows.push(encoded);
        }
        Ok((contents, rows.into()))
    }
}

fn keys(request: &Request) -> Vec<Arc<str>> {
    let pictures = Message::unchecked(request).pictures;
    let key = |picture: &&EncodedPicture| Arc::clone(&picture.key);
    pictures.iter().map(key).collect()
}
