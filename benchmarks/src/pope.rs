//! POPE: object hallucination, yes/no questions about 500 COCO val2014 pictures (`pope.md`).

use crate::benchmark::{Benchmark, Dataset};
use crate::error::DataError;
use crate::source::DataSource;
use crate::task::Task;

/// The benchmark.
#[derive(Debug)]
pub struct Pope;

impl Benchmark for Pope {
    fn task(&self) -> Task {
        Task::Pope
    }

    fn about(&self) -> &'static str {
        "object hallucination, yes/no (Li et al. 2023, arXiv 2305.10355)"
    }

    fn default_split(&self) -> &'static str {
        "coco-8910"
    }

    fn default_size(&self) -> usize {
        8910
    }

    fn headline(&self) -> &'static str {
        "f1"
    }

    fn max_new_tokens(&self) -> usize {
        128
    }

    fn data_hint(&self) -> &'static str {
        "unpack LLaVA's `eval.zip` and COCO's `val2014` pictures to ROOT/pope (ROOT/pope/val2014/COCO_val2014_*.jpg)"
    }

    fn load(&self, source: &DataSource) -> Result<Box<dyn Dataset>, DataError> {
        let _ = source;
        unimplemented!()
    }
}
