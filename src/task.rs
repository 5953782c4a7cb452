//! From a task's name to its data.

use benchmarks::{Benchmark, Dataset, Task};

use crate::fault::Fault;

/// The benchmark of that name.
pub fn benchmark(task: Task) -> Result<&'static dyn Benchmark, Fault> {
    benchmarks::benchmark(task).ok_or_else(|| {
        let known: Vec<&str> = benchmarks::REGISTRY.iter().map(|known| known.task().id()).collect();
        Fault::User(format!(
            "`{task}` is not built yet; this vila-bench has: {}",
            known.join(", ")
        ))
    })
}

/// Says on stderr which data were found, and what is particular about them.
pub fn say_what_was_found(task: Task, dataset: &dyn Dataset) {
    let found = dataset.provenance();
    let pictures: std::collections::HashSet<String> = dataset
        .samples()
        .iter()
        .map(benchmarks::Sample::picture_group)
        .collect();
    eprintln!(
        "{task}: {}, split {}, {} questions about {} pictures",
        found.layout,
        found.split,
        dataset.samples().len(),
        pictures.len()
    );
    for remark in dataset.remarks() {
        eprintln!("{task}: {remark}");
    }
}
