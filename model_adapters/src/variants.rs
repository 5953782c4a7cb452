//! The published checkpoints that this crate reads, as `checkpoints.md` section 1 has them: one row for each, with the
//! tiny checkpoint of the same kind that it is held to its reference on (`tests/fixtures/checkpoints`).

use crate::checkpoint::{Layout, Packing, ProjectorKind, SelectFeature, TowerKind};
use crate::profile::Profile;
use crate::template::ConvTemplate;

/// One kind of published checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variant {
    /// The published names: the last part of the hub ids.
    pub names: &'static [&'static str],
    /// How it lies on disk.
    pub layout: Layout,
    /// The vision tower.
    pub tower: TowerKind,
    /// Whether the tower sees a picture at two scales.
    pub s2: bool,
    /// The tower's hidden state, counted from its end: -1 is the last.
    pub select_layer: i64,
    /// Which tokens of that state.
    pub select_feature: SelectFeature,
    /// The projector.
    pub projector: ProjectorKind,
    /// How the decoder's linears are packed, where they have four bits.
    pub packing: Option<Packing>,
    /// The template of its published numbers.
    pub template: ConvTemplate,
    /// The program of its published numbers.
    pub profile: Profile,
    /// Folder of the tiny checkpoint.
    pub golden: &'static str,
}

/// LLaVA-1.5; the others are told by what differs.
const LLAVA: Variant = Variant {
    names: &["llava-v1.5-7b", "llava-v1.5-13b"],
    layout: Layout::A,
    tower: TowerKind::Clip,
    s2: false,
    select_layer: -2,
    select_feature: SelectFeature::Patch,
    projector: ProjectorKind::MlpGelu { depth: 2 },
    packing: None,
    template: ConvTemplate::VicunaV1,
    profile: Profile::Llava12,
    golden: "tiny-llava-v1.5",
};

const LLAVA_HF: Variant = Variant {
    names: &["llava-1.5-7b-hf", "llava-1.5-13b-hf"],
    layout: Layout::D,
    template: ConvTemplate::LlavaHf,
    golden: "tiny-llava-hf",
    ..LLAVA
};

const VILA: Variant = Variant {
    names: &["VILA-7b", "VILA-13b"],
    profile: Profile::Vila10,
    golden: "tiny-vila-7b",
    ..LLAVA
};

const VILA_15: Variant = Variant {
    names: &["VILA1.5-3b"],
    layout: Layout::B,
    tower: TowerKind::Siglip,
    select_feature: SelectFeature::ClsPatch,
    projector: ProjectorKind::MlpDownsample,
    profile: Profile::Vila15,
    golden: "tiny-vila15",
    ..LLAVA
};

/// Every row.
pub const VARIANTS: &[Variant] = &[
    VILA,
    VILA_15,
    Variant {
        names: &["VILA1.5-3b-s2"],
        s2: true,
        golden: "tiny-vila1.5-3b-s2",
        ..VILA_15
    },
    Variant {
        names: &["Llama-3-VILA1.5-8b"],
        template: ConvTemplate::Llama3May2024,
        golden: "tiny-llama-3-vila1.5-8b",
        ..VILA_15
    },
    Variant {
        names: &["Llama-3-VILA1.5-8b-Fix"],
        template: ConvTemplate::Llama3September2024,
        golden: "tiny-llama-3-vila1.5-8b-fix",
        ..VILA_15
    },
    Variant {
        names: &["VILA1.5-13b"],
        golden: "tiny-vila1.5-13b",
        ..VILA_15
    },
    Variant {
        names: &["VILA1.5-40b"],
        tower: TowerKind::InternVit,
        select_layer: -1,
        select_feature: SelectFeature::Patch,
        template: ConvTemplate::Hermes2,
        golden: "tiny-vila1.5-40b",
        ..VILA_15
    },
    // The other AWQ checkpoints are their base models with linears packed as these are.
    Variant {
        names: &["VILA1.5-3b-AWQ", "VILA1.5-13b-AWQ"],
        packing: Some(Packing::V2),
        golden: "tiny-vila1.5-3b-awq",
        ..VILA_15
    },
    Variant {
        names: &["VILA-7b-4bit-awq"],
        packing: Some(Packing::V1),
        golden: "tiny-vila-7b-awq",
        ..VILA
    },
    LLAVA,
    LLAVA_HF,
    Variant {
        names: &["llava-1.5-7b-hf-awq"],
        packing: Some(Packing::Gemm),
        golden: "tiny-llava-hf-awq",
        ..LLAVA_HF
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_published_name_chooses_the_template_and_the_program_of_its_numbers() {
        for variant in VARIANTS {
            for name in variant.names.iter().copied().chain([variant.golden]) {
                assert_eq!(ConvTemplate::choose(name, variant.layout), variant.template, "{name}");
                assert_eq!(Profile::choose(name, variant.layout), variant.profile, "{name}");
            }
        }
    }

    #[test]
    fn every_row_has_a_tiny_checkpoint_and_every_tiny_checkpoint_a_row() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/checkpoints");
        let mut found: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.path().join("expected/expected.safetensors").is_file())
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        found.sort();
        let mut rows: Vec<&str> = VARIANTS.iter().map(|variant| variant.golden).collect();
        rows.sort_unstable();
        assert_eq!(found, rows);
    }
}
