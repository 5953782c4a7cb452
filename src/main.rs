//! The `vila-bench` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    vila_bench::main()
}
