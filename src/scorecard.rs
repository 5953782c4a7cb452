//! `scorecard.json`: all that a comparison needs of a run, small enough to be committed. A baseline file is scorecards
//! one a line. See `results/FORMATS.md` for every field.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use benchmarks::{Dataset, Protocol, Ratio, Sample, Score, Task, Term};
use serde::{Deserialize, Serialize};

use crate::artefact;
use crate::fault::Fault;
use crate::hash::text_sha256;
use crate::results::FORMAT;
use crate::statistics::clusters;

/// The file's name in a run's folder.
pub const FILE: &str = "scorecard.json";

/// Digits of a [`Column`]'s codes.
const DIGITS: &[u8; 64] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";

/// Every score of a run and the terms of its metrics, sample by sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scorecard {
    /// Version of this document.
    pub format: u32,
    /// Benchmark.
    pub task: Task,
    /// Split, as the loader named it.
    pub split: String,
    /// Whose rule scored.
    pub protocol: Protocol,
    /// Name of the run's model; absent where a loose prediction file was scored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What the run is, as in its manifest; empty for a loose prediction file.
    pub identity: BTreeMap<String, String>,
    /// SHA-256 over id, question and reference of every sample: equal where two runs were asked and judged alike,
    /// whichever layout their data had.
    pub questions: String,
    /// Ids of the samples.
    pub samples: Vec<String>,
    /// The picture of each sample, numbered: equal numbers, same picture.
    pub pictures: Vec<usize>,
    /// What each sample earned, from 0 to 1; `null` where it has no score.
    pub scores: Column<Option<f64>>,
    /// Ratios that metrics are made of, each once.
    pub ratios: Vec<RatioRecord>,
    /// The metrics, headline first.
    pub metrics: Vec<MetricRecord>,
}

/// Σ numerator / Σ denominator over some samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RatioRecord {
    /// The samples that take part, as (first position, how many).
    pub samples: Vec<(usize, usize)>,
    /// Numerator and denominator of each.
    pub terms: Column<(f64, f64)>,
}

/// A metric as a weighted sum of ratios.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricRecord {
    /// Its id.
    pub id: String,
    /// Its value as the protocol computes it; `null` where undefined.
    pub value: Option<f64>,
    /// Position in `ratios`, and weight.
    pub parts: Vec<(usize, f64)>,
}

/// A list with few distinct entries: these, and for each place the number of its entry in base 64, `width` digits
/// each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Column<T> {
    values: Vec<T>,
    width: usize,
    codes: String,
}

impl<T: Copy + PartialEq> Column<T> {
    fn new(entries: &[T], key: impl Fn(&T) -> [u64; 2]) -> Self {
        let mut values = Vec::new();
        let mut numbers: HashMap<[u64; 2], usize> = HashMap::new();
        let positions: Vec<usize> = entries
            .iter()
            .map(|entry| {
                *numbers.entry(key(entry)).or_insert_with(|| {
                    values.push(*entry);
                    values.len() - 1
                })
            })
            .collect();
        let width = (1..)
            .find(|width| values.len() <= 64_usize.saturating_pow(*width))
            .unwrap_or(1);
        let mut codes = String::with_capacity(entries.len() * width as usize);
        for position in positions {
            for place in (0..width).rev() {
                let digit = position / 64_usize.pow(place) % 64;
                codes.extend(DIGITS.get(digit).map(|digit| char::from(*digit)));
            }
        }
        Self {
            values,
            width: width as usize,
            codes,
        }
    }

    /// The entries; `None` where the codes do not fit the values.
    fn entries(&self) -> Option<Vec<T>> {
        let width = self.width.max(1);
        if !self.codes.len().is_multiple_of(width) {
            return None;
        }
        let number = |code: &[u8]| {
            code.iter().try_fold(0_usize, |number, byte| {
                let digit = DIGITS.iter().position(|digit| digit == byte)?;
                number.checked_mul(64)?.checked_add(digit)
            })
        };
        let codes = self.codes.as_bytes().chunks(width);
        codes.map(|code| self.values.get(number(code)?).copied()).collect()
    }
}

