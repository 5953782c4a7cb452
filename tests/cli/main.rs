//! The command as users run it: what it prints, writes and returns, on good and on bad input.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod browser;
#[cfg(feature = "libtorch")]
mod checkpoint;
mod command;
mod compare;
mod explain;
mod export;
mod leaderboard;
mod report;
mod run;
mod score;
