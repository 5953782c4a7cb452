//! Many judgements at once: so many calls in flight, each reply on disk before the next call, failures tried again
//! with patience, a stop when nothing gets through.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use benchmarks::{Call, Judgement, Verdict};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::client::{Client, Failure, Reply};
use super::patience::Patience;
use super::transcript::{Entry, Subject, TranscriptFile};
use crate::fault::Fault;
use crate::interrupt::Interrupt;
use crate::progress::Progress;

/// So many failed judgements in a row end the work: the server is down, and the rest would only wait for it.
const FAILURES_IN_A_ROW: usize = 8;

/// How often a wait looks whether the user has asked to stop.
const LOOK: Duration = Duration::from_millis(50);

/// A judgement to be made.
pub struct Job {
    /// What it is about.
    pub subject: Subject,
    /// Where it stands.
    pub judgement: Box<dyn Judgement>,
    /// How many calls led there.
    pub calls: u32,
}

/// What came of a job.
#[derive(Debug)]
pub struct Judged {
    /// What it was about.
    pub subject: Subject,
    /// The verdict, or why there is none.
    pub outcome: Result<Verdict, Missing>,
    /// Tokens sent and received, as the server counted them.
    pub tokens: (u64, u64),
}

/// Why there is no verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// The server gave no reply.
    Failed(String),
    /// The user stopped before it was made.
    Stopped,
}

/// What came of all jobs.
#[derive(Debug)]
pub struct Asked {
    /// Those that were begun.
    pub judged: Vec<Judged>,
    /// What ended the work early, if anything.
    pub stop: Option<Fault>,
}

/// Asks one server; shared by all calls in flight.
pub struct Asker {
    client: Client,
    patience: Patience,
    transcript: Mutex<TranscriptFile>,
    interrupt: Interrupt,
    /// No call before this: the server asked one of them to wait.
    not_before: Mutex<Option<Instant>>,
    /// Whether the user has heard of a call that is tried again; once is enough.
    told: AtomicBool,
}

impl Asker {
    /// Asks through `client` and appends to `transcript`.
    pub fn new(client: Client, patience: Patience, transcript: TranscriptFile, interrupt: Interrupt) -> Self {
        Self {
            client,
            patience,
            transcript: Mutex::new(transcript),
            interrupt,
            not_before: Mutex::new(None),
            told: AtomicBool::new(false),
        }
    }