/// SHA-256 over id, question and reference of every sample, each followed by a zero byte.
pub fn questions_sha256(samples: &[Sample]) -> String {
    let mut questions = String::new();
    for sample in samples {
        let reference = sample.reference.as_deref().unwrap_or_default();
        for part in [sample.id.as_str(), &sample.question, reference] {
            questions.push_str(part);
            questions.push('\0');
        }
    }
    text_sha256(&questions)
}

impl Scorecard {
    /// The scorecard of a scored dataset.
    pub fn new(dataset: &dyn Dataset, task: Task, protocol: Protocol, score: &Score) -> Self {
        let samples = dataset.samples();
        let mut ratios = Ratios::default();
        let metrics = score.metrics.iter().map(|metric| MetricRecord {
            id: metric.id.to_string(),
            value: metric.value.as_ref().ok().copied(),
            parts: metric
                .ratios
                .iter()
                .map(|ratio| (ratios.number(&ratio.terms), ratio.weight))
                .collect(),
        });
        let metrics = metrics.collect();
        let scores: Vec<Option<f64>> = score.samples.iter().map(|sample| sample.score).collect();
        Self {
            format: FORMAT,
            task,
            split: dataset.provenance().split.clone(),
            protocol,
            model: None,
            identity: BTreeMap::new(),
            questions: questions_sha256(samples),
            samples: samples.iter().map(|sample| sample.id.to_string()).collect(),
            pictures: clusters(samples),
            scores: Column::new(&scores, |score| match score {
                Some(score) => [1, score.to_bits()],
                None => [0, 0],
            }),
            ratios: ratios.records,
            metrics,
        }
    }

    /// Names the run that it is of.
    pub fn of_run(self, model: &str, identity: &BTreeMap<String, String>) -> Self {
        Self {
            model: Some(model.to_owned()),
            identity: identity.clone(),
            ..self
        }
    }

    /// Writes scorecards, one a line.
    pub fn write(path: &Path, scorecards: &[Self]) -> Result<(), Fault> {
        artefact::write(path, |out| {
            for scorecard in scorecards {
                serde_json::to_writer(&mut *out, scorecard)?;
                out.write_all(b"\n")?;
            }
            Ok(())
        })
    }

    /// Reads the scorecards of a file, or of the run folders at or below `path`.
    ///
    /// # Errors
    ///
    /// A folder without any, a file of another kind or version.
    pub fn read_all(path: &Path) -> Result<Vec<Found>, Fault> {
        if !path.is_dir() {
            return read_file(path, None);
        }
        let mut found = Vec::new();
        let mut unscored = None;
        collect(path, 2, &mut found, &mut unscored)?;
        if !found.is_empty() {
            return Ok(found);
        }
        Err(Fault::User(match unscored {
            Some(folder) => format!(
                "`{}` has results but no {FILE}: an earlier vila-bench wrote it; run the same command again, which \
                 asks nothing twice",
                folder.display()
            ),
            None => format!(
                "no {FILE} in `{}` or in the folders below it; name a folder that `run` or `score --out` has written, \
                 or a file of `baseline`",
                path.display()
            ),
        }))
    }

    /// The terms of a metric.
    pub fn metric(&self, metric: &MetricRecord) -> Option<Vec<Ratio>> {
        let ratio = |&(number, weight): &(usize, f64)| {
            Some(Ratio {
                weight,
                terms: self.ratios.get(number)?.terms()?,
            })
        };
        metric.parts.iter().map(ratio).collect()
    }

    /// What each sample earned.
    pub fn scores(&self) -> Option<Vec<Option<f64>>> {
        self.scores.entries()
    }

    /// The sizes that must agree, and positions that must exist.
    fn is_sound(&self) -> bool {
        let n = self.samples.len();
        let terms_fit = |ratio: &RatioRecord| {
            let terms = ratio.terms();
            terms.is_some_and(|terms| terms.iter().all(|term| term.sample < n))
        };
        self.pictures.len() == n
            && self.pictures.iter().all(|picture| *picture < n)
            && self.scores().is_some_and(|scores| scores.len() == n)
            && self.ratios.iter().all(terms_fit)
            && self
                .metrics
                .iter()
                .flat_map(|metric| &metric.parts)
                .all(|(ratio, _)| *ratio < self.ratios.len())
    }
}

