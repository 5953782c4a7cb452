//! Progress of a run on stderr: a bar on a terminal, a plain line now and then elsewhere.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Between plain lines.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Counts answers and failures and shows them.
#[derive(Debug)]
pub struct Progress {
    task: String,
    words: Words,
    total: usize,
    answered: usize,
    failed: usize,
    start: Instant,
    display: Display,
}

/// What is counted, as the display says it.
#[derive(Debug, Clone, Copy)]
pub struct Words {
    /// What has happened to those that are through: "answered".
    pub done: &'static str,
    /// Several of them: "questions".
    pub many: &'static str,
}

/// Questions to a model.
const QUESTIONS: Words = Words {
    done: "answered",
    many: "questions",
};

#[derive(Debug)]
enum Display {
    Bar(ProgressBar),
    Lines { last: Instant },
}

impl Progress {
    /// Starts counting towards `total` questions of `task`.
    pub fn start(task: &str, total: usize) -> Self {
        Self::counting(QUESTIONS, task, total)
    }

    /// Starts counting towards `total` of what `words` name.
    pub fn counting(words: Words, task: &str, total: usize) -> Self {
        let start = Instant::now();
        let display = if std::io::stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} {msg}") {
                bar.set_style(style);
            }
            bar.set_prefix(task.to_owned());
            Display::Bar(bar)
        } else {
            Display::Lines { last: start }
        };
        Self {
            task: task.to_owned(),
            words,
            total,
            answered: 0,
            failed: 0,
            start,
            display,
        }
    }

    /// One more sample has its outcome.
    pub fn add(&mut self, failed: bool) {
        if failed {
            self.failed += 1;
        } else {
            self.answered += 1;
        }
        let status = self.status();
        let line = self.line(&status);
        match &mut self.display {
            Display::Bar(bar) => {
                bar.set_message(status);
                bar.inc(1);
            }
            Display::Lines { last } => {
                if last.elapsed() >= LINE_INTERVAL {
                    *last = Instant::now();
                    eprintln!("{line}");
                }
            }
        }
    }

    /// Ends the display with a last line.
    pub fn finish(self) -> Duration {
        let elapsed = self.start.elapsed();
        if let Display::Bar(bar) = &self.display {
            bar.finish_and_clear();
        }
        eprintln!("{}", self.line(&self.status()));
        elapsed
    }

    fn line(&self, status: &str) -> String {
        let (task, done) = (&self.task, self.words.done);
        format!("{task}: {} of {} {done}, {status}", self.answered, self.total)
    }

    fn status(&self) -> String {
        let done = self.answered + self.failed;
        let seconds = self.start.elapsed().as_secs_f64();
        let rate = if seconds > 0.0 { done as f64 / seconds } else { 0.0 };
        let mut status = format!("{rate:.1} {}/s", self.words.many);
        if rate > 0.0 && done < self.total {
            status.push_str(&format!(", {} left", span((self.total - done) as f64 / rate)));
        }
        if self.failed > 0 {
            status.push_str(&format!(", {} failed", self.failed));
        }
        status
    }
}

/// A duration as people say it: `45 s`, `12 min`, `3 h 20 min`.
pub fn span(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match seconds {
        0..=99 => format!("{seconds} s"),
        100..=5999 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        for (seconds, text) in [(0.4, "0 s"), (99.0, "99 s"), (150.0, "3 min"), (12_000.0, "3 h 20 min")] {
            assert_eq!(span(seconds), text);
        }
    }
}
