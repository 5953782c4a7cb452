//! Where the time of a run went, on stderr.

use benchmarks::Task;
use model_adapters::Report;

/// Says what `report` counted in `seconds` of asking.
pub fn say(task: Task, report: &Report, seconds: f64, new_tokens: usize) {
    for line in lines(report, seconds, new_tokens) {
        eprintln!("{task}: {line}");
    }
    if let Some(bytes) = peak_memory() {
        eprintln!("{task}: memory: {:.0} MB at most so far", bytes as f64 / 1e6);
    }
}

/// Says what scoring took, where that is worth a line.
pub fn say_scored(task: Task, seconds: f64) {
    if seconds >= 0.05 {
        eprintln!("{task}: time: scoring {seconds:.1} s");
    }
}

/// The most bytes that this process has had in memory.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

fn lines(report: &Report, seconds: f64, new_tokens: usize) -> Vec<String> {
    let (work, spent) = (&report.work, &report.spent);
    let stages = [
        ("waiting for pictures", spent.waiting),
        ("tokenising", spent.tokenise),
        ("tower", spent.tower),
        ("projector", spent.projector),
        ("prefill", spent.prefill),
        ("decode steps", spent.steps),
        ("asked alone", spent.alone),
    ];
    let known: f64 = stages.iter().map(|(_, seconds)| seconds).sum();
    let shown = stages
        .into_iter()
        .chain([("rest", (seconds - known).max(0.0))])
        .filter(|(_, seconds)| *seconds >= 0.05)
        .map(|(stage, seconds)| format!("{stage} {seconds:.1} s"));
    let mut time: Vec<String> = shown.collect();
    time.push(format!(
        "beside: reading pictures {:.1} s, preprocessing {:.1} s",
        spent.decode, spent.preprocess
    ));
    let rate = if seconds > 0.0 {
        new_tokens as f64 / seconds
    } else {
        0.0
    };
    let saved = 100.0 * work.positions_saved() as f64 / (work.prompt_positions.max(1)) as f64;
    let mut lines = vec![
        format!("time: {}", time.join(", ")),
        format!(
            "work: {} pictures, {} of {} prompt positions prefilled ({saved:.0} % shared), {} decode steps, {rate:.1} \
             tokens/s, {} repeated",
            work.tower_forwards, work.prefilled, work.prompt_positions, work.decode_steps, work.repeats
        ),
    ];
    if let Some(rates) = &report.rates {
        lines.push(format!(
            "of this machine: prefill {:.0} % of {:.0} billion operations/s, decode steps {:.0} % of {:.1} GB/s read",
            100.0 * rates.prefill,
            rates.matrix / 1e9,
            100.0 * rates.decode,
            rates.read / 1e9
        ));
    }
    if work.measured > 0 {
        lines.push(format!(
            "asked alone as well: {} questions, {} of them because a choice was close; {} differed from the batch",
            work.measured, work.close, work.differing
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use model_adapters::{Rates, Spent, Work};

    use super::*;

    #[test]
    fn this_process_takes_memory() {
        assert!(peak_memory().unwrap() > 1_000_000);
    }

    #[test]
    fn a_run_is_summed_up_in_four_lines() {
        let report = Report {
            work: Work {
                tower_forwards: 8,
                prefilled: 400,
                prompt_positions: 1000,
                decode_steps: 3,
                measured: 9,
                close: 1,
                repeats: 2,
                ..Work::default()
            },
            spent: Spent {
                prefill: 2.0,
                tower: 1.0,
                decode: 0.25,
                ..Spent::default()
            },
            rates: Some(Rates {
                matrix: 172e9,
                read: 19.46e9,
                prefill: 0.812,
                decode: 0.744,
            }),
        };
        insta::assert_snapshot!(lines(&report, 4.0, 60).join("\n"), @r"
        time: tower 1.0 s, prefill 2.0 s, rest 1.0 s, beside: reading pictures 0.2 s, preprocessing 0.0 s
        work: 8 pictures, 400 of 1000 prompt positions prefilled (60 % shared), 3 decode steps, 15.0 tokens/s, 2 repeated
        of this machine: prefill 81 % of 172 billion operations/s, decode steps 74 % of 19.5 GB/s read
        asked alone as well: 9 questions, 1 of them because a choice was close; 0 differed from the batch
        ");
    }
}
