//! The benchmarks that there are. Adding one is its file, a `mod` line and a line here.

use crate::benchmark::Benchmark;
use crate::gqa::Gqa;
use crate::mm_vet::MmVet;
use crate::mmbench::MmBench;
use crate::mme::Mme;
use crate::pope::Pope;
use crate::task::Task;
use crate::textvqa::Textvqa;
use crate::vizwiz::Vizwiz;
use crate::vqav2::Vqav2;

/// Every benchmark that this build knows, in the order of the papers' tables.
pub static REGISTRY: &[&dyn Benchmark] = &[&Vqav2, &Gqa, &Vizwiz, &Textvqa, &Pope, &Mme, &MmBench, &MmVet];

/// The benchmark of that task.
pub fn benchmark(task: Task) -> Option<&'static dyn Benchmark> {
    REGISTRY.iter().copied().find(|benchmark| benchmark.task() == task)
}
