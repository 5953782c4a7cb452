//! Conversation templates (`prompting.md` section 1; `llava/conversation.py` of LLaVA 1.2 and of VILA).

use std::fmt;
use std::str::FromStr;

use crate::checkpoint::Layout;
use crate::names::UnknownName;

/// Marks a picture in a prompt.
pub const PICTURE: &str = "<image>";
/// Marks a picture where the model was trained with start and end tokens (`mm_use_im_start_end`).
const PICTURE_START_END: &str = "<im_start><image><im_end>";

const HUMAN_SYSTEM: &str = "A chat between a curious human and an artificial intelligence assistant. \
    The assistant gives helpful, detailed, and polite answers to the human's questions.";
const USER_SYSTEM: &str = "A chat between a curious user and an artificial intelligence assistant. \
    The assistant gives helpful, detailed, and polite answers to the user's questions.";
const LLAMA_2_SYSTEM: &str = "You are a helpful language and vision assistant. \
    You are able to understand the visual content that the user provides, \
    and assist the user with a variety of tasks using natural language.";
const LLAMA_3_SYSTEM: &str = "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n\
    You are a helpful language and vision assistant. \
    You are able to understand the visual content that the user provides, \
    and assist the user with a variety of tasks using natural language.";
const LLAMA_3_USER: &str = "<|start_header_id|>user<|end_header_id|>\n\n";

/// How a user's message becomes the text that a model was trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConvTemplate {
    /// LLaVA-1.5, VILA v1, VILA1.5 3B and 13B.
    VicunaV1,
    /// As `vicuna_v1` with "human" for "user"; the interactive scripts' choice, not the evaluations'.
    LlavaV1,
    /// `vicuna_v1` without its system text; the prompt starts with a space.
    VicunaV1NoSystem,
    /// LLaVA v0.
    LlavaV0,
    /// Pretraining: the message alone.
    Plain,
    /// MPT.
    Mpt,
    /// VILA1.5 40B (`chatml_direct` in LLaVA).
    Hermes2,
    /// The first Llama-3-VILA1.5-8b, which was trained to answer under the header `system`.
    Llama3May2024,
    /// Llama-3-VILA1.5-8b-Fix.
    Llama3September2024,
    /// Llama-2 chat.
    LlavaLlama2,
    /// Mistral in VILA.
    Mistral,
    /// Mistral in LLaVA.
    MistralInstruct,
    /// The chat template of llava-hf files: no system text.
    LlavaHf,
}

/// How a template's strings are put together.
#[derive(Debug, Clone, Copy)]
enum Style {
    /// `system sep user: message sep assistant:` (SINGLE and TWO, which differ in later turns only).
    Colon {
        system: &'static str,
        user: &'static str,
        assistant: &'static str,
        separator: &'static str,
    },
    /// `system sep user message sep assistant`, the separators inside the roles (MPT and LLAMA_3).
    Header {
        system: &'static str,
        user: &'static str,
        assistant: &'static str,
        separator: &'static str,
    },
    /// `[INST] … [/INST]` behind `begin`, the system text in its wrapper; LLAMA_2 strips its `<s>` off again.
    Instruction { begin: &'static str, system: &'static str },
    /// The message and a line feed.
    Plain,
    /// The chat template of llava-hf.
    Chat,
}

impl ConvTemplate {
    /// All templates.
    pub fn all() -> impl Iterator<Item = Self> {
        [
            Self::VicunaV1,
            Self::LlavaV1,
            Self::VicunaV1NoSystem,
            Self::LlavaV0,
            Self::Plain,
            Self::Mpt,
            Self::Hermes2,
            Self::Llama3May2024,
            Self::Llama3September2024,
            Self::LlavaLlama2,
            Self::Mistral,
            Self::MistralInstruct,
            Self::LlavaHf,
        ]
        .into_iter()
    }

