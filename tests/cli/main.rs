//! The command as users run it: what it prints, writes and returns, on good and on bad input.

#[cfg(feature = "libtorch")]
mod checkpoint;
mod command;
mod run;
mod score;
