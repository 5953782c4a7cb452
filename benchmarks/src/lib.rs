//! What a benchmark is: where its data lie, what it asks, how an answer is read and scored.
//!
//! Knows no model and links no libtorch. One file per benchmark, all in the same order: what it is and its
//! source, constants, types, load, prompt, parse, score, tests. [`REGISTRY`] lists them; adding one is a file
//! and a line there.

#[cfg(test)]
mod bad_tables;
mod benchmark;
mod error;
mod export;
#[cfg(test)]
mod golden_vectors;
mod gqa;
mod json_document;
mod json_object;
mod jsonl;
mod judge;
mod matching;
mod metric;
mod mm_vet;
mod mmbench;
mod mme;
pub mod paper_prompt;
mod parquet;
mod picture;
mod pope;
mod prediction;
mod python_json;
mod python_list;
mod python_text;
#[cfg(test)]
mod reference_data;
mod registry;
mod sample;
mod sheet;
mod soft_accuracy;
mod source;
mod task;
mod text_file;
mod textvqa;
mod tsv;
mod vizwiz;
mod vqa_text;
mod vqav2;
mod yes_no;

pub use benchmark::{Benchmark, Dataset, KnownFile, Provenance, SourceFile, Version};
pub use error::DataError;
pub use export::llava::llava_answers;
pub use export::{Export, ExportFile};
pub use judge::{Call, Finding, Judge, Judgement, Verdict};
pub use matching::{Duplicates, Unlocated, match_predictions};
pub use metric::{Metric, MetricId, Ratio, SampleScore, Score, Term};
pub use mm_vet::{ReferenceGrades, reference_grades};
pub use mme::Subtask as MmeSubtask;
pub use picture::{Picture, PictureError, PictureStore};
pub use prediction::{Prediction, PredictionFile, PredictionKey, PredictionOutcome};
pub use registry::{REGISTRY, benchmark};
pub use sample::{Sample, SampleId};
pub use source::DataSource;
pub use task::{PromptStyle, Protocol, Task, UnknownName};
pub use vqa_text::Normaliser;
