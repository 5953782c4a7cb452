//! Telling the layouts apart (`checkpoints.md` section 2).

use std::fmt;

/// How a checkpoint lies on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One folder, the tower named by hub id (VILA v1, liuhaotian/llava-v1.5).
    A,
    /// `llm/`, `vision_tower/`, `mm_projector/` (VILA1.5).
    B,
    /// llava-hf: everything in one set of files.
    D,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "LLaVA single folder (A/C)",
            Self::B => "VILA1.5 (B)",
            Self::D => "llava-hf (D)",
        })
    }
}
