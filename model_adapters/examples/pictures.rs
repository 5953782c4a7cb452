//! What a picture costs before the tower, on one core: `pictures CKPT PICTURE...` reads each file, decodes and
//! preprocesses it for the checkpoint and prints pictures per second of processor time, and how many it would be if
//! nothing but decoding took time, as one JSON object.
//! `tests/bench/speed.py` runs it.

use std::error::Error;
use std::path::PathBuf;

use model_adapters::checkpoint::Checkpoint;
use model_adapters::picture;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("usage: pictures CKPT PICTURE...")?;
    let preprocess = Checkpoint::open(&PathBuf::from(folder))?.preprocess;
    let files: Vec<String> = arguments.collect();
    let start = processor_seconds()?;
    let (mut values, mut decoding) = (0, 0.0);
    for file in &files {
        let bytes = std::fs::read(file)?;
        let before = processor_seconds()?;
        let decoded = picture::decode(&bytes)?;
        decoding += processor_seconds()? - before;
        values += preprocess.normalise(&preprocess.pixels(&decoded)?).len();
    }
    let seconds = processor_seconds()? - start;
    let count = files.len() as f64;
    println!(
        "{{\"pictures_per_s\": {}, \"decoded_per_s\": {}, \"values\": {values}}}",
        count / seconds,
        count / decoding
    );
    Ok(())
}

/// Of this thread so far: the first number is nanoseconds on a processor.
fn processor_seconds() -> Result<f64, Box<dyn Error>> {
    let numbers = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: f64 = numbers.split_whitespace().next().unwrap_or_default().parse()?;
    Ok(nanoseconds / 1e9)
}
