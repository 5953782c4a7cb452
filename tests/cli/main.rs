//! The command as users run it: what it prints, writes and returns, on good and on bad input.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bad_input;
mod bad_runs;
mod bench;
mod browser;
#[cfg(feature = "libtorch")]
mod checkpoint;
mod command;
mod compare;
mod demo_data;
mod explain;
mod export;
mod grade;
mod judge_server;
#[cfg(feature = "libtorch")]
mod layouts;
mod leaderboard;
#[cfg(feature = "libtorch")]
mod model_options;
mod prompts;
mod report;
mod run;
mod score;
#[cfg(feature = "libtorch")]
mod thirteen_billion;
#[cfg(feature = "libtorch")]
mod trained;
mod verify;
