//! What can be typed.

use std::path::PathBuf;

use benchmarks::{PromptStyle, Protocol, Task, UnknownName};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::plan::Shard;

/// Scores VILA and LLaVA-1.5 checkpoints on eight benchmarks exactly as the papers did.
#[derive(Debug, Parser)]
#[command(name = "vila-bench", version, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

/// One file of `commands` each.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what there is: benchmarks, models, published numbers
    List(ListArgs),
    /// Ask a checkpoint the questions of one or more benchmarks, score the answers, keep everything on disk
    Run(RunArgs),
    /// Score a prediction file, ours or another program's
    Score(ScoreArgs),
    /// Write answers in the form that an organiser's server or tool takes
    Export(ExportArgs),
    /// Look at a benchmark's data before a run
    #[command(subcommand)]
    Data(DataCommand),
    /// Set runs beside published numbers
    Leaderboard(LeaderboardArgs),
    /// Say whether one run is worse than another: paired on the same samples, with uncertainty and flips
    Compare(CompareArgs),
    /// Say where the gap between a published number and a run's may come from: its answers under every other rule
    Explain(ExplainArgs),
    /// Write what `compare` needs of a run into one small file that can be committed
    Baseline(BaselineArgs),
    /// Write one page that shows runs: metrics, the papers' numbers, what changed, every sample with its picture
    Report(ReportArgs),
    /// Show what the loader sees in a checkpoint, without loading weights
    Inspect(InspectArgs),
    /// Check this machine: libtorch, devices, threads, memory, folders
    Doctor,
    /// Run the checkpoint, pictures and questions that the repository ships
    Demo(DemoArgs),
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// What to show
    #[arg(value_enum, default_value = "benchmarks")]
    pub what: Listing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Listing {
    Benchmarks,
    Models,
    Published,
}

#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Checkpoint folder; for `--adapter replay` a prediction file
    #[arg(long, value_name = "CKPT")]
    pub model: PathBuf,
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
    /// Type the model computes in; `auto` is float32 on a CPU and float16 on CUDA
    #[arg(long, value_enum, default_value = "auto")]
    pub dtype: DtypeArg,
    /// Questions in flight at once; this version asks one at a time, whatever is given
    #[arg(long, value_name = "auto|N", default_value = "auto", value_parser = batch_size)]
    pub batch_size: BatchSize,
    /// Longest answer, in tokens; default: the benchmark's own
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_new_tokens: Option<u32>,
    /// Whose wording the questions have
    #[arg(long, value_name = "STYLE", default_value = "paper", value_parser = str::parse::<PromptStyle>)]
    pub prompt_style: PromptStyle,
    /// Conversation template; default: by checkpoint
    #[arg(long, value_name = "T")]
    pub conv_template: Option<String>,
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

/// The tasks named by `--tasks`, in the order of the papers' tables, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskList(pub Vec<Task>);

fn tasks(text: &str) -> Result<TaskList, String> {
    if text == "all" {
        return Ok(TaskList(
            benchmarks::REGISTRY.iter().map(|benchmark| benchmark.task()).collect(),
        ));
    }
    let mut named = Vec::new();
    for name in text.split(',') {
        named.push(name.trim().parse::<Task>().map_err(|error| error.to_string())?);
    }
    Ok(TaskList(
        Task::ALL.iter().copied().filter(|task| named.contains(task)).collect(),
    ))
}

/// One rule, or the same answers under every rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProtocolChoice {
    One(Protocol),
    All,
}

fn protocols(text: &str) -> Result<ProtocolChoice, UnknownName> {
    if text == "all" {
        Ok(ProtocolChoice::All)
    } else {
        text.parse().map(ProtocolChoice::One)
    }
}

#[derive(Debug, Args)]
pub struct ScoreArgs {
    /// Benchmark
    #[arg(long, value_parser = str::parse::<Task>)]
    pub task: Task,
    /// Folder with one folder per benchmark, or the benchmark's folder itself
    #[arg(long, value_name = "ROOT")]
    pub data: PathBuf,
    /// Prediction file
    #[arg(long, value_name = "FILE")]
    pub answers: PathBuf,
    /// Grades of the answers, for `mm-vet`: the file of the organisers' grader
    #[arg(long, value_name = "FILE")]
    pub grades: Option<PathBuf>,
    /// Split; default: the one behind the paper's number, else the labelled one
    #[arg(long, value_name = "S")]
    pub split: Option<String>,
    /// Whose rule scores: `paper`, `official`, `lmms-eval`, `vlmevalkit`, or `all` four side by side
    #[arg(long, value_name = "PROTOCOL", default_value = "paper", value_parser = protocols)]
    pub protocol: ProtocolChoice,
    /// Also write `results.json` and `samples.parquet` there
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// What is printed
    #[arg(long, value_enum, default_value = "table")]
    pub format: ScoreFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScoreFormat {
    Table,
    Json,
    Csv,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Benchmark
    #[arg(long, value_parser = str::parse::<Task>)]
    pub task: Task,
    /// Folder with one folder per benchmark, or the benchmark's folder itself
    #[arg(long, value_name = "ROOT")]
    pub data: PathBuf,
    /// Run whose answers are exported: `runs/<model>/<task>@<split>` or `runs/<model>`
    #[arg(
        long,
        value_name = "RUN",
        conflicts_with = "answers",
        required_unless_present = "answers"
    )]
    pub run: Option<PathBuf>,
    /// Prediction file whose answers are exported
    #[arg(long, value_name = "FILE")]
    pub answers: Option<PathBuf>,
    /// Split; default: the run's, else the one behind the paper's number, else the labelled one
    #[arg(long, value_name = "S")]
    pub split: Option<String>,
    /// Whose form: the benchmark's own submission, or LLaVA's answer file, which every benchmark has
    #[arg(long, value_enum, default_value = "submission")]
    pub format: ExportFormat,
    /// What is written; a new folder for `mme`, whose tool takes a file a subtask
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    Submission,
    Llava,
}