    /// Makes all judgements, `concurrency` at a time.
    pub fn ask_all(self, jobs: Vec<Job>, concurrency: usize, progress: Progress) -> Result<Asked, Fault> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Fault::Bug(format!("cannot start the asynchronous runtime: {error}")))?;
        runtime.block_on(Arc::new(self).drive(jobs, concurrency, progress))
    }

    async fn drive(
        self: Arc<Self>,
        jobs: Vec<Job>,
        concurrency: usize,
        mut progress: Progress,
    ) -> Result<Asked, Fault> {
        let mut waiting = jobs.into_iter();
        let mut flying = JoinSet::new();
        let mut asked = Asked {
            judged: Vec::new(),
            stop: None,
        };
        let mut failures = 0;
        loop {
            while asked.stop.is_none() && flying.len() < concurrency && !self.interrupt.requested() {
                let Some(job) = waiting.next() else { break };
                flying.spawn(Arc::clone(&self).judge(job));
            }
            let Some(ended) = flying.join_next().await else { break };
            match ended.map_err(|error| Fault::Bug(format!("a judgement ended by itself: {error}")))? {
                Ok(judged) => {
                    match &judged.outcome {
                        Ok(_) => failures = 0,
                        Err(Missing::Failed(why)) => {
                            failures += 1;
                            if failures >= FAILURES_IN_A_ROW && asked.stop.is_none() {
                                asked.stop = Some(Fault::User(format!(
                                    "{failures} judgements failed in a row ({why}); see to the server and grade again, \
                                     nothing that was graded is asked twice"
                                )));
                            }
                        }
                        Err(Missing::Stopped) => {}
                    }
                    if judged.outcome != Err(Missing::Stopped) {
                        progress.add(judged.outcome.is_err());
                    }
                    asked.judged.push(judged);
                }
                Err(fault) => {
                    // What is in flight would fail alike.
                    flying.abort_all();
                    progress.finish();
                    return Err(fault);
                }
            }
        }
        progress.finish();
        Ok(asked)
    }

    /// Calls until there is a verdict.
    async fn judge(self: Arc<Self>, mut job: Job) -> Result<Judged, Fault> {
        let mut tokens = (0, 0);
        let outcome = loop {
            let call = job.judgement.call();
            match self.call(&call).await? {
                Ok(reply) => {
                    self.keep(&Entry::of(&job.subject, job.calls, &call, Ok(&reply)))?;
                    tokens.0 += reply.prompt_tokens.unwrap_or_default();
                    tokens.1 += reply.completion_tokens.unwrap_or_default();
                    job.calls += 1;
                    if let Some(verdict) = job.judgement.reply(&reply.content) {
                        break Ok(verdict);
                    }
                }
                Err(missing) => {
                    if let Missing::Failed(why) = &missing {
                        self.keep(&Entry::of(&job.subject, job.calls, &call, Err(why)))?;
                    }
                    break Err(missing);
                }
            }
        };
        Ok(Judged {
            subject: job.subject,
            outcome,
            tokens,
        })
    }

    /// One call, tried again while that may help. The outer failure ends the whole work.
    async fn call(&self, call: &Call) -> Result<Result<Reply, Missing>, Fault> {
        for attempt in 0.. {
            if !self.wait().await {
                return Ok(Err(Missing::Stopped));
            }
            match self.client.ask(call).await {
                Ok(reply) => return Ok(Ok(reply)),
                Err(Failure::Fatal(why)) => return Err(Fault::User(why)),
                Err(Failure::Refused(why)) => return Ok(Err(Missing::Failed(why))),
                Err(Failure::Passing { why, .. }) if attempt >= self.patience.retries => {
                    let tries = attempt + 1;
                    return Ok(Err(Missing::Failed(format!("{why} (tried {tries} times)"))));
                }
                Err(Failure::Passing { why, after }) => {
                    if !self.told.swap(true, Ordering::Relaxed) {
                        eprintln!(
                            "no reply: {why}; such calls are tried again, up to {} times each",
                            self.patience.retries
                        );
                    }
                    let pause = self.patience.pause(attempt, after);
                    if after.is_some() {
                        self.hold_all(pause);
                    }
                    if !self.sleep_until(Instant::now() + pause).await {
                        return Ok(Err(Missing::Stopped));
                    }
                }
            }
        }
        Ok(Err(Missing::Stopped))
    }

    /// Waits as long as the server has asked any call to; whether to go on then.
    async fn wait(&self) -> bool {
        let until = *self.not_before.lock().unwrap_or_else(PoisonError::into_inner);
        match until {
            Some(until) => self.sleep_until(until).await,
            None => !self.interrupt.requested(),
        }
    }

    fn hold_all(&self, pause: Duration) {
        let until = Instant::now() + pause;
        let mut not_before = self.not_before.lock().unwrap_or_else(PoisonError::into_inner);
        *not_before = not_before.max(Some(until));
    }

    /// Whether the time came before the user asked to stop.
    async fn sleep_until(&self, until: Instant) -> bool {
        while !self.interrupt.requested() {
            if Instant::now() >= until {
                return true;
            }
            tokio::select! {
                () = sleep_until(until) => {}
                () = sleep(LOOK) => {}
            }
        }
        false
    }

    fn keep(&self, entry: &Entry) -> Result<(), Fault> {
        let mut transcript = self.transcript.lock().unwrap_or_else(PoisonError::into_inner);
        transcript.append(entry)
    }
}
