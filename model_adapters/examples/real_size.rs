//! What loading and asking a checkpoint costs: `real_size CKPT PICTURE` prints one JSON object with the seconds of
//! loading, the seconds to the first token (picture included), tokens per second behind it, and the peak of resident
//! memory. With `--hash` it hashes the files as it loads them, as a checkpoint's first run does, and asks nothing.
//! `tests/bench/real_size.py` runs it on checkpoints of the published shapes.

use std::error::Error;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use model_adapters::checkpoint::Checkpoint;
use model_adapters::runner::{Device, DtypeChoice, Hashing, RunnerSettings, VilaAdapter};
use model_adapters::{Adapter, EncodedPicture, GenerationLimits, PromptPart, Request, Script};

/// New tokens of the timed answer.
const NEW_TOKENS: usize = 8;

fn main() -> Result<(), Box<dyn Error>> {
    // SAFETY: this is the only thread.
    unsafe { model_adapters::runner::use_large_pages() };
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), Some(picture)) = (arguments.next(), arguments.next()) else {
        return Err("usage: real_size CKPT PICTURE [--hash]".into());
    };
    let hashes = arguments.next().is_some_and(|option| option == "--hash");
    let start = Instant::now();
    let checkpoint = Checkpoint::open(&PathBuf::from(folder))?;
    let mut settings = RunnerSettings::new(Device::Cpu, DtypeChoice::Auto);
    settings.keep = Some(settings.loading(&checkpoint).keep);
    let files = if hashes { checkpoint.weight_files() } else { Vec::new() };
    let mut hashing = Hashing::of(files);
    let mut adapter = VilaAdapter::open_hashing(&checkpoint, settings, &mut hashing)?;
    let load = start.elapsed().as_secs_f64();
    eprintln!(
        "loaded in {load:.2} s, {} files hashed, {:.2} GB resident at most",
        hashing.found().len(),
        peak_rss()? as f64 / 1e9
    );

    if hashes {
        let keep = settings.keep.map_or("", model_adapters::runner::Keep::id);
        println!(
            "{{\"keep\": \"{keep}\", \"load_s\": {load:.2}, \"peak_rss_bytes\": {}}}",
            peak_rss()?
        );
        return Ok(());
    }
    let mut timed = |max_new_tokens| -> Result<(f64, usize), Box<dyn Error>> {
        let (path, start) = (picture.clone(), Instant::now());
        let mut tokens: Result<usize, Box<dyn Error>> = Err("no answer".into());
        let request = Request {
            id: "question".to_owned(),
            script: Script::Short,
            prompt: vec![
                PromptPart::Picture(EncodedPicture {
                    key: picture.as_str().into(),
                    read: Arc::new(move || std::fs::read(&path).map_err(|error| error.to_string())),
                }),
                PromptPart::Text(
                    "Is there a dog in the image?\nAnswer the question using a single word or phrase.".to_owned(),
                ),
            ],
            limits: GenerationLimits { max_new_tokens },
        };
        adapter.answer(&mut std::iter::once(request), &mut |answer| {
            tokens = answer
                .outcome
                .map(|generated| generated.new_tokens)
                .map_err(|failure| failure.to_string().into());
            ControlFlow::Continue(())
        })?;
        Ok((start.elapsed().as_secs_f64(), tokens?))
    };
    let (first, _) = timed(1)?;
    eprintln!(
        "first token after {first:.1} s, {:.2} GB resident at most",
        peak_rss()? as f64 / 1e9
    );
    // The picture is known from here on: what differs between these two is the tokens alone.
    let (one, _) = timed(1)?;
    let (all, tokens) = timed(NEW_TOKENS)?;
    let rate = tokens.saturating_sub(1) as f64 / (all - one);
    println!(
        "{{\"keep\": \"{}\", \"load_s\": {load:.2}, \"first_token_s\": {first:.2}, \"tokens\": {tokens}, \
         \"answer_s\": {all:.2}, \"tokens_per_s\": {rate:.3}, \"peak_rss_bytes\": {}}}",
        settings.keep.map_or("", model_adapters::runner::Keep::id),
        peak_rss()?
    );
    Ok(())
}

/// The most memory this process ever had resident, pages of mapped files included.
fn peak_rss() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line
        .and_then(|line| line.split_whitespace().next())
        .ok_or("no VmHWM in /proc/self/status")?;
    Ok(kib.parse::<u64>()? * 1024)
}