#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Say which data lie in a folder, which release they are, and whether every picture can be read
    Check(DataCheckArgs),
}

#[derive(Debug, Args)]
pub struct DataCheckArgs {
    /// Folder with one folder per benchmark, or a benchmark's folder itself
    #[arg(long, value_name = "ROOT")]
    pub data: PathBuf,
    /// Benchmarks to look at, separated by commas; default: all whose data are there
    #[arg(long, value_name = "TASKS", value_parser = tasks)]
    pub tasks: Option<TaskList>,
    /// Where pictures are looked for after the layout's own places
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct LeaderboardArgs {
    /// Run folders: `runs/<model>`, `runs/<model>/<task>@<split>` or a folder of those
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// Published rows to set beside: SOURCE_ID or SOURCE_ID/MODEL, separated by commas; default: the VILA and
    /// LLaVA-1.5 tables
    #[arg(long, value_name = "SOURCE_ID[/MODEL]", value_delimiter = ',')]
    pub against: Vec<String>,
    /// What is printed; `latex` needs the package booktabs
    #[arg(long, value_enum, default_value = "table")]
    pub format: TableFormat,
    /// Write there instead of stdout
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TableFormat {
    Table,
    Md,
    Csv,
    Json,
    Latex,
    Html,
}

#[derive(Debug, Args)]
pub struct CompareArgs {
    /// Run folder (`runs/<model>`, `runs/<model>/<task>@<split>`), folder of `score --out`, or file of `baseline`
    #[arg(value_name = "BASE")]
    pub base: PathBuf,
    /// The same, of what is to be judged
    #[arg(value_name = "CANDIDATE")]
    pub candidate: PathBuf,
    /// End with status 1 where a headline is significantly worse, or undefined in the candidate only
    #[arg(long)]
    pub fail_on_regression: bool,
    /// Level of the tests, over all benchmarks compared (Holm)
    #[arg(long, value_name = "P", default_value = "0.05", value_parser = probability)]
    pub alpha: f64,
    /// How much worse the candidate may be, in the metric's unit
    #[arg(long, value_name = "M", default_value = "0", value_parser = distance)]
    pub margin: f64,
    /// Also say where the difference is certain to lie within this, in the metric's unit
    #[arg(long, value_name = "D", value_parser = distance)]
    pub equivalent_within: Option<f64>,
    /// Benchmarks to compare, separated by commas; default: all, which both sides must hold
    #[arg(long, value_name = "TASKS", value_parser = tasks)]
    pub tasks: Option<TaskList>,
    /// Compare the samples that both runs have a score for, where one has more
    #[arg(long)]
    pub common_only: bool,
    /// What is printed: `md` for a pull request, `junit` for a CI server
    #[arg(long, value_enum, default_value = "table")]
    pub format: ComparisonFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ComparisonFormat {
    Table,
    Json,
    Md,
    Junit,
}

fn probability(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|p: &f64| *p > 0.0 && *p < 1.0);
    value.ok_or_else(|| "give a number between 0 and 1".to_owned())
}

fn distance(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|d: &f64| d.is_finite() && *d >= 0.0);
    value.ok_or_else(|| "give a number from 0".to_owned())
}

#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Run folder: `runs/<model>/<task>@<split>`
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// Published number: source and model
    #[arg(long, value_name = "SOURCE_ID/MODEL")]
    pub against: String,
    /// Folder with the data that the run was made with; default: the one that the run was given
    #[arg(long, value_name = "ROOT")]
    pub data: Option<PathBuf>,
    /// Grades of the answers, for `mm-vet`
    #[arg(long, value_name = "FILE")]
    pub grades: Option<PathBuf>,
    /// What is printed
    #[arg(long, value_enum, default_value = "table")]
    pub format: ScoreFormat,
}

#[derive(Debug, Args)]
pub struct BaselineArgs {
    /// Run folders: `runs/<model>`, `runs/<model>/<task>@<split>` or folders of `score --out`
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// The file
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Run folders: `runs/<model>`, `runs/<model>/<task>@<split>` or folders of `score --out`; of each benchmark the
    /// first is the base that the others are compared with
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// Folder of the page, `index.html`, and of its pictures where they are many
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Where the pictures' data lie; default: where the run found them
    #[arg(long, value_name = "ROOT")]
    pub data: Option<PathBuf>,
    /// Where pictures are looked for after the layout's own places
    #[arg(long, value_name = "DIR", requires = "data")]
    pub images: Option<PathBuf>,
    /// Published rows to set beside: SOURCE_ID or SOURCE_ID/MODEL, separated by commas; default: the VILA and
    /// LLaVA-1.5 tables
    #[arg(long, value_name = "SOURCE_ID[/MODEL]", value_delimiter = ',')]
    pub against: Vec<String>,
}

#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Checkpoint folder
    #[arg(value_name = "CKPT")]
    pub checkpoint: PathBuf,
}

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Where the run is kept
    #[arg(long, value_name = "DIR", default_value = "runs/demo")]
    pub out: PathBuf,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn tasks_come_in_table_order_and_once() {
        assert_eq!(tasks("mme, pope,mme"), Ok(TaskList(vec![Task::Pope, Task::Mme])));
        assert!(tasks("poep").unwrap_err().contains("did you mean `pope`?"));
    }
}
