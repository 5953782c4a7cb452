//! `results.json`: the metrics of a run, and the document that `score --format json` prints. See
//! `results/FORMATS.md` for every field.

use std::fmt;
use std::path::Path;

use benchmarks::{Dataset, Metric, Protocol, Score, Task};
use model_adapters::Report;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::exit::Exit;
use crate::fault::Fault;
use crate::scorecard::questions_sha256;
use crate::statistics::{clusters, uncertainty};

/// The version of the documents of a run folder; a reader refuses any other.
pub const FORMAT: u32 = 1;

/// The metrics of one run under one protocol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Version of this document.
    pub format: u32,
    /// Benchmark.
    pub task: Task,
    /// Split, as the loader named it.
    pub split: String,
    /// Whose rule scored.
    pub protocol: Protocol,
    /// What was asked, as in [`crate::scorecard::Scorecard`]; empty in a document of an earlier vila-bench.
    #[serde(default)]
    pub questions: String,
    /// Name of the run's model; absent where a loose prediction file was scored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Samples of the split.
    pub n: usize,
    /// Samples with an answer.
    pub answered: usize,
    /// Samples that were asked and failed; none of them enters a metric.
    pub failed: usize,
    /// Answers to a prompt that was cut to the model's longest sequence, as the references do; scored like any other.
    #[serde(default)]
    pub truncated: usize,
    /// Answers that are the empty text; each has the value that the protocol gives it.
    pub empty: usize,
    /// Answers that the protocol cannot read; each has the value that the protocol gives it.
    pub unparsed: usize,
    /// Answers that nobody has graded: metrics over them have bounds and no value.
    #[serde(default)]
    pub ungraded: usize,
    /// Who gave the grades; absent where the benchmark is scored without a judge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<JudgeRecord>,
    /// Not every sample of the split has an answer.
    pub partial: bool,
    /// What the run took; absent where nothing was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timings: Option<Timings>,
    /// Metric id to value, headline first.
    pub metrics: Metrics,
}

/// What asking took, over all segments of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    /// Questions asked.
    pub asked: usize,
    /// Wall time of asking, in seconds, without loading and scoring.
    pub seconds: f64,
    /// `asked / seconds`.
    pub questions_per_second: f64,
    /// Tokens generated.
    pub new_tokens: usize,
    /// What the adapter did and how long each part of it took; absent where it does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
}

/// Who gave the grades that the metrics rest on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgeRecord {
    /// The model, as the grade file names it.
    pub name: String,
    /// Why the score does not compare with the papers', if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
}

/// One metric on disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricRecord {
    /// In the unit that papers print, not rounded; `null` where undefined.
    pub value: Option<f64>,
    /// Samples it is taken over.
    pub n: usize,
    /// Standard error, clustered by picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr: Option<f64>,
    /// 95 % interval from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci95: Option<(f64, f64)>,
    /// Pictures that the standard error rests on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clusters: Option<usize>,
    /// What the value lies between where answers are ungraded: all of them 0, all 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounds: Option<(f64, f64)>,
    /// Why the value is undefined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Metrics in the order in which they are shown; a JSON object on disk.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metrics(pub Vec<(String, MetricRecord)>);

impl Results {
    /// Puts the outcome of a scorer into a document.
    pub fn new(dataset: &dyn Dataset, task: Task, protocol: Protocol, score: &Score) -> Self {
        let clusters = clusters(dataset.samples());
        let record = |metric: &Metric| (metric.id.to_string(), record(metric, &clusters));
        Self {
            format: FORMAT,
            task,
            split: dataset.provenance().split.clone(),
            protocol,
            questions: questions_sha256(dataset.samples()),
            model: None,
            n: dataset.samples().len(),
            answered: score.answered,
            failed: 0,
            truncated: 0,
            empty: score.empty,
            unparsed: score.unparsed,
            ungraded: score.ungraded(),
            judge: dataset.judge().map(|judge| JudgeRecord {
                name: judge.name,
                remark: judge.remark,
            }),
            partial: score.unanswered() > 0,
            timings: None,
            metrics: Metrics(score.metrics.iter().map(record).collect()),
        }
    }

    /// Reads a document and refuses one of another version.
    pub fn read(path: &Path) -> Result<Self, Fault> {
        let text = std::fs::read_to_string(path).map_err(|error| Fault::read(path, &error))?;
        let results: Self = serde_json::from_str(&text).map_err(|error| {
            Fault::User(format!(
                "`{}` is no results file of this version: {error}; run again",
                path.display()
            ))
        })?;
        if results.format != FORMAT {
            return Err(Fault::User(format!(
                "`{}` has format {}, this vila-bench reads {FORMAT}; run it again to have it rewritten",
                path.display(),
                results.format
            )));
        }
        Ok(results)
    }

    /// How a command that scored them ends.
    pub fn exit(&self) -> Exit {
        if self.partial || self.ungraded > 0 {
            Exit::Unanswered
        } else {
            Exit::Done
        }
    }

    /// Samples without an answer.
    pub fn unanswered(&self) -> usize {
        self.n - self.answered
    }
}

fn record(metric: &Metric, clusters: &[usize]) -> MetricRecord {
    let uncertainty = uncertainty(metric, clusters);
    MetricRecord {
        value: metric.value.as_ref().ok().copied(),
        n: metric.n,
        stderr: uncertainty.map(|found| found.standard_error),
        ci95: uncertainty.map(|found| found.interval),
        clusters: uncertainty.map(|found| found.clusters),
        bounds: metric.bounds,
        reason: metric.value.as_ref().err().cloned(),
    }
}

impl Serialize for Metrics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(id, record)| (id, record)))
    }
}

impl<'de> Deserialize<'de> for Metrics {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Metrics;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of metrics")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Metrics, A::Error> {
                let mut metrics = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    metrics.push(entry);
                }
                Ok(Metrics(metrics))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results() -> Results {
        let defined = MetricRecord {
            value: Some(85.946_880_905_391_14),
            n: 8910,
            stderr: Some(0.5),
            ci95: Some((85.0, 86.9)),
            clusters: Some(500),
            bounds: None,
            reason: None,
        };
        let undefined = MetricRecord {
            value: None,
            n: 3000,
            stderr: None,
            ci95: None,
            clusters: None,
            bounds: Some((33.1, 36.5)),
            reason: Some("no positive prediction".to_owned()),
        };
        Results {
            format: FORMAT,
            task: Task::Pope,
            split: "coco-8910".to_owned(),
            protocol: Protocol::Paper,
            questions: "ab".repeat(32),
            model: Some("llava-v1.5-13b".to_owned()),
            n: 8910,
            answered: 8910,
            failed: 0,
            truncated: 0,
            empty: 0,
            unparsed: 0,
            ungraded: 1,
            judge: Some(JudgeRecord {
                name: "gpt-4".to_owned(),
                remark: None,
            }),
            partial: false,
            timings: None,
            metrics: Metrics(vec![
                ("f1".to_owned(), defined),
                ("popular/precision".to_owned(), undefined),
            ]),
        }
    }

    #[test]
    fn a_document_reads_back_in_order_and_to_the_last_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.json");
        crate::artefact::write_json(&path, &results()).unwrap();
        assert_eq!(Results::read(&path).unwrap(), results());
    }

    #[test]
    fn another_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.json");
        crate::artefact::write_json(
            &path,
            &Results {
                format: FORMAT + 1,
                ..results()
            },
        )
        .unwrap();
        assert!(
            Results::read(&path)
                .unwrap_err()
                .to_string()
                .contains("has format 2, this vila-bench reads 1")
        );
    }
}
