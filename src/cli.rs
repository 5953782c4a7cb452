//! What can be typed; the many options of `run` stand in [`run`], those of `explain` in [`explain`].

mod explain;
mod run;

use std::path::PathBuf;

use benchmarks::{Protocol, Task, UnknownName};
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use model_adapters::profile::Profile;

pub use explain::{ExplainArgs, ExplainFormat};
#[cfg(feature = "libtorch")]
pub use run::BatchSize;
pub use run::{AdapterKind, AspectRatio, CheckpointArgs, DtypeArg, RunArgs};

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
    /// Have a judge, a language model behind a server, grade answers that no rule can score
    #[command(after_long_help = GRADE_HELP)]
    Grade(GradeArgs),
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
    /// Say whether what a run's folder records still holds: hashes of model, data and pictures, scores, some answers
    #[command(after_long_help = VERIFY_HELP)]
    Verify(VerifyArgs),
    /// Write what `compare` needs of a run into one small file that can be committed
    Baseline(BaselineArgs),
    /// Write one page that shows runs: metrics, the papers' numbers, what changed, every sample with its picture
    Report(ReportArgs),
    /// Show what the loader sees in a checkpoint, without loading weights
    Inspect(InspectArgs),
    /// Check this machine: libtorch, devices, threads, memory, folders
    Doctor(DoctorArgs),
    /// Run the two small checkpoints that the repository ships on its eight small benchmarks, and show what comes of it
    #[command(args_conflicts_with_subcommands = true)]
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
    /// What a judge made of the answers: for `mm-vet` the file of the organisers' grader, for `mmbench` the match
    /// file of `grade`
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

const GRADE_HELP: &str = "\
The key of the server is taken from VILA_BENCH_JUDGE_KEY, else from OPENAI_API_KEY, and stands in no file or message. \
Every reply is kept in a transcript; a second call of the same command goes on where the first one stopped and asks \
nothing twice.

  vila-bench grade --task mm-vet --run runs/llava-v1.5-13b --judge https://api.openai.com/v1 --judge-model gpt-4-0613
  vila-bench grade --task mm-vet --data eval --answers answers.jsonl --judge http://localhost:8000 --judge-model \
qwen --dry-run
  vila-bench grade --task mm-vet --data eval --calibrate --judge http://localhost:8000 --judge-model qwen
  vila-bench grade --task mm-vet --run runs/llava-v1.5-13b --judge rule";

#[derive(Debug, Args)]
pub struct GradeArgs {
    /// `mm-vet`: grades from 0 to 1; `mmbench`: which option an answer means that no rule reads
    #[arg(long, value_parser = str::parse::<Task>)]
    pub task: Task,
    /// Run whose answers are graded: `runs/<model>/<task>@<split>` or `runs/<model>`
    #[arg(long, value_name = "RUN", group = "graded")]
    pub run: Option<PathBuf>,
    /// Prediction file whose answers are graded
    #[arg(long, value_name = "FILE", group = "graded", requires = "data")]
    pub answers: Option<PathBuf>,
    /// Grade the answers of the reference grades in the data folder again, and say how the judge differs from them
    #[arg(long, group = "graded", requires = "data")]
    pub calibrate: bool,
    /// Folder with one folder per benchmark, or the benchmark's folder itself; default: the run's
    #[arg(long, value_name = "ROOT", required_unless_present = "run")]
    pub data: Option<PathBuf>,
    /// Split; default: the run's, else the one behind the paper's number, else the labelled one
    #[arg(long, value_name = "S")]
    pub split: Option<String>,
    /// Server that speaks OpenAI's chat completions, with or without `/v1`; or `rule`: no server, MM-Vet answers earn
    /// the share of the reference that they hold, which compares with no published score
    #[arg(long, value_name = "URL|rule")]
    pub judge: String,
    /// Model to ask there; the published MM-Vet scores are of `gpt-4-0613`
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub judge_model: Option<String>,
    /// How often each answer is graded, for `mm-vet`; the score is the mean
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub runs: u32,
    /// Folder for grades and transcript; default: the run's, else `grades`
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Calls in flight at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub concurrency: u32,
    /// How long to wait for a reply, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0, value_parser = seconds)]
    pub timeout: f64,
    /// How often a call is tried again that the server did not answer
    #[arg(long, value_name = "N", default_value_t = 6)]
    pub retries: u32,
    /// Price of a million tokens sent, for the estimate
    #[arg(long, value_name = "PRICE", requires = "price_out")]
    pub price_in: Option<f64>,
    /// Price of a million tokens received
    #[arg(long, value_name = "PRICE", requires = "price_in")]
    pub price_out: Option<f64>,
    /// Say what would be asked, and ask nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Say of a run its headline only; the table stands in its folder
    #[arg(long)]
    pub quiet: bool,
    /// The first wait before a call is tried again, in seconds; each next one is twice as long
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds, hide = true)]
    pub backoff: f64,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 86_400.0 => Ok(seconds),
        _ => Err("give a number of seconds above 0, at most a day".to_owned()),
    }
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
    /// Which split; default: that of the papers, else what is there
    #[arg(long, value_name = "S")]
    pub split: Option<String>,
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

