//! Tiny checkpoints of every layout, whole and broken in every way that has a message.

mod configurations;
mod containers;
mod fixture;
mod misfits;
mod opening;
mod twins;
mod weight_files;
