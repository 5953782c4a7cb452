//! `--trace`: when a run did what, in the format of chrome://tracing, which ui.perfetto.dev reads as well. With
//! several tasks each has a file of its own.

use std::path::{Path, PathBuf};
use std::time::Instant;

use benchmarks::Task;
use model_adapters::Span;
use serde::Serialize;

use crate::artefact;
use crate::fault::Fault;

/// The document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Trace {
    trace_events: Vec<Event>,
}

/// A complete event: microseconds since the first one began.
#[derive(Debug, Serialize)]
struct Event {
    name: &'static str,
    ph: &'static str,
    ts: u128,
    dur: u128,
    pid: u32,
    /// 1 is the model, 2 the pictures.
    tid: u32,
}

/// Writes the spans of `task` to `path`, whose name takes the task in before its extension.
pub fn write(path: &Path, task: Task, spans: &[Span]) -> Result<(), Fault> {
    artefact::write_json(&file(path, task), &trace(spans))
}

fn file(path: &Path, task: Task) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    let extension = if extension.is_empty() { "json".into() } else { extension };
    path.with_file_name(format!("{stem}.{task}.{extension}"))
}

fn trace(spans: &[Span]) -> Trace {
    let first = spans.iter().map(|span| span.start).min();
    let since = |instant: Instant| first.map_or(0, |first| (instant - first).as_micros());
    let event = |span: &Span| Event {
        name: span.stage.name(),
        ph: "X",
        ts: since(span.start),
        dur: (span.end - span.start).as_micros(),
        pid: 1,
        tid: if span.stage.is_beside() { 2 } else { 1 },
    };
    Trace {
        trace_events: spans.iter().map(event).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model_adapters::Stage;

    use super::*;

    #[test]
    fn events_are_counted_from_the_first() {
        let start = Instant::now();
        let span = |stage, from: u64, to: u64| Span {
            stage,
            start: start + Duration::from_micros(from),
            end: start + Duration::from_micros(to),
        };
        let spans = [span(Stage::Prefill, 50, 90), span(Stage::Decode, 10, 30)];
        insta::assert_snapshot!(serde_json::to_string(&trace(&spans)).unwrap(), @r#"{"traceEvents":[{"name":"prefill","ph":"X","ts":40,"dur":40,"pid":1,"tid":1},{"name":"read picture","ph":"X","ts":0,"dur":20,"pid":1,"tid":2}]}"#);
        assert_eq!(
            file(Path::new("a/trace.json"), Task::Pope),
            Path::new("a/trace.pope.json")
        );
        assert_eq!(file(Path::new("trace"), Task::Mme), Path::new("trace.mme.json"));
    }
}
