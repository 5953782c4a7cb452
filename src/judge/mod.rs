//! Asking a judge: a language model behind a server that speaks OpenAI's chat completions.
//!
//! What is asked and how replies are read is the benchmark's ([`benchmarks::Judgement`]). Here: where the server is
//! ([`endpoint`]), its key ([`key`]), one call ([`client`]), trying again ([`patience`]), many judgements at once
//! ([`asking`]), every reply on disk ([`transcript`]), what it will cost ([`estimate`]), all of it for one set of
//! answers ([`session`]), a rule that needs no server ([`grader`]), and how a judge compares with another ([`calibration`]).

pub mod asking;
pub mod calibration;
pub mod client;
pub mod endpoint;
pub mod estimate;
pub mod grader;
pub mod key;
pub mod patience;
pub mod session;
pub mod transcript;
