//! What a picture costs before the tower, on one core: `pictures CKPT PICTURE...` reads each file, decodes and
//! preprocesses it for the checkpoint and prints pictures per second of processor time, and how many it would be if
//! nothing but decoding took time, as one JSON object.
//! `tests/bench/speed.py` runs it.

use std::error::Error;
use std::path::PathBuf;

use model_adapters::checkpoint::Checkpoint;
use model_adapters::picture;
use model_adapters::runner;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("usage: pictures CKPT PICTURE...")?;
    let preprocess = Checkpoint::open(&PathBuf::from(folder))?.preprocess;
    let files: Vec<String> = arguments.collect();
    // As in a run.
    runner::keep_freed_memory();
    let mut decoded = 0;
    let decoding = taken(&mut || {
        for file in &files {
            decoded += picture::decode(&std::fs::read(file)?)?.data.len();
        }
        Ok(())
    })?;
    let mut values = 0;
    let all = taken(&mut || {
        for file in &files {
            let decoded = picture::decode(&std::fs::read(file)?)?;
            values += preprocess.normalise(&preprocess.pixels(&decoded)?).len();
        }
        Ok(())
    })?;
    let count = files.len() as f64;
    println!(
        "{{\"pictures_per_s\": {}, \"decoded_per_s\": {}, \"values\": {values}, \"decoded\": {decoded}}}",
        count / all,
        count / decoding
    );
    Ok(())
}

/// Seconds on a processor, of all files at once: the system's account is a few milliseconds late.
fn taken(work: &mut dyn FnMut() -> Result<(), Box<dyn Error>>) -> Result<f64, Box<dyn Error>> {
    let start = processor_seconds()?;
    work()?;
    Ok(processor_seconds()? - start)
}

/// Of this thread so far: the first number is nanoseconds on a processor.
fn processor_seconds() -> Result<f64, Box<dyn Error>> {
    let numbers = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: f64 = numbers.split_whitespace().next().unwrap_or_default().parse()?;
    Ok(nanoseconds / 1e9)
}
