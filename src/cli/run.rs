//! What `run` can be told: what answers, which questions, how the model computes, where it all goes.

use std::path::PathBuf;

use benchmarks::{PromptStyle, UnknownName};
use clap::{Args, ValueEnum};
use model_adapters::checkpoint::OpenSettings;
use model_adapters::picture::{Geometry, JpegDecoder};
use model_adapters::profile::Profile;
use model_adapters::stop::StopRule;
use model_adapters::template::ConvTemplate;

use crate::cli::{TaskList, tasks};
use crate::plan::Shard;

#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Checkpoint folder or the id of a model in the local hub cache; for `--adapter replay` a prediction file
    #[arg(long, value_name = "CKPT")]
    pub model: PathBuf,
    /// The whole command line, for the record
    #[arg(skip = std::env::args().collect::<Vec<String>>())]
    pub typed: Vec<String>,
    #[command(flatten)]
    pub checkpoint: CheckpointArgs,
    /// What answers: `auto` takes `replay` for a file and the checkpoint's own kind for a folder
    #[arg(long, value_enum, default_value = "auto")]
    pub adapter: AdapterKind,
    /// Benchmarks to run, separated by commas, or `all`
    #[arg(long, value_name = "TASKS", value_parser = tasks)]
    pub tasks: TaskList,
    /// Folder with one folder per benchmark, or a benchmark's folder itself
    #[arg(long, value_name = "ROOT")]
    pub data: PathBuf,
    /// Where pictures are looked for after the layout's own places
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
    /// Split; default: the one behind the paper's number, else the labelled one
    #[arg(long, value_name = "S")]
    pub split: Option<String>,
    /// Where runs are kept
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub out: PathBuf,
    /// Ask only about N samples, whole scoring groups, spread over the categories
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// `cpu`, `cuda` or `cuda:N`
    #[arg(long, default_value = "cpu")]
    pub device: String,
    /// Type the model computes in; `auto` is float32 on a CPU (weights that do not fit stay as stored and are widened
    /// when used) and float16 on CUDA; `int4` keeps the four bits of an AWQ checkpoint
    #[arg(long, value_enum, default_value = "auto")]
    pub dtype: DtypeArg,
    /// Threads to compute with; default: one a core. A small checkpoint needs one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
    /// Questions in flight at once at most; `auto` takes as many as pay and fit into memory
    #[arg(long, value_name = "auto|N", default_value = "auto", value_parser = batch_size)]
    pub batch_size: BatchSize,
    /// Give the tokens of one question at a time, whatever the batch; what is close is asked again alone (default)
    #[arg(long, conflicts_with = "fast")]
    pub exact: bool,
    /// Take the batch's tokens as they come; a sample is measured and the differences are reported
    #[arg(long)]
    pub fast: bool,
    /// Ask every question, also one that repeats an earlier one to the letter
    #[arg(long)]
    pub no_dedupe: bool,
    /// Also write there when what was done, for chrome://tracing or ui.perfetto.dev
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Use no batch at all: the path that the others are compared with
    #[arg(long, hide = true, conflicts_with_all = ["exact", "fast"])]
    pub one_at_a_time: bool,
    /// Let only the limit end an answer, for measuring speed
    #[arg(long, hide = true)]
    pub ignore_eos: bool,
    /// Longest answer, in tokens; default: the benchmark's own
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_new_tokens: Option<u32>,
    /// Whose wording the questions have
    #[arg(long, value_name = "STYLE", default_value = "paper", value_parser = str::parse::<PromptStyle>)]
    pub prompt_style: PromptStyle,
    /// Conversation template; default: by checkpoint, as its published numbers were made
    #[arg(long, value_name = "T", value_parser = str::parse::<ConvTemplate>)]
    pub conv_template: Option<ConvTemplate>,
    /// Reference program that is followed: `llava-1.2`, `vila-1.0` or `vila-1.5`; default: by checkpoint
    #[arg(long, value_name = "PROFILE", value_parser = str::parse::<Profile>)]
    pub profile: Option<Profile>,
    /// What happens to a picture before the processor: `pad`, `resize` or `processor` (nothing; also called `square`);
    /// `auto`: as the checkpoint says and the profile does for the benchmark
    #[arg(long, value_name = "G", default_value = "auto", value_parser = aspect_ratio)]
    pub image_aspect_ratio: AspectRatio,
    /// Whose rounding decoded JPEG pictures have: `libjpeg-turbo`, as the references, or `zune`, as programs in Rust
    #[arg(long, value_name = "D", default_value = "libjpeg-turbo", value_parser = str::parse::<JpegDecoder>)]
    pub jpeg_decoder: JpegDecoder,
    /// Where an answer ends: `end-token`, `keyword` (also at the template's stop string) or `keyword-window` (the same
    /// through the references' own window of ids); `auto`: as the profile does for the benchmark
    #[arg(long, value_name = "RULE", default_value = "auto", value_parser = str::parse::<StopRule>)]
    pub stop: StopRule,
    /// Ask only part I (from 0) of N, whole picture groups; scoring merges all parts in the folder
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
    /// Stop at the first sample that fails
    #[arg(long)]
    pub strict: bool,
    /// Say what would be asked, and ask nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Start anew; the old journal is kept beside the new one
    #[arg(long)]
    pub fresh: bool,
    /// Say of each benchmark its progress and headline only: tables and timings stand in the run's folder, and
    /// `data check` says what the data are
    #[arg(long)]
    pub quiet: bool,
}

/// How a checkpoint is opened.
#[derive(Debug, Clone, Default, Args)]
pub struct CheckpointArgs {
    /// Folder of the vision tower, where a checkpoint only names it and it is not in the local hub cache
    #[arg(long, value_name = "DIR")]
    pub vision_tower: Option<PathBuf>,
    /// Ignore tensors that the checkpoint's configuration does not know
    #[arg(long)]
    pub allow_extra_tensors: bool,
}

impl CheckpointArgs {
    /// The same for the loader.
    pub fn settings(&self) -> OpenSettings {
        OpenSettings {
            vision_tower: self.vision_tower.clone(),
            allow_extra_tensors: self.allow_extra_tensors,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AdapterKind {
    Auto,
    Vila,
    Llava,
    Replay,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DtypeArg {
    Auto,
    Float32,
    Bfloat16,
    Float16,
    Int4,
}

/// `auto` or a number from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchSize {
    Auto,
    Fixed(usize),
}

fn batch_size(text: &str) -> Result<BatchSize, String> {
    match text {
        "auto" => Ok(BatchSize::Auto),
        _ => match text.parse() {
            Ok(n) if n > 0 => Ok(BatchSize::Fixed(n)),
            _ => Err("give `auto` or a number from 1".to_owned()),
        },
    }
}

/// `auto` or what happens to every picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AspectRatio {
    Auto,
    Fixed(Geometry),
}

fn aspect_ratio(text: &str) -> Result<AspectRatio, UnknownName> {
    let geometry = Geometry::ALL.into_iter().find(|geometry| geometry.name() == text);
    match (text, geometry) {
        ("auto", _) => Ok(AspectRatio::Auto),
        // What a checkpoint's configuration calls it.
        ("square", _) => Ok(AspectRatio::Fixed(Geometry::Processor)),
        (_, Some(geometry)) => Ok(AspectRatio::Fixed(geometry)),
        _ => {
            let [pad, resize, processor] = Geometry::ALL.map(Geometry::name);
            let known = ["auto", pad, resize, processor];
            Err(UnknownName::new("image aspect ratio", text, &known))
        }
    }
}
