//! One call to a judge's server, and what kind of failure a failed one is.

use std::error::Error as _;
use std::time::Duration;

use benchmarks::Call;
use jiff::Timestamp;
use reqwest::header::{AUTHORIZATION, HeaderMap, RETRY_AFTER};
use reqwest::{StatusCode, redirect};
use serde::Deserialize;
use serde_json::json;

use super::endpoint::Endpoint;
use super::key::Key;
use super::patience::retry_after;
use crate::fault::Fault;

/// No reply of a few tokens is longer, in bytes; what a broken server sends beyond it is not read.
const LONGEST_BODY: usize = 4 << 20;

/// How much of a server's words an error shows, in characters.
const WORDS_SHOWN: usize = 200;

/// A server and the model to ask there.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    endpoint: Endpoint,
    model: String,
    key: Option<Key>,
    timeout: Duration,
}

/// What the server said.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// The text, as it came; the key, if it stands there, is hidden.
    pub content: String,
    /// The model that the server says it was.
    pub served_by: Option<String>,
    /// Why the text ends.
    pub finish: Option<String>,
    /// Tokens of the message, as the server counts.
    pub prompt_tokens: Option<u64>,
    /// Tokens of the reply.
    pub completion_tokens: Option<u64>,
}

/// Why there is no reply.
#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    /// Any other call would fail alike; the user must mend something.
    Fatal(String),
    /// This call can get no reply, whatever is tried.
    Refused(String),
    /// The next try may succeed.
    Passing {
        /// What happened.
        why: String,
        /// How long the server asks to wait.
        after: Option<Duration>,
    },
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
    model: Option<String>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
}

impl Client {
    /// A client that waits `timeout` for a reply.
    pub fn new(endpoint: Endpoint, model: String, key: Option<Key>, timeout: Duration) -> Result<Self, Fault> {
        let mut headers = HeaderMap::new();
        if let Some(key) = &key {
            headers.insert(AUTHORIZATION, key.header()?);
        }
        let http = reqwest::Client::builder()
            .default_headers(headers)
            .timeout(timeout)
            // A redirected POST becomes a GET, and the key has no business elsewhere.
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|error| Fault::Bug(format!("the HTTP client does not start: {}", words(&error))))?;
        Ok(Self {
            http,
            endpoint,
            model,
            key,
            timeout,
        })
    }

    /// Sends one message and waits for the reply.
    pub async fn ask(&self, call: &Call) -> Result<Reply, Failure> {
        let body = json!({
            "model": self.model,
            "messages": [{"role": "user", "content": call.message}],
            "temperature": call.temperature,
            "max_tokens": call.max_tokens,
        });
        let sent = self.http.post(self.endpoint.url()).json(&body).send().await;
        let response = sent.map_err(|error| self.network(&error))?;
        let status = response.status();
        let after = response.headers().get(RETRY_AFTER);
        let after = after.and_then(|header| retry_after(header.to_str().ok()?, Timestamp::now()));
        let body = self.body(response).await;
        if !status.is_success() {
            return Err(self.rejected(status, after, &body.unwrap_or_default()));
        }
        self.read(&body?)
    }

    async fn body(&self, mut response: reqwest::Response) -> Result<String, Failure> {
        let mut bytes = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.network(&error))? {
            bytes.extend_from_slice(&piece);
            if bytes.len() > LONGEST_BODY {
                return Err(passing("the reply is longer than 4 MiB"));
            }
        }
        Ok(self.hide(&String::from_utf8_lossy(&bytes)))
    }

    fn read(&self, body: &str) -> Result<Reply, Failure> {
        let completion: Completion =
            serde_json::from_str(body).map_err(|error| passing(format!("the reply is no chat completion: {error}")))?;
        let Some(choice) = completion.choices.into_iter().next() else {
            return Err(passing("the reply is a chat completion without choices"));
        };
        let usage = completion.usage;
        Ok(Reply {
            // Escapes in the JSON may have kept the key from being seen before.
            content: self.hide(&choice.message.content.unwrap_or_default()),
            served_by: completion.model.map(|model| self.hide(&model)),
            finish: choice.finish_reason.map(|reason| self.hide(&reason)),
            prompt_tokens: usage.as_ref().and_then(|usage| usage.prompt_tokens),
            completion_tokens: usage.and_then(|usage| usage.completion_tokens),
        })
    }

    fn rejected(&self, status: StatusCode, after: Option<Duration>, body: &str) -> Failure {
        let (endpoint, model, code) = (&self.endpoint, &self.model, status.as_u16());
        match code {
            // What is said about a key may hold a part of it.
            401 | 403 if self.key.is_none() => Failure::Fatal(format!(
                "`{endpoint}` asks for a key (status {code}); set VILA_BENCH_JUDGE_KEY"
            )),
            401 | 403 => Failure::Fatal(format!(
                "`{endpoint}` refuses the key or its use of `{model}` (status {code}); set VILA_BENCH_JUDGE_KEY \
                 to one that may"
            )),
            404 => Failure::Fatal(format!(
                "`{endpoint}` has no model `{model}`, or no chat completions there (status 404){}; check --judge and \
                 --judge-model",
                self.said(body)
            )),
            405 | 300..=399 => Failure::Fatal(format!(
                "`{endpoint}` takes no chat completions (status {code}); check --judge"
            )),
            408 | 409 | 429 | 500..=599 => Failure::Passing {
                why: format!("status {code}{}", self.said(body)),
                after,
            },
            _ => Failure::Refused(format!("status {code}{}", self.said(body))),
        }
    }

    /// The server's own words about an error, on one line. A page for browsers holds none.
    fn said(&self, body: &str) -> String {
        let document: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
        let message = ["/error/message", "/message", "/detail", "/error"]
            .iter()
            .find_map(|path| document.pointer(path)?.as_str())
            .unwrap_or(if body.trim_start().starts_with('<') { "" } else { body });
        let line = self.hide(message);
        let words = line.split(|c: char| c.is_whitespace() || c.is_control());
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        let shown: String = words.join(" ").chars().take(WORDS_SHOWN).collect();
        if shown.is_empty() { shown } else { format!(": {shown}") }
    }

    fn network(&self, error: &reqwest::Error) -> Failure {
        if error.is_timeout() {
            return passing(format!("no reply within {} s", self.timeout.as_secs_f64()));
        }
        passing(self.hide(&words(error)))
    }

    fn hide(&self, text: &str) -> String {
        self.key.as_ref().map_or_else(|| text.to_owned(), |key| key.hide(text))
    }
}

fn passing(why: impl Into<String>) -> Failure {
    Failure::Passing {
        why: why.into(),
        after: None,
    }
}

/// The innermost cause, which says what happened: "Connection refused". The outer ones name the address, which may
/// hold a secret.
fn words(error: &reqwest::Error) -> String {
    let mut inner: Option<&dyn std::error::Error> = error.source();
    while let Some(cause) = inner.and_then(|cause| cause.source()) {
        inner = Some(cause);
    }
    inner.map_or_else(|| "the connection failed".to_owned(), ToString::to_string)
}