const VERIFY_HELP: &str = "\
Exit status: 0 where all holds, 1 where something is not as recorded, 2 on wrong usage, 3 where nothing differs but a \
part could not be checked.";

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Run folder: `runs/<model>/<task>@<split>`
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// Folder with the data that the run was made with; default: the one that the run was given
    #[arg(long, value_name = "ROOT")]
    pub data: Option<PathBuf>,
    /// Where pictures are looked for after the layout's own places; default: where the run looked
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
    /// Checkpoint that the run was made with; default: where the run found it
    #[arg(long, value_name = "CKPT")]
    pub model: Option<PathBuf>,
    /// What a judge made of the answers; default: the file of `grade` in the folder
    #[arg(long, value_name = "FILE")]
    pub grades: Option<PathBuf>,
    /// Where to compute; default: as the run did
    #[arg(long)]
    pub device: Option<String>,
    /// How many of the questions are asked again; 0: none
    #[arg(long, value_name = "K", default_value = "8")]
    pub ask: usize,
    /// What these are drawn by
    #[arg(long, value_name = "S", default_value = "0")]
    pub seed: u64,
    /// What is printed
    #[arg(long, value_enum, default_value = "table")]
    pub format: VerifyFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum VerifyFormat {
    Table,
    Json,
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
    /// Checkpoint folder or the id of a model in the local hub cache
    #[arg(value_name = "CKPT")]
    pub model: PathBuf,
    #[command(flatten)]
    pub checkpoint: CheckpointArgs,
    /// Reference program that is followed; default: by checkpoint, as its published numbers were made
    #[arg(long, value_name = "PROFILE", value_parser = str::parse::<Profile>)]
    pub profile: Option<Profile>,
}

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Compare this machine and build with the references: pixels, prompts, tokens and answers of the shipped tiny
    /// checkpoints; with --reference also the hidden states of CKPT, layer by layer
    #[arg(long, value_name = "CKPT", num_args = 0..=1)]
    pub parity: Option<Option<PathBuf>>,
    /// What a reference program computed on CKPT, written by `tests/oracle/dump.py`
    #[arg(long, value_name = "DUMP", requires = "parity")]
    pub reference: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Where runs, the damaged checkpoint and the report are kept
    #[arg(long, value_name = "DIR", default_value = "runs/demo")]
    pub out: PathBuf,
    /// Ask everything anew
    #[arg(long)]
    pub fresh: bool,
    #[command(subcommand)]
    pub command: Option<DemoCommand>,
}

#[derive(Debug, Subcommand)]
pub enum DemoCommand {
    /// Draw the mini suite, eight benchmarks about drawn scenes in their official layouts, or data to train on
    Data(DemoDataArgs),
}

#[derive(Debug, Args)]
pub struct DemoDataArgs {
    /// Folder to be written, new or empty
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// What is drawn; the suite that the repository ships is of seed 1
    #[arg(long, value_name = "S", default_value_t = crate::demo::SEED)]
    pub seed: u64,
    /// Write N scenes to train on instead, none of which the shipped suite has
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub training: Option<u32>,
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