    /// Its name on the command line and in manifests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::VicunaV1 => "vicuna_v1",
            Self::LlavaV1 => "llava_v1",
            Self::VicunaV1NoSystem => "vicuna_v1_nosys",
            Self::LlavaV0 => "llava_v0",
            Self::Plain => "plain",
            Self::Mpt => "mpt",
            Self::Hermes2 => "hermes-2",
            Self::Llama3May2024 => "llama_3_2405",
            Self::Llama3September2024 => "llama_3_2409",
            Self::LlavaLlama2 => "llava_llama_2",
            Self::Mistral => "mistral",
            Self::MistralInstruct => "mistral_instruct",
            Self::LlavaHf => "llava-hf",
        }
    }

    /// Other names that the references' scripts use for it.
    const fn aliases(self) -> &'static [&'static str] {
        match self {
            Self::VicunaV1 => &["v1"],
            Self::Plain => &["v0_plain"],
            Self::Hermes2 => &["chatml_direct"],
            _ => &[],
        }
    }

    /// The template for a checkpoint when none is asked for: the one that its published numbers were made with.
    /// `model_folder_name` is the last component of the checkpoint's path, in any case.
    pub fn choose(model_folder_name: &str, layout: Layout) -> Self {
        let name = model_folder_name.to_lowercase();
        let has = |part: &str| name.contains(part);
        match layout {
            Layout::D => Self::LlavaHf,
            Layout::A | Layout::B if has("vila1.5") && has("40b") => Self::Hermes2,
            Layout::A | Layout::B if has("llama-3-vila1.5") && has("fix") => Self::Llama3September2024,
            Layout::A | Layout::B if has("llama-3-vila1.5") || has("vila1.5-8b") => Self::Llama3May2024,
            Layout::A | Layout::B => Self::VicunaV1,
        }
    }

    /// The text that ends an assistant's turn in training: `sep2` of style TWO, `sep` of every other (`prompting.md`
    /// section 6.2). None for the templates whose `sep` is empty: the references' criterion, taken literally, would
    /// end each of their answers at the first token, for an empty string is in every text.
    pub const fn stop_string(self) -> Option<&'static str> {
        match self {
            Self::VicunaV1 | Self::LlavaV1 | Self::VicunaV1NoSystem | Self::LlavaHf => Some("</s>"),
            Self::LlavaV0 => Some("###"),
            Self::Plain => Some("\n"),
            Self::Mpt | Self::Hermes2 => Some("<|im_end|>"),
            Self::Llama3May2024 => Some("<|end_of_text|>"),
            Self::Llama3September2024 => Some("<|eot_id|>"),
            Self::LlavaLlama2 => Some("<s>"),
            Self::Mistral | Self::MistralInstruct => None,
        }
    }

    const fn style(self) -> Style {
        match self {
            Self::VicunaV1 => vicuna(USER_SYSTEM),
            Self::LlavaV1 => vicuna(HUMAN_SYSTEM),
            Self::VicunaV1NoSystem => vicuna(""),
            Self::LlavaV0 => Style::Colon {
                system: HUMAN_SYSTEM,
                user: "Human",
                assistant: "Assistant",
                separator: "###",
            },
            Self::Plain => Style::Plain,
            Self::Mpt => chatml(
                "<|im_start|>system\nA conversation between a user and an LLM-based AI assistant. \
                 The assistant gives helpful and honest answers.",
            ),
            Self::Hermes2 => chatml("<|im_start|>system\nAnswer the questions."),
            Self::Llama3May2024 => Style::Header {
                system: LLAMA_3_SYSTEM,
                user: LLAMA_3_USER,
                // A slip in the training template, which the checkpoint has learnt.
                assistant: "<|start_header_id|>system<|end_header_id|>\n\n",
                separator: "<|end_of_text|>",
            },
            Self::Llama3September2024 => Style::Header {
                system: LLAMA_3_SYSTEM,
                user: LLAMA_3_USER,
                assistant: "<|start_header_id|>assistant<|end_header_id|>\n\n",
                separator: "<|eot_id|>",
            },
            Self::LlavaLlama2 => Style::Instruction {
                begin: "",
                system: LLAMA_2_SYSTEM,
            },
            Self::Mistral => Style::Instruction {
                begin: "<s>",
                system: "",
            },
            Self::MistralInstruct => Style::Instruction { begin: "", system: "" },
            Self::LlavaHf => Style::Chat,
        }
    }

    /// The full prompt for one user message, picture markers included, up to where the answer begins.
    pub fn render(self, message: &str) -> String {
        match self.style() {
            Style::Colon {
                system,
                user,
                assistant,
                separator,
            } => format!("{system}{separator}{user}: {message}{separator}{assistant}:"),
            Style::Header {
                system,
                user,
                assistant,
                separator,
            } => format!("{system}{separator}{user}{message}{separator}{assistant}"),
            Style::Instruction { begin, system: "" } => format!("{begin}[INST] {message} [/INST]"),
            Style::Instruction { begin, system } => {
                format!("{begin}[INST] <<SYS>>\n{system}\n<</SYS>>\n\n{message} [/INST]")
            }
            Style::Plain => format!("{message}\n"),
            Style::Chat => format!("USER: {message} ASSISTANT:"),
        }
    }
}

const fn vicuna(system: &'static str) -> Style {
    Style::Colon {
        system,
        user: "USER",
        assistant: "ASSISTANT",
        separator: " ",
    }
}

