//! Which reference program a run follows, and everything that decides.
//!
//! The same checkpoint gives slightly different numbers under different programs (`architecture.md` section 1). What
//! they differ in is decided here and nowhere else: the way of a picture, the width of the tower's numbers, the
//! `legacy` rule of the tokenizer, what generation is fed with, where an answer ends.

use std::fmt;
use std::str::FromStr;

use crate::checkpoint::Layout;
use crate::names::UnknownName;
use crate::picture::Geometry;
use crate::request::Script;
use crate::stop::{Ending, Window};

/// A reference program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// LLaVA 1.2.2.post1.
    Llava12,
    /// VILA at tag `v1.0`, with the evaluation scripts of April 2024.
    Vila10,
    /// VILA at branch `vila1.5`.
    Vila15,
}

/// What a program hands to its generation loop; the loop's own record of ids begins accordingly, and the keyword
/// criterion looks at that record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GenerateInput {
    /// Embeddings only: the record begins with a BOS placeholder.
    Embeddings,
    /// Token ids and pictures: the record begins with the prompt, each picture one marker.
    TokenIds,
}

impl Profile {
    /// All profiles, the oldest program first.
    pub const ALL: [Self; 3] = [Self::Llava12, Self::Vila10, Self::Vila15];

    /// Its name on the command line and in manifests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Llava12 => "llava-1.2",
            Self::Vila10 => "vila-1.0",
            Self::Vila15 => "vila-1.5",
        }
    }

    /// The program that a checkpoint's published numbers were made with. `model_folder_name` is the last component of
    /// its path, in any case: nothing else tells VILA v1 from LLaVA-1.5 (`checkpoints.md` section 2).
    pub fn choose(model_folder_name: &str, layout: Layout) -> Self {
        match layout {
            Layout::B => Self::Vila15,
            Layout::A if model_folder_name.to_lowercase().contains("vila") => Self::Vila10,
            Layout::A | Layout::D => Self::Llava12,
        }
    }

    /// The tokenizer's `legacy` where `tokenizer_config.json` does not state it: VILA passes false, LLaVA leaves it to
    /// the library, whose default is true (`prompting.md` section 4).
    pub const fn legacy(self) -> bool {
        matches!(self, Self::Llava12)
    }

    /// Whether the vision tower computes in float32 while the rest computes in 16 bits: LLaVA loads its tower without
    /// a dtype (`architecture.md` section 1). llava-hf files hold their tower and are loaded in one dtype.
    pub const fn wide_tower(self, layout: Layout) -> bool {
        matches!((self, layout), (Self::Llava12, Layout::A))
    }

    /// What happens to a picture before the processor: VILA's script for open questions calls the processor directly,
    /// whatever the checkpoint has `configured`, so VILA v1 crops there and does not pad (`preprocessing.md`
    /// section 6). That it does not convert to RGB first changes nothing: the processor does.
    pub const fn geometry(self, script: Script, configured: Geometry) -> Geometry {
        match (self, script) {
            (Self::Vila10 | Self::Vila15, Script::Open) => Geometry::Processor,
            _ => configured,
        }
    }

    /// What generation is fed with.
    pub const fn generate_input(self) -> GenerateInput {
        match self {
            Self::Llava12 | Self::Vila15 => GenerateInput::Embeddings,
            Self::Vila10 => GenerateInput::TokenIds,
        }
    }

    /// Where an answer to `script` ends. No benchmark script passes its keyword criterion on for the models of this
    /// crate; VILA's scripts for open and for multiple-choice questions cut the stop string off all the same
    /// (`prompting.md` section 6, `benchmarks/mmbench.md` section 4). VLMEvalKit passes it and cuts nothing.
    pub const fn ending(self, script: Script) -> Ending {
        match (self, script) {
            (_, Script::VlmEvalKit) => Ending {
                keyword: Some(Window::Tail),
                cut: false,
            },
            (Self::Vila10 | Self::Vila15, Script::Open | Script::MultipleChoice) => Ending {
                keyword: None,
                cut: true,
            },
            _ => Ending {
                keyword: None,
                cut: false,
            },
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Profile {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|profile| profile.name() == name)
            .ok_or_else(|| UnknownName::new("profile", name, Self::ALL.map(Self::name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_back() {
        for profile in Profile::ALL {
            assert_eq!(profile.to_string().parse(), Ok(profile));
        }
        assert_eq!(
            "vila1.5".parse::<Profile>().unwrap_err().to_string(),
            "unknown profile `vila1.5`; did you mean `vila-1.5`? known: llava-1.2, vila-1.0, vila-1.5"
        );
    }

    #[test]
    fn the_checkpoint_chooses() {
        let cases = [
            ("llava-v1.5-7b", Layout::A, Profile::Llava12),
            ("", Layout::A, Profile::Llava12),
            ("VILA-7b", Layout::A, Profile::Vila10),
            ("my-vila-13b", Layout::A, Profile::Vila10),
            ("VILA1.5-3b", Layout::B, Profile::Vila15),
            ("llava-renamed", Layout::B, Profile::Vila15),
            ("llava-1.5-7b-hf", Layout::D, Profile::Llava12),
            ("vila-hf", Layout::D, Profile::Llava12),
        ];
        for (name, layout, profile) in cases {
            assert_eq!(Profile::choose(name, layout), profile, "{name} {layout}");
        }
    }

    /// The table of `architecture.md` section 1 and the tables of `preprocessing.md` section 6.
    #[test]
    fn what_the_programs_differ_in() {
        use Geometry::{Pad, Processor, Stretch};
        use Profile::{Llava12, Vila10, Vila15};
        use Script::{MultipleChoice, Open, Short, VlmEvalKit};
        assert_eq!(Profile::ALL.map(Profile::legacy), [true, false, false]);
        let wide = |layout| Profile::ALL.map(|profile| profile.wide_tower(layout));
        assert_eq!(wide(Layout::A), [true, false, false]);
        assert_eq!(wide(Layout::B), [false; 3]);
        assert_eq!(wide(Layout::D), [false; 3]);
        let geometries = [
            (Llava12, Short, Pad, Pad),
            (Llava12, Open, Pad, Pad),
            (Llava12, MultipleChoice, Pad, Pad),
            (Vila10, Short, Pad, Pad),
            (Vila10, Open, Pad, Processor),
            (Vila10, MultipleChoice, Pad, Pad),
            (Vila10, VlmEvalKit, Pad, Pad),
            (Vila15, Short, Stretch, Stretch),
            (Vila15, Open, Stretch, Processor),
            (Vila15, MultipleChoice, Stretch, Stretch),
            (Vila15, VlmEvalKit, Stretch, Stretch),
        ];
        for (profile, script, configured, used) in geometries {
            assert_eq!(profile.geometry(script, configured), used, "{profile} {script:?}");
        }
        let endings = [
            (Short, [false, false, false]),
            (Open, [false, true, true]),
            (MultipleChoice, [false, true, true]),
            (VlmEvalKit, [false, false, false]),
        ];
        for (script, cuts) in endings {
            let keyword = (script == VlmEvalKit).then_some(Window::Tail);
            let expected = cuts.map(|cut| Ending { keyword, cut });
            assert_eq!(
                Profile::ALL.map(|profile| profile.ending(script)),
                expected,
                "{script:?}"
            );
        }
    }
}
