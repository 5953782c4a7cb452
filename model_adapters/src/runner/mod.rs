//! The libtorch runner: vision tower, projector, decoder, generation.
