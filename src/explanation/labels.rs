//! The same answers against every other release of the questions and labels that lies beside the run's data.

use std::collections::{HashMap, HashSet};

use benchmarks::{Dataset, Sample, Task};

/// Another release as far as the answers are about its questions.
pub struct OtherLabels {
    /// Layout, split and how far it is answered, in words.
    pub name: String,
    /// Its data.
    pub dataset: Box<dyn Dataset>,
    /// The answers, in its order.
    pub answers: Vec<Option<String>>,
}

impl OtherLabels {
    /// Sets a release beside the answers to `own`; `None` where it is made of the same files.
    ///
    /// # Errors
    ///
    /// A release whose samples have other ids, in words.
    pub fn new(
        task: Task,
        own: &dyn Dataset,
        answers: &[Option<String>],
        dataset: Box<dyn Dataset>,
    ) -> Option<Result<Self, String>> {
        let hashes = |dataset: &dyn Dataset| -> HashSet<String> {
            let files = dataset.provenance().files.iter();
            files.map(|file| file.sha256.clone()).collect()
        };
        if hashes(dataset.as_ref()).is_subset(&hashes(own)) {
            return None;
        }
        let by_id: HashMap<&str, usize> = own
            .samples()
            .iter()
            .enumerate()
            .map(|(index, sample)| (sample.id.as_str(), index))
            .collect();
        let (mut relabelled, mut found) = (0, Vec::with_capacity(dataset.samples().len()));
        for (position, sample) in dataset.samples().iter().enumerate() {
            let index = by_id.get(sample.id.as_str()).copied();
            let index = index.filter(|&index| asks_the_same(task, own, index, dataset.as_ref(), position));
            let answer = index.and_then(|index| answers.get(index)?.clone());
            let old = index.and_then(|index| own.samples().get(index));
            relabelled += usize::from(answer.is_some() && old.is_some_and(|old| !same_label(old, sample)));
            found.push(answer);
        }
        let (answered, n) = (found.iter().flatten().count(), found.len());
        let provenance = dataset.provenance();
        let name = format!(
            "{} ({}): {answered} of {n} answered, {relabelled} labels differ",
            provenance.split, provenance.layout
        );
        Some(match answered {
            0 => Err(format!(
                "{} ({}): none of its questions is one of the run's; its samples have ids of their own",
                provenance.split, provenance.layout
            )),
            _ => Ok(Self {
                name,
                dataset,
                answers: found,
            }),
        })
    }
}

/// Whether two samples of one id are one question. MMBench's later files give old numbers to new questions and move
/// options about; elsewhere the id says what is asked, whatever its spelling.
fn asks_the_same(task: Task, own: &dyn Dataset, index: usize, other: &dyn Dataset, position: usize) -> bool {
    let words = |dataset: &dyn Dataset, at: usize| {
        let prompt = dataset.prompt(at, benchmarks::PromptStyle::VlmEvalKit);
        let options = prompt.split_once("Question: ").map(|(_, asked)| asked.to_owned());
        let asked = options.unwrap_or(prompt);
        asked.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    task != Task::Mmbench || words(own, index) == words(other, position)
}

fn same_label(one: &Sample, other: &Sample) -> bool {
    match (&one.reference, &other.reference) {
        (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
        (one, other) => one.is_none() == other.is_none(),
    }
}

#[cfg(test)]
mod tests {
    use benchmarks::DataSource;

    use super::*;
    use crate::task;

    /// The later release gives number 2 to the same words with the options turned round, and number 3 to others.
    #[test]
    fn an_answer_counts_where_the_other_release_asks_the_same() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, rows: [&str; 3]| {
            let header = "index\tquestion\tA\tB\tanswer\tcategory\timage\tsplit\n";
            let rows: String = (1..)
                .zip(rows)
                .map(|(n, row)| format!("{n}\t{row}\tx\t{}\tdev\n", "AAAA".repeat(40)))
                .collect();
            std::fs::write(root.path().join(name), format!("{header}{rows}")).unwrap();
        };
        let old = ["What?\tmug\tcat\tA", "Which?\tred\tblue\tA", "Where?\tin\tout\tB"];
        write("mmbench_dev_20230712.tsv", old);
        let new = ["What?\tmug\tcat\tB", "Which?\tblue\tred\tB", "When?\tin\tout\tB"];
        write("MMBench_DEV_EN.tsv", new);
        let load = |split: &str| {
            let source = DataSource {
                root: root.path().to_owned(),
                images: None,
                split: Some(split.to_owned()),
                grades: None,
            };
            task::benchmark(Task::Mmbench).unwrap().load(&source).unwrap()
        };
        let (own, other) = (load("dev"), load("dev-en"));
        let answers = vec![Some("A".to_owned()); 3];
        let found = OtherLabels::new(Task::Mmbench, own.as_ref(), &answers, other)
            .unwrap()
            .unwrap();
        assert_eq!(found.name, "dev-en (TSV): 1 of 3 answered, 1 labels differ");
        assert_eq!(found.answers, [Some("A".to_owned()), None, None]);
        assert!(OtherLabels::new(Task::Mmbench, own.as_ref(), &answers, load("dev")).is_none());
    }
}