/// A scorecard and where it lay.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The document.
    pub scorecard: Scorecard,
    /// The run's folder; `None` for a baseline file.
    pub folder: Option<PathBuf>,
}

impl RatioRecord {
    fn new(terms: &[Term]) -> Self {
        let mut samples: Vec<(usize, usize)> = Vec::new();
        for term in terms {
            match samples.last_mut() {
                Some((first, count)) if *first + *count == term.sample => *count += 1,
                _ => samples.push((term.sample, 1)),
            }
        }
        let pairs: Vec<(f64, f64)> = terms.iter().map(|term| (term.numerator, term.denominator)).collect();
        Self {
            samples,
            terms: Column::new(&pairs, |pair| [pair.0.to_bits(), pair.1.to_bits()]),
        }
    }

    fn terms(&self) -> Option<Vec<Term>> {
        let pairs = self.terms.entries()?;
        let counted: usize = self
            .samples
            .iter()
            .try_fold(0_usize, |sum, (_, count)| sum.checked_add(*count))?;
        if counted != pairs.len() {
            return None;
        }
        let samples = self
            .samples
            .iter()
            .flat_map(|&(first, count)| first..first.saturating_add(count));
        let terms = samples.zip(pairs).map(|(sample, (numerator, denominator))| Term {
            sample,
            numerator,
            denominator,
        });
        Some(terms.collect())
    }
}

/// Collects ratios, each once.
#[derive(Default)]
struct Ratios {
    records: Vec<RatioRecord>,
    numbers: HashMap<Vec<[u64; 3]>, usize>,
}

impl Ratios {
    fn number(&mut self, terms: &[Term]) -> usize {
        let key = terms
            .iter()
            .map(|term| [term.sample as u64, term.numerator.to_bits(), term.denominator.to_bits()])
            .collect();
        *self.numbers.entry(key).or_insert_with(|| {
            self.records.push(RatioRecord::new(terms));
            self.records.len() - 1
        })
    }
}

fn collect(folder: &Path, levels: usize, found: &mut Vec<Found>, unscored: &mut Option<PathBuf>) -> Result<(), Fault> {
    let file = folder.join(FILE);
    if file.is_file() {
        found.extend(read_file(&file, Some(folder))?);
        return Ok(());
    }
    if folder.join("results.json").is_file() {
        unscored.get_or_insert_with(|| folder.to_owned());
    }
    if levels > 0 {
        let entries = std::fs::read_dir(folder).map_err(|error| Fault::read(folder, &error))?;
        let mut folders: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.is_dir())
            .collect();
        folders.sort();
        for below in folders {
            collect(&below, levels - 1, found, unscored)?;
        }
    }
    Ok(())
}

fn read_file(path: &Path, folder: Option<&Path>) -> Result<Vec<Found>, Fault> {
    let text = std::fs::read_to_string(path).map_err(|error| Fault::read(path, &error))?;
    let fault = |line: usize, what: &str| {
        Fault::User(format!(
            "`{}`, line {line}: {what}; name a run's folder or a file that `baseline` has written",
            path.display()
        ))
    };
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let number = number + 1;
        let version: Version = serde_json::from_str(line).map_err(|_| fault(number, "no scorecard"))?;
        if version.format != FORMAT {
            let what = format!(
                "a scorecard of format {}, this vila-bench reads {FORMAT}",
                version.format
            );
            return Err(fault(number, &what));
        }
        let scorecard: Scorecard =
            serde_json::from_str(line).map_err(|error| fault(number, &format!("no scorecard: {error}")))?;
        if !scorecard.is_sound() {
            return Err(fault(number, "a scorecard whose lists do not fit each other"));
        }
        found.push(Found {
            scorecard,
            folder: folder.map(Path::to_owned),
        });
    }
    if found.is_empty() {
        return Err(fault(1, "no scorecard"));
    }
    Ok(found)
}

