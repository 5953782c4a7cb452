//! A judge: a language model that is asked about an answer where no rule can tell what it is worth.
//!
//! No network here. A [`Judgement`] says what to send next and takes the reply, so that a transcript of replies gives
//! the same verdict as the server did.

/// One message to a judge.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The one user message.
    pub message: String,
    /// Sampling temperature.
    pub temperature: f64,
    /// How long the reply may be, in tokens.
    pub max_tokens: u32,
}

/// Asking about one answer: a call, and a few more where a reply cannot be read.
pub trait Judgement: Send {
    /// What to send next.
    fn call(&self) -> Call;
    /// Takes the reply to it; `None` if there is to be another call.
    fn reply(&mut self, content: &str) -> Option<Verdict>;
}

/// What came of asking about one answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// What is kept of the reply.
    pub content: String,
    /// What was read in it; `None` where every call was used up and no reply could be read.
    pub finding: Option<Finding>,
}

/// What a judge said of an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Finding {
    /// What it is worth, from 0 to 1 (MM-Vet).
    Score(f64),
    /// The option that it means, `Z` where it means none (MMBench).
    Letter(&'static str),
}

/// Who gave the grades that a score rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judge {
    /// The model, as the grade file names it; several are joined by commas.
    pub name: String,
    /// Why the score does not compare with that of the papers, if it does not.
    pub remark: Option<String>,
}
