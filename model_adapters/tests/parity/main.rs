//! The whole way from picture file and question to answer, against what the reference programs made of tiny random
//! checkpoints, one for each row of the table of published ones (`tests/fixtures/checkpoints/README.md`).
#![cfg(feature = "libtorch")]
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod answers;
mod dumps;
mod fixture;
mod rounding;
mod variants;