/// What every version of the document says first.
#[derive(Deserialize)]
struct Version {
    format: u32,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn term(sample: usize, numerator: f64) -> Term {
        Term {
            sample,
            numerator,
            denominator: 1.0,
        }
    }

    fn scorecard() -> Scorecard {
        let mut ratios = Ratios::default();
        let all: Vec<Term> = [1.0, 0.0, 0.3]
            .into_iter()
            .enumerate()
            .map(|(n, v)| term(n, v))
            .collect();
        let part = [term(0, 1.0), term(2, 0.3)];
        let parts = [ratios.number(&all), ratios.number(&part), ratios.number(&all)];
        assert_eq!(parts, [0, 1, 0]);
        Scorecard {
            format: FORMAT,
            task: Task::Textvqa,
            split: "val".to_owned(),
            protocol: Protocol::Paper,
            model: Some("m".to_owned()),
            identity: BTreeMap::from([("dtype".to_owned(), "float32".to_owned())]),
            questions: "0".repeat(64),
            samples: ["a", "b", "c"].map(str::to_owned).to_vec(),
            pictures: vec![0, 0, 1],
            scores: Column::new(&[Some(1.0), None, Some(0.3)], |score| match score {
                Some(score) => [1, score.to_bits()],
                None => [0, 0],
            }),
            ratios: ratios.records,
            metrics: vec![MetricRecord {
                id: "accuracy".to_owned(),
                value: Some(43.0),
                parts: vec![(0, 50.0), (1, 50.0)],
            }],
        }
    }

    #[test]
    fn a_baseline_is_scorecards_one_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("baseline.jsonl");
        Scorecard::write(&path, &[scorecard(), scorecard()]).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
        let found = Scorecard::read_all(&path).unwrap();
        assert_eq!(found.len(), 2);
        let read = &found.first().unwrap().scorecard;
        assert_eq!(*read, scorecard());
        let ratios = read.metric(read.metrics.first().unwrap()).unwrap();
        assert_eq!(ratios[1].terms, [term(0, 1.0), term(2, 0.3)]);
        assert_eq!(read.scores().unwrap(), [Some(1.0), None, Some(0.3)]);
    }

    #[test]
    fn what_is_no_scorecard_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("baseline.jsonl");
        let good = serde_json::to_string(&scorecard()).unwrap();
        let cases = [
            (String::new(), "line 1: no scorecard;"),
            ("{\"a\": 1}".to_owned(), "line 1: no scorecard;"),
            (
                format!("{good}\n{}", good.replace("\"format\":1", "\"format\":2")),
                "line 2: a scorecard of format 2",
            ),
            (
                good.replace("[0,0,1]", "[0,0,7]"),
                "line 1: a scorecard whose lists do not fit",
            ),
            (
                good.replace("\"width\":1", "\"width\":2"),
                "line 1: a scorecard whose lists do not fit",
            ),
            (
                good.replace("[[0,3]]", "[[0,9999999999]]"),
                "line 1: a scorecard whose lists do not fit",
            ),
        ];
        for (content, expected) in cases {
            std::fs::write(&path, content).unwrap();
            let error = Scorecard::read_all(&path).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let error = Scorecard::read_all(folder.path()).unwrap_err().to_string();
        assert!(error.starts_with("no scorecard.json in"), "{error}");
        std::fs::write(folder.path().join("results.json"), "{}").unwrap();
        let error = Scorecard::read_all(folder.path()).unwrap_err().to_string();
        assert!(error.contains("has results but no scorecard.json"), "{error}");
    }

    proptest! {
        #[test]
        fn columns_read_back(entries in proptest::collection::vec(0_u16..5000, 0..400)) {
            let entries: Vec<(f64, f64)> = entries.into_iter().map(|n| (f64::from(n), 1.0)).collect();
            let column = Column::new(&entries, |pair| [pair.0.to_bits(), pair.1.to_bits()]);
            prop_assert_eq!(column.entries(), Some(entries));
        }
    }
}
