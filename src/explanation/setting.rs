//! What can be changed about a run, one thing at a time, and with what it is exchanged.

use benchmarks::{Dataset, PromptStyle, Task};
use clap::ValueEnum as _;
use model_adapters::picture::{Geometry, JpegDecoder};
use model_adapters::template::ConvTemplate;

use crate::cli::{AspectRatio, DtypeArg, RunArgs};
use crate::explanation::Factor;

/// One thing about a run, and its other value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// Nothing: how much of a change is noise of this machine.
    Unchanged,
    /// Whose wording the questions have.
    PromptStyle(PromptStyle),
    /// Whether the prompt has OCR tokens; the wording that differs in that alone.
    OcrTokens(PromptStyle),
    /// The conversation template.
    ConvTemplate(ConvTemplate),
    /// What happens to a picture before the processor.
    Geometry(Geometry),
    /// Whose rounding decoded JPEG files have.
    JpegDecoder(JpegDecoder),
    /// Type computed in.
    Dtype(DtypeArg),
}

/// A factor with a value that may be tried, or why it may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What is changed.
    pub factor: Factor,
    /// To what; empty where there is nothing to change it to.
    pub value: String,
    /// How, or why not.
    pub setting: Result<Setting, String>,
}

impl Setting {
    /// What it is a value of.
    pub const fn factor(self) -> Factor {
        match self {
            Self::Unchanged => Factor::AskedAgain,
            Self::PromptStyle(_) => Factor::PromptStyle,
            Self::OcrTokens(_) => Factor::OcrTokens,
            Self::ConvTemplate(_) => Factor::ConvTemplate,
            Self::Geometry(_) => Factor::Geometry,
            Self::JpegDecoder(_) => Factor::JpegDecoder,
            Self::Dtype(_) => Factor::Dtype,
        }
    }

    /// Its name in tables and folders.
    pub fn value(self) -> String {
        match self {
            Self::Unchanged => "nothing-changed".to_owned(),
            Self::PromptStyle(style) => style.to_string(),
            Self::OcrTokens(PromptStyle::Paper) => "with".to_owned(),
            Self::OcrTokens(_) => "without".to_owned(),
            Self::ConvTemplate(template) => template.name().to_owned(),
            Self::Geometry(geometry) => geometry.name().to_owned(),
            Self::JpegDecoder(decoder) => decoder.name().to_owned(),
            Self::Dtype(dtype) => dtype_name(dtype),
        }
    }

    /// Changes it in the options of a run.
    pub fn apply(self, args: &mut RunArgs) {
        match self {
            Self::Unchanged => {}
            Self::PromptStyle(style) | Self::OcrTokens(style) => args.prompt_style = style,
            Self::ConvTemplate(template) => args.conv_template = Some(template),
            Self::Geometry(geometry) => args.image_aspect_ratio = AspectRatio::Fixed(geometry),
            Self::JpegDecoder(decoder) => args.jpeg_decoder = decoder,
            Self::Dtype(dtype) => args.dtype = dtype,
        }
    }

    /// The entry of the identity that it changes.
    pub const fn identity(self) -> &'static str {
        match self {
            Self::Unchanged => "",
            Self::PromptStyle(_) | Self::OcrTokens(_) => "prompt-style",
            Self::ConvTemplate(_) => "conv-template",
            Self::Geometry(_) => "image-aspect-ratio",
            Self::JpegDecoder(_) => "jpeg-decoder",
            Self::Dtype(_) => "dtype",
        }
    }
}

impl Choice {
    fn of(setting: Setting) -> Self {
        Self {
            factor: setting.factor(),
            value: setting.value(),
            setting: Ok(setting),
        }
    }

    fn none(factor: Factor, reason: impl Into<String>) -> Self {
        Self {
            factor,
            value: String::new(),
            setting: Err(reason.into()),
        }
    }
}

/// What can be exchanged in a run with these options, factor by factor.
pub fn choices(args: &RunArgs, task: Task, dataset: &dyn Dataset) -> Vec<Choice> {
    let mut found = vec![Choice::of(Setting::Unchanged)];
    found.extend(ocr_tokens(args, task));
    found.extend(prompt_styles(args, task, dataset));
    found.extend(templates(args));
    found.extend(geometries(args));
    let decoders = JpegDecoder::ALL.into_iter();
    let others = decoders.filter(|decoder| *decoder != args.jpeg_decoder);
    found.extend(others.map(|decoder| Choice::of(Setting::JpegDecoder(decoder))));
    found.extend(dtypes(args));
    found
}

/// TextVQA's two wordings that differ in the line with the tokens and in nothing else.
fn ocr_tokens(args: &RunArgs, task: Task) -> Vec<Choice> {
    let none = |reason: &str| vec![Choice::none(Factor::OcrTokens, reason)];
    match (task, args.prompt_style) {
        (Task::Textvqa, PromptStyle::Paper) => vec![Choice::of(Setting::OcrTokens(PromptStyle::LmmsEval))],
        (Task::Textvqa, PromptStyle::LmmsEval) => vec![Choice::of(Setting::OcrTokens(PromptStyle::Paper))],
        (Task::Textvqa, PromptStyle::VlmEvalKit) => none("no wording is VLMEvalKit's with OCR tokens"),
        _ => none("this benchmark's questions have none"),
    }
}

