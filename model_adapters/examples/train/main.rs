//! Trains the two mini checkpoints of `tests/fixtures/trained`: a VILA1.5 and a LLaVA-1.5 of a few million weights,
//! on the CPU, from conversations in LLaVA's format.
//!
//! ```text
//! train begin --shape vila --data DATA --plan PLAN.json --out FOLDER
//! train resume --out FOLDER
//! train export --out FOLDER --to CHECKPOINT
//! ```
//!
//! Ctrl-C saves and stops; `resume` goes on as if nothing had happened, bit by bit where the thread count is the same.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Args, Parser, Subcommand};

use optimiser::Optimiser;
use plan::Plan;
use sizes::Shape;
use training::{Borrowed, Settings, Sitting, Training};

mod batch;
mod choices;
mod decoder;
mod export;
mod layers;
mod model;
mod optimiser;
mod parameters;
mod passes;
mod pictures;
mod places;
mod plan;
mod projector;
mod records;
mod sampler;
mod sequences;
mod sizes;
mod state;
#[cfg(test)]
mod tests;
mod tower;
mod training;
mod vocabulary;

/// Trains small VILA and LLaVA-1.5 checkpoints.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Begin a training
    Begin {
        /// Whose shape the model has
        #[arg(long)]
        shape: Shape,
        /// Folder with captions.jsonl, interleaved.jsonl, instruct.jsonl and their pictures
        #[arg(long)]
        data: PathBuf,
        /// The stages
        #[arg(long)]
        plan: PathBuf,
        /// Modules that another training has made, FOLDER:PART,PART; the vocabulary is that of the first
        #[arg(long)]
        borrow: Vec<Borrowed>,
        /// Of weights and of the order of samples
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Tokens of the vocabulary at most
        #[arg(long, default_value_t = 1400)]
        vocabulary: usize,
        /// Positions of a sequence at most
        #[arg(long, default_value_t = 320)]
        room: usize,
        /// Sequences of one pass
        #[arg(long, default_value_t = 8)]
        pass: usize,
        #[command(flatten)]
        sitting: SittingArgs,
    },
    /// Go on with a training
    Resume {
        /// A plan that begins as the old one did
        #[arg(long)]
        plan: Option<PathBuf>,
        #[command(flatten)]
        sitting: SittingArgs,
    },
    /// Write the checkpoint of a training
    Export {
        /// Folder of the training
        #[arg(long)]
        out: PathBuf,
        /// Folder of the checkpoint
        #[arg(long)]
        to: PathBuf,
    },
}

#[derive(Debug, Args)]
struct SittingArgs {
    /// Folder of the training
    #[arg(long)]
    out: PathBuf,
    /// Threads of one libtorch operation
    #[arg(long, default_value_t = 1)]
    threads: u16,
    /// Seconds between two saves
    #[arg(long, default_value_t = 180)]
    save_every: u64,
    /// Stop behind this step
    #[arg(long)]
    until: Option<u64>,
}

fn main() -> Result<(), Box<dyn Error>> {
    match Cli::parse().command {
        Command::Begin {
            shape,
            data,
            plan,
            borrow,
            seed,
            vocabulary,
            room,
            pass,
            sitting,
        } => {
            tch::set_num_threads(i32::from(sitting.threads));
            let settings = Settings {
                shape,
                data,
                seed,
                vocabulary,
                room,
                pass,
                optimiser: Optimiser::default(),
                borrowed: borrow,
                plan: Plan::read(&plan)?,
            };
            train(Training::begin(&sitting.out, settings)?, &sitting)
        }
        Command::Resume { plan, sitting } => {
            tch::set_num_threads(i32::from(sitting.threads));
            let plan = plan.as_deref().map(Plan::read).transpose()?;
            train(Training::resume(&sitting.out, plan)?, &sitting)
        }
        Command::Export { out, to } => {
            let progress = training::export(&out, &to)?;
            println!("`{}` holds the weights after step {}", to.display(), progress.step);
            Ok(())
        }
    }
}

fn train(mut training: Training, arguments: &SittingArgs) -> Result<(), Box<dyn Error>> {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    ctrlc::set_handler(move || asked.store(true, Ordering::Relaxed))?;
    eprintln!("{} weights", training.model.parameters.count());
    training.run(&Sitting {
        save_every: arguments.save_every,
        until: arguments.until,
        stop,
    })
}
