//! Published numbers: `results/published.csv` with its sources, and `metrics.csv`, which says which of our metrics
//! each row is about; `tolerances.csv` says how far two runs of one checkpoint part. Compiled in, so that the command needs no data folder.

use std::collections::HashMap;
use std::sync::LazyLock;

use benchmarks::{Task, UnknownName};
use serde::Deserialize;

use crate::fault::Fault;

const PUBLISHED: &str = include_str!("../results/published.csv");
const SOURCES: &str = include_str!("../results/sources.csv");
const METRICS: &str = include_str!("../results/metrics.csv");
const TOLERANCES: &str = include_str!("../results/tolerances.csv");

/// What publications call MMBench's splits in Chinese.
const MMBENCH_CN: &str = "mmbench-cn";

/// The tables that a VILA or LLaVA-1.5 run is set beside unless others are named.
pub const DEFAULT_SOURCES: &[&str] = &[
    "vila-paper-t5",
    "vila-readme-v1.0",
    "vila-readme-v1.5",
    "llava-model-zoo",
];

/// One published number, as printed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Published {
    /// Row of `sources.csv`.
    pub source_id: String,
    /// Model as the source names it.
    pub model: String,
    /// Language model, where given.
    pub llm: String,
    /// Vision encoder, where given.
    pub vision_encoder: String,
    /// Input resolution, where given.
    pub resolution: String,
    /// Weight precision, where given.
    pub precision: String,
    /// Benchmark; not only ours.
    pub benchmark: String,
    /// Split in the source's words.
    pub split: String,
    /// Metric in the source's words.
    pub metric: String,
    /// The number as printed.
    pub value: String,
    /// Unit of the number.
    pub unit: String,
    /// In-context examples.
    pub shots: String,
    /// Remarks.
    pub notes: String,
}

impl Published {
    /// Half of the last printed digit: the number before rounding lies at most this far away.
    pub fn half_step(&self) -> f64 {
        let decimals = self.value.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        0.5 * 10_f64.powi(-i32::try_from(decimals).unwrap_or(i32::MAX))
    }
}

/// How far two runs of one checkpoint on one benchmark may part.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Tolerance {
    /// Benchmark.
    pub benchmark: Task,
    /// In the unit of the benchmark's headline.
    pub tolerance: f64,
    /// That unit.
    pub unit: String,
    /// Row of `sources.csv`: where the two runs are reported.
    pub source_id: String,
    /// What was seen there.
    pub reason: String,
}

/// Where numbers were published.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Source {
    /// Key.
    pub source_id: String,
    /// Title.
    pub title: String,
    /// What it is: paper table, README, issue.
    pub kind: String,
    /// Where to find it.
    pub citation: String,
    /// Date of the version read.
    pub date: String,
    /// `yes` when the number was read in the source itself.
    pub verified: String,
}

/// What a (benchmark, split, metric) of the table is in our terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ours {
    /// The same as this split and metric id of ours.
    Same {
        /// Our split.
        split: String,
        /// Our metric id.
        metric: String,
    },
    /// Nothing of ours; the reason.
    NotComparable(String),
}

#[derive(Debug, Deserialize)]
struct MetricRow {
    benchmark: String,
    split: String,
    metric: String,
    our_split: String,
    our_metric: String,
    reason: String,
}

/// The three tables, parsed.
#[derive(Debug)]
pub struct PublishedNumbers {
    /// Every row, in file order.
    pub rows: Vec<Published>,
    /// Every source, in file order.
    pub sources: Vec<Source>,
    tolerances: Vec<Tolerance>,
    mapping: HashMap<(String, String, String), Ours>,
}

static NUMBERS: LazyLock<Result<PublishedNumbers, String>> =
    LazyLock::new(|| PublishedNumbers::parse().map_err(|error| error.to_string()));

impl PublishedNumbers {
    /// The compiled-in tables.
    pub fn get() -> Result<&'static Self, Fault> {
        NUMBERS
            .as_ref()
            .map_err(|error| Fault::Bug(format!("results/*.csv: {error}")))
    }

    fn parse() -> Result<Self, csv::Error> {
        let rows = csv::Reader::from_reader(PUBLISHED.as_bytes())
            .deserialize()
            .collect::<Result<_, _>>()?;
        let sources = csv::Reader::from_reader(SOURCES.as_bytes())
            .deserialize()
            .collect::<Result<_, _>>()?;
        let tolerances = csv::Reader::from_reader(TOLERANCES.as_bytes())
            .deserialize()
            .collect::<Result<_, _>>()?;
        let mut mapping = HashMap::new();
        for row in csv::Reader::from_reader(METRICS.as_bytes()).deserialize() {
            let row: MetricRow = row?;
            let ours = match row.reason.strip_prefix("not comparable: ") {
                Some(reason) => Ours::NotComparable(reason.to_owned()),
                None => Ours::Same {
                    split: row.our_split,
                    metric: row.our_metric,
                },
            };
            mapping.insert((row.benchmark, row.split, row.metric), ours);
        }
        Ok(Self {
            rows,
            sources,
            tolerances,
            mapping,
        })
    }

    /// What a row is in our terms; `None` for a row that `metrics.csv` forgot.
    pub fn ours(&self, row: &Published) -> Option<&Ours> {
        self.mapping
            .get(&(row.benchmark.clone(), row.split.clone(), row.metric.clone()))
    }

    /// How far two runs of one checkpoint on `task` may part.
    pub fn tolerance(&self, task: Task) -> Option<&Tolerance> {
        self.tolerances.iter().find(|row| row.benchmark == task)
    }

    /// The source of that id.
    pub fn source(&self, id: &str) -> Option<&Source> {
        self.sources.iter().find(|source| source.source_id == id)
    }

    /// The rows about `task` that `selection` names; for a split in Chinese those that publications call a benchmark of
    /// its own.
    pub fn select(&self, task: Task, split: &str, selection: &[Selector]) -> Vec<&Published> {
        let benchmark = match task {
            Task::Mmbench if split.ends_with("-cn") => MMBENCH_CN,
            _ => task.id(),
        };
        let named = |row: &&Published| row.benchmark == benchmark && selection.iter().any(|one| one.names(row));
        self.rows.iter().filter(named).collect()
    }
}