fn prompt_styles(args: &RunArgs, task: Task, dataset: &dyn Dataset) -> Vec<Choice> {
    let asked = |style| (0..dataset.samples().len()).map(move |index| dataset.prompt(index, style));
    let others = PromptStyle::ALL.iter().filter(|style| **style != args.prompt_style);
    let choice = |&style: &PromptStyle| {
        let setting = if task == Task::Textvqa && style != PromptStyle::VlmEvalKit {
            Err("the factor OCR tokens".to_owned())
        } else if let Err(error) = dataset.can_ask(style) {
            Err(error.to_string())
        } else if asked(style).eq(asked(args.prompt_style)) {
            Err("words the questions as the run does".to_owned())
        } else {
            Ok(Setting::PromptStyle(style))
        };
        Choice {
            factor: Factor::PromptStyle,
            value: style.to_string(),
            setting,
        }
    };
    others.map(choice).collect()
}

/// Templates that are taken for each other: of one family, or of the same model in another program.
fn templates(args: &RunArgs) -> Vec<Choice> {
    use ConvTemplate as T;
    const FAMILIES: [&[ConvTemplate]; 4] = [
        &[T::VicunaV1, T::LlavaV1, T::VicunaV1NoSystem, T::LlavaHf],
        &[T::Llama3May2024, T::Llama3September2024],
        &[T::Hermes2, T::Mpt],
        &[T::LlavaLlama2, T::Mistral, T::MistralInstruct],
    ];
    let Some(own) = args.conv_template else {
        return vec![Choice::none(Factor::ConvTemplate, "the run has none")];
    };
    let family = FAMILIES.into_iter().find(|family| family.contains(&own));
    let Some(family) = family else {
        let reason = format!("no other is taken for `{}`", own.name());
        return vec![Choice::none(Factor::ConvTemplate, reason)];
    };
    let others = family.iter().filter(|template| **template != own);
    others
        .map(|template| Choice::of(Setting::ConvTemplate(*template)))
        .collect()
}

fn geometries(args: &RunArgs) -> Vec<Choice> {
    let AspectRatio::Fixed(own) = args.image_aspect_ratio else {
        return vec![Choice::none(Factor::Geometry, "the run shows no pictures")];
    };
    let others = Geometry::ALL.into_iter().filter(|geometry| *geometry != own);
    others.map(|geometry| Choice::of(Setting::Geometry(geometry))).collect()
}

fn dtypes(args: &RunArgs) -> Vec<Choice> {
    const COMPARED: [DtypeArg; 3] = [DtypeArg::Float32, DtypeArg::Bfloat16, DtypeArg::Float16];
    let others = COMPARED.into_iter().filter(|dtype| *dtype != args.dtype);
    others.map(|dtype| Choice::of(Setting::Dtype(dtype))).collect()
}

fn dtype_name(dtype: DtypeArg) -> String {
    let name = dtype.to_possible_value();
    name.map(|value| value.get_name().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn args(more: &str) -> RunArgs {
        let line = format!("vila-bench run --model m --tasks textvqa --data d{more}");
        match Cli::try_parse_from(line.split(' ')).unwrap().command {
            Command::Run(args) => args,
            other => panic!("{other:?}"),
        }
    }

    fn shown(choices: Vec<Choice>) -> Vec<String> {
        let shown = choices.into_iter().map(|choice| match choice.setting {
            Ok(setting) => {
                assert_eq!(
                    (setting.factor(), setting.value()),
                    (choice.factor, choice.value.clone())
                );
                choice.value
            }
            Err(reason) => format!("{}: {reason}", choice.factor.id()),
        });
        shown.collect()
    }

    #[test]
    fn ocr_tokens_come_and_go_with_one_line_of_the_prompt() {
        let cases = [
            (Task::Textvqa, "", "without"),
            (Task::Textvqa, " --prompt-style lmms-eval", "with"),
            (
                Task::Textvqa,
                " --prompt-style vlmevalkit",
                "ocr-tokens: no wording is VLMEvalKit's with OCR tokens",
            ),
            (Task::Pope, "", "ocr-tokens: this benchmark's questions have none"),
        ];
        for (task, style, expected) in cases {
            assert_eq!(shown(ocr_tokens(&args(style), task)), [expected]);
        }
    }

    #[test]
    fn a_value_is_exchanged_with_every_other_of_its_kind() {
        let of = |more| args(more);
        assert_eq!(
            shown(templates(&of(" --conv-template vicuna_v1"))),
            ["llava_v1", "vicuna_v1_nosys", "llava-hf"]
        );
        assert_eq!(shown(templates(&of(" --conv-template hermes-2"))), ["mpt"]);
        assert_eq!(
            shown(templates(&of(" --conv-template plain"))),
            ["conv-template: no other is taken for `plain`"]
        );
        assert_eq!(
            shown(geometries(&of(" --image-aspect-ratio pad"))),
            ["resize", "processor"]
        );
        assert_eq!(shown(dtypes(&of(" --dtype float16"))), ["float32", "bfloat16"]);
    }

    #[test]
    fn a_setting_changes_one_option_and_its_own_entry() {
        let base = format!("{:?}", args(""));
        let settings = [
            Setting::PromptStyle(PromptStyle::VlmEvalKit),
            Setting::ConvTemplate(ConvTemplate::Mpt),
            Setting::Geometry(Geometry::Pad),
            Setting::JpegDecoder(JpegDecoder::Zune),
            Setting::Dtype(DtypeArg::Float16),
        ];
        for setting in settings {
            let mut changed = args("");
            setting.apply(&mut changed);
            assert_ne!(format!("{changed:?}"), base);
            assert!(!setting.identity().is_empty());
        }
        let mut same = args("");
        Setting::Unchanged.apply(&mut same);
        assert_eq!(format!("{same:?}"), base);
    }
}
