//! Tiny checkpoints of both layouts, whole and broken in every way that has a message.

mod configurations;
mod fixture;
mod misfits;
mod opening;
mod weight_files;
