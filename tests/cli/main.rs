//! The command as users run it: what it prints, writes and returns, on good and on bad input.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[cfg(feature = "libtorch")]
mod checkpoint;
mod command;
mod export;
#[cfg(feature = "libtorch")]
mod model_options;
mod run;
mod score;
