//! A checkpoint behind the libtorch runner, as `run` sees it: opened and checked at once, loaded when the first
//! question is asked.

use std::collections::BTreeMap;
use std::path::PathBuf;

use model_adapters::checkpoint::Checkpoint;
use model_adapters::runner::{Device, Dtype, DtypeChoice, Libtorch, RunnerSettings, VilaAdapter};
use model_adapters::{Adapter, Request, Script};

use crate::cli::{AspectRatio, DtypeArg, RunArgs};
use crate::fault::Fault;

/// A checkpoint and how it is to be run.
pub struct Runner {
    checkpoint: Checkpoint,
    settings: RunnerSettings,
    adapter: Option<VilaAdapter>,
}

impl Runner {
    /// Opens the checkpoint that `--model` names and reads the options that concern it.
    pub fn open(args: &RunArgs) -> Result<Self, Fault> {
        let user = |error: &dyn std::fmt::Display| Fault::User(error.to_string());
        let device = args.device.parse::<Device>().map_err(|error| user(&error))?;
        let geometry = match args.image_aspect_ratio {
            AspectRatio::Auto => None,
            AspectRatio::Fixed(geometry) => Some(geometry),
        };
        let dtype = match args.dtype {
            DtypeArg::Auto => DtypeChoice::Auto,
            DtypeArg::Float32 => DtypeChoice::Fixed(Dtype::Float32),
            DtypeArg::Bfloat16 => DtypeChoice::Fixed(Dtype::BFloat16),
            DtypeArg::Float16 => DtypeChoice::Fixed(Dtype::Float16),
        };
        let checkpoint = Checkpoint::open(&args.model)?;
        let settings = RunnerSettings {
            device,
            dtype,
            profile: args.profile,
            template: args.conv_template,
            geometry,
            stop: args.stop,
            threads: None,
        };
        settings.check(&checkpoint)?;
        Ok(Self {
            checkpoint,
            settings,
            adapter: None,
        })
    }

    /// Every file that an answer depends on.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files = self.checkpoint.config_files();
        files.extend(self.checkpoint.weight_files());
        files
    }

    /// What an answer to `script` depends on besides files and prompt.
    pub fn identity(&self, script: Script) -> Vec<(&'static str, String)> {
        self.settings.identity(&self.checkpoint, script)
    }

    /// The whole text that `request` becomes.
    pub fn prompt(&self, request: &Request) -> String {
        self.settings.rendered_prompt(&self.checkpoint, request)
    }

    /// Where it computes, for the record.
    pub fn machine(&self) -> BTreeMap<String, String> {
        let libtorch = Libtorch::describe();
        BTreeMap::from([
            ("device".to_owned(), self.settings.device.to_string()),
            ("libtorch".to_owned(), libtorch.version.unwrap_or_default()),
            ("threads".to_owned(), libtorch.threads.to_string()),
            ("cpu".to_owned(), libtorch.cpu_features.join(" ")),
        ])
    }

    /// The loaded model; loads it on the first call.
    pub fn adapter(&mut self) -> Result<Box<dyn Adapter + '_>, Fault> {
        if self.adapter.is_none() {
            let start = std::time::Instant::now();
            self.adapter = Some(VilaAdapter::open(&self.checkpoint, self.settings)?);
            eprintln!("model loaded in {:.1} s", start.elapsed().as_secs_f64());
        }
        match &mut self.adapter {
            Some(adapter) => Ok(Box::new(adapter)),
            None => Err(Fault::Bug("the model is loaded and not there".to_owned())),
        }
    }
}