const fn chatml(system: &'static str) -> Style {
    Style::Header {
        system,
        user: "<|im_start|>user\n",
        assistant: "<|im_start|>assistant\n",
        separator: "<|im_end|>",
    }
}

/// A user's message as all evaluation scripts build it: the pictures first, each on a line of its own, then `text`
/// (`prompting.md` section 2). `image_start_end` is `mm_use_im_start_end` of the checkpoint.
pub fn picture_message(pictures: usize, text: &str, image_start_end: bool) -> String {
    let marker = if image_start_end { PICTURE_START_END } else { PICTURE };
    let mut message = format!("{marker}\n").repeat(pictures);
    message.push_str(text);
    message
}

impl fmt::Display for ConvTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no template; one line that says what to use instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownTemplate {
    /// `llama_3` alone.
    #[error("`llama_3` has two forms: use `llama_3_2405` (Llama-3-VILA1.5-8b) or `llama_3_2409` (the -Fix checkpoint)")]
    TwoForms,
    /// A template of a 2023 model.
    #[error("conversation template `{0}` is of 2023 models, which are not supported")]
    Unsupported(String),
    /// Any other name.
    #[error(transparent)]
    Unknown(#[from] UnknownName),
}

impl FromStr for ConvTemplate {
    type Err = UnknownTemplate;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "llama_3" => return Err(UnknownTemplate::TwoForms),
            "v0" | "default" => return Err(UnknownTemplate::Unsupported(name.to_owned())),
            _ if name.ends_with("_mmtag") => return Err(UnknownTemplate::Unsupported(name.to_owned())),
            _ => {}
        }
        Self::all()
            .find(|template| template.name() == name || template.aliases().contains(&name))
            .ok_or_else(|| UnknownName::new("conversation template", name, Self::all().map(Self::name)).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn prompts_are_those_of_the_references_byte_for_byte() {
        let vicuna = "A chat between a curious user and an artificial intelligence assistant. The assistant gives \
            helpful, detailed, and polite answers to the user's questions.";
        let human = "A chat between a curious human and an artificial intelligence assistant. The assistant gives \
            helpful, detailed, and polite answers to the human's questions.";
        let helpful = "You are a helpful language and vision assistant. You are able to understand the visual content \
            that the user provides, and assist the user with a variety of tasks using natural language.";
        let s3 = format!("<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n{helpful}");
        let user = "<|start_header_id|>user<|end_header_id|>\n\n<image>\nQ";
        let cases = [
            ("vicuna_v1", format!("{vicuna} USER: <image>\nQ ASSISTANT:")),
            ("v1", format!("{vicuna} USER: <image>\nQ ASSISTANT:")),
            ("llava_v1", format!("{human} USER: <image>\nQ ASSISTANT:")),
            ("vicuna_v1_nosys", " USER: <image>\nQ ASSISTANT:".to_owned()),
            ("llava_v0", format!("{human}###Human: <image>\nQ###Assistant:")),
            ("plain", "<image>\nQ\n".to_owned()),
            ("v0_plain", "<image>\nQ\n".to_owned()),
            (
                "mpt",
                "<|im_start|>system\nA conversation between a user and an LLM-based AI assistant. The assistant gives \
                 helpful and honest answers.<|im_end|><|im_start|>user\n<image>\nQ<|im_end|><|im_start|>assistant\n"
                    .to_owned(),
            ),
            (
                "hermes-2",
                "<|im_start|>system\nAnswer the questions.<|im_end|><|im_start|>user\n<image>\nQ<|im_end|>\
                 <|im_start|>assistant\n"
                    .to_owned(),
            ),
            (
                "chatml_direct",
                "<|im_start|>system\nAnswer the questions.<|im_end|><|im_start|>user\n<image>\nQ<|im_end|>\
                 <|im_start|>assistant\n"
                    .to_owned(),
            ),
            (
                "llama_3_2405",
                format!("{s3}<|end_of_text|>{user}<|end_of_text|><|start_header_id|>system<|end_header_id|>\n\n"),
            ),
            (
                "llama_3_2409",
                format!("{s3}<|eot_id|>{user}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"),
            ),
            (
                "llava_llama_2",
                format!("[INST] <<SYS>>\n{helpful}\n<</SYS>>\n\n<image>\nQ [/INST]"),
            ),
            ("mistral", "<s>[INST] <image>\nQ [/INST]".to_owned()),
            ("mistral_instruct", "[INST] <image>\nQ [/INST]".to_owned()),
            ("llava-hf", "USER: <image>\nQ ASSISTANT:".to_owned()),
        ];
        for (name, prompt) in &cases {
            let template: ConvTemplate = name.parse().unwrap();
            assert_eq!(&template.render("<image>\nQ"), prompt, "{name}");
        }
        for template in ConvTemplate::all() {
            assert!(
                cases.iter().any(|(name, _)| *name == template.name()),
                "{template} has no case"
            );
        }
    }

    #[test]
    fn names_are_those_of_the_references_or_refused() {
        for template in ConvTemplate::all() {
            assert_eq!(template.to_string().parse(), Ok(template));
        }
        let known = "known: vicuna_v1, llava_v1, vicuna_v1_nosys, llava_v0, plain, mpt, hermes-2, llama_3_2405, \
            llama_3_2409, llava_llama_2, mistral, mistral_instruct, llava-hf";
        let unsupported =
            |name: &str| format!("conversation template `{name}` is of 2023 models, which are not supported");
        let cases = [
            ("v0", unsupported("v0")),
            ("default", unsupported("default")),
            ("llava_v1_mmtag", unsupported("llava_v1_mmtag")),
            (
                "Vicuna_v1",
                format!("unknown conversation template `Vicuna_v1`; did you mean `vicuna_v1`? {known}"),
            ),
            ("", format!("unknown conversation template ``; {known}")),
            (
                "llama_3",
                "`llama_3` has two forms: use `llama_3_2405` (Llama-3-VILA1.5-8b) or `llama_3_2409` (the -Fix \
                 checkpoint)"
                    .to_owned(),
            ),
        ];
        for (name, error) in cases {
            assert_eq!(name.parse::<ConvTemplate>().unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn stop_strings_are_sep2_of_style_two_and_sep_of_the_others() {
        let cases = [
            ("v1", Some("</s>")),
            ("llava_v1", Some("</s>")),
            ("vicuna_v1_nosys", Some("</s>")),
            ("llava_v0", Some("###")),
            ("plain", Some("\n")),
            ("mpt", Some("<|im_end|>")),
            ("chatml_direct", Some("<|im_end|>")),
            ("llama_3_2405", Some("<|end_of_text|>")),
            ("llama_3_2409", Some("<|eot_id|>")),
            ("llava_llama_2", Some("<s>")),
            ("mistral", None),
            ("mistral_instruct", None),
            ("llava-hf", Some("</s>")),
        ];
        assert_eq!(cases.len(), ConvTemplate::all().count());
        for (name, stop) in cases {
            assert_eq!(name.parse::<ConvTemplate>().unwrap().stop_string(), stop, "{name}");
        }
    }

    #[test]
    fn the_checkpoint_chooses() {
        let cases = [
            ("llava-v1.5-7b", Layout::A, ConvTemplate::VicunaV1),
            ("VILA-13b", Layout::A, ConvTemplate::VicunaV1),
            ("VILA-40b", Layout::A, ConvTemplate::VicunaV1),
            ("VILA1.5-3b", Layout::B, ConvTemplate::VicunaV1),
            ("vila1.5-3b-s2", Layout::B, ConvTemplate::VicunaV1),
            ("VILA1.5-13b-AWQ", Layout::B, ConvTemplate::VicunaV1),
            ("VILA1.5-40b", Layout::B, ConvTemplate::Hermes2),
            ("Llama-3-VILA1.5-8B", Layout::B, ConvTemplate::Llama3May2024),
            ("vila1.5-8b", Layout::B, ConvTemplate::Llama3May2024),
            ("Llama-3-VILA1.5-8b-Fix", Layout::B, ConvTemplate::Llama3September2024),
            ("llava-1.5-7b-hf", Layout::D, ConvTemplate::LlavaHf),
            ("VILA1.5-40b", Layout::D, ConvTemplate::LlavaHf),
            ("", Layout::B, ConvTemplate::VicunaV1),
        ];
        for (name, layout, template) in cases {
            assert_eq!(ConvTemplate::choose(name, layout), template, "{name} {layout}");
        }
    }

    #[test]
    fn pictures_come_before_the_text() {
        assert_eq!(picture_message(0, "Q", false), "Q");
        assert_eq!(picture_message(1, "Q", false), "<image>\nQ");
        assert_eq!(picture_message(2, "Q", false), "<image>\n<image>\nQ");
        assert_eq!(picture_message(1, "Q", true), "<im_start><image><im_end>\nQ");
        assert_eq!(
            picture_message(2, "", true),
            "<im_start><image><im_end>\n<im_start><image><im_end>\n"
        );
    }

    proptest! {
        #[test]
        fn the_message_stands_in_the_prompt_once(message in "[A-Z0-9<>]{12,30}") {
            for template in ConvTemplate::all() {
                prop_assert_eq!(template.render(&message).matches(&message).count(), 1);
            }
        }
    }
}