/// `SOURCE_ID` or `SOURCE_ID/MODEL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    source: String,
    model: Option<String>,
}

impl Selector {
    /// Reads a selector and refuses a source or model that is not in the table.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let numbers = PublishedNumbers::get()?;
        let (source, model) = match text.split_once('/') {
            Some((source, model)) => (source, Some(model)),
            None => (text, None),
        };
        if numbers.source(source).is_none() {
            let known: Vec<&str> = numbers.sources.iter().map(|source| source.source_id.as_str()).collect();
            return Err(UnknownName::new("source", source, &known).into());
        }
        let selector = Self {
            source: source.to_owned(),
            model: model.map(str::to_owned),
        };
        if !numbers.rows.iter().any(|row| selector.names(row)) {
            let of_source = numbers.rows.iter().filter(|row| row.source_id == source);
            let mut known: Vec<&str> = of_source.map(|row| row.model.as_str()).collect();
            known.sort_unstable();
            known.dedup();
            return Err(UnknownName::new("model of that source", model.unwrap_or_default(), &known).into());
        }
        Ok(selector)
    }

    fn names(&self, row: &Published) -> bool {
        row.source_id == self.source && self.model.as_ref().is_none_or(|model| row.model == *model)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_published_row_is_mapped_and_every_mapping_used() {
        let numbers = PublishedNumbers::get().unwrap();
        let mut used = HashSet::new();
        for row in &numbers.rows {
            assert!(
                numbers.ours(row).is_some(),
                "metrics.csv lacks {} {} {}",
                row.benchmark,
                row.split,
                row.metric
            );
            used.insert((row.benchmark.clone(), row.split.clone(), row.metric.clone()));
        }
        let unused: Vec<_> = numbers.mapping.keys().filter(|key| !used.contains(*key)).collect();
        assert!(unused.is_empty(), "{unused:?}");
    }

    #[test]
    fn every_mapping_is_one_thing_or_the_other_and_about_a_task_of_ours() {
        for ((benchmark, ..), ours) in &PublishedNumbers::get().unwrap().mapping {
            match ours {
                Ours::Same { split, metric } => {
                    let of_ours = benchmark.parse::<Task>().is_ok() || benchmark == MMBENCH_CN;
                    assert!(of_ours && !split.is_empty() && !metric.is_empty());
                }
                Ours::NotComparable(reason) => assert!(!reason.is_empty()),
            }
        }
    }

    #[test]
    fn every_row_has_a_source_and_a_number() {
        let numbers = PublishedNumbers::get().unwrap();
        assert_eq!(numbers.rows.len(), 880);
        for row in &numbers.rows {
            assert!(numbers.source(&row.source_id).is_some(), "{}", row.source_id);
            assert!(row.value.parse::<f64>().is_ok_and(f64::is_finite), "{row:?}");
        }
    }

    #[test]
    fn every_benchmark_has_a_tolerance_with_a_source() {
        let numbers = PublishedNumbers::get().unwrap();
        for &task in Task::ALL {
            let row = numbers.tolerance(task).unwrap();
            assert!(
                row.tolerance > 0.0 && !row.reason.is_empty() && !row.unit.is_empty(),
                "{row:?}"
            );
            assert!(numbers.source(&row.source_id).is_some(), "{row:?}");
        }
        assert_eq!(numbers.tolerances.len(), Task::ALL.len());
    }

    #[test]
    fn the_step_is_that_of_the_last_printed_digit() {
        let row = |value: &str| Published {
            value: value.to_owned(),
            ..PublishedNumbers::get().unwrap().rows.first().unwrap().clone()
        };
        assert_eq!(row("85.9").half_step(), 0.05);
        assert_eq!(row("36").half_step(), 0.5);
        assert_eq!(row("1509.3788").half_step(), 0.000_05);
    }

    #[test]
    fn selectors() {
        let numbers = PublishedNumbers::get().unwrap();
        let one = Selector::parse("llava-model-zoo/LLaVA-1.5-13B").unwrap();
        let values = |task, split| {
            let rows = numbers.select(task, split, std::slice::from_ref(&one));
            rows.iter().map(|row| row.value.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(values(Task::Pope, "coco-8910"), ["85.9"]);
        assert_eq!(values(Task::Mmbench, "dev"), ["67.7"]);
        assert_eq!(values(Task::Mmbench, "dev-cn"), ["63.6"]);
        assert!(
            Selector::parse("llava-model-zo")
                .unwrap_err()
                .to_string()
                .contains("did you mean `llava-model-zoo`?")
        );
        assert!(
            Selector::parse("llava-model-zoo/GPT")
                .unwrap_err()
                .to_string()
                .contains("unknown model of that source")
        );
    }
}
