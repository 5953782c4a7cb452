//! What asking will take, before it starts: calls, tokens, price.

use std::fmt;

use super::asking::Job;

/// Characters a token, about: English prose under the tokenizers of GPT-4 and its like.
const CHARACTERS_A_TOKEN: f64 = 4.0;

/// What a million tokens cost, in whatever money the user thinks of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prices {
    /// Of what is sent.
    pub sent: f64,
    /// Of what is received.
    pub received: f64,
}

/// What asking will take if every first reply can be read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    calls: usize,
    sent: f64,
    received: f64,
    prices: Option<Prices>,
}

impl Estimate {
    /// Of the next call of each job.
    pub fn of(jobs: &[Job], prices: Option<Prices>) -> Self {
        let calls: Vec<_> = jobs.iter().map(|job| job.judgement.call()).collect();
        let characters: usize = calls.iter().map(|call| call.message.chars().count()).sum();
        Self {
            calls: calls.len(),
            sent: characters as f64 / CHARACTERS_A_TOKEN,
            received: calls.iter().map(|call| f64::from(call.max_tokens)).sum(),
            prices,
        }
    }
}

impl Prices {
    /// What that many tokens cost.
    pub fn of(&self, sent: f64, received: f64) -> f64 {
        (sent * self.sent + received * self.received) / 1e6
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} calls at least, about {:.0} tokens to send and at most {:.0} to receive",
            self.calls, self.sent, self.received
        )?;
        match self.prices {
            Some(prices) => write!(f, ", about {:.2} in all", prices.of(self.sent, self.received)),
            None => write!(f, "; --price-in and --price-out make a price of it"),
        }
    }
}
