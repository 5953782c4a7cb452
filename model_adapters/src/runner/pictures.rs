//! Pictures made ready in the background: read, decoded and preprocessed while the model works.
//!
//! The queue is bounded by the asker: it orders the pictures of a few groups ahead and no more.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use sha2::{Digest as _, Sha256};

use crate::picture::{self, JpegDecoder, Preprocess};
use crate::request::EncodedPicture;
use crate::work::{Span, Stage};

/// SHA-256 of a picture file's bytes, of the decoder and of the preprocessing: equal where the tower sees the same pixels.
pub type ContentHash = [u8; 32];

/// A picture ready for the tower.
#[derive(Debug)]
pub struct ReadyPicture {
    /// Of the file.
    pub content: ContentHash,
    /// Normalised, `[3, side, side]`.
    pub pixels: Vec<f32>,
    /// When it was read and when preprocessed.
    pub spans: [Span; 2],
}

/// A picture that will be ready, or why it will not.
pub type Awaited = Receiver<Result<ReadyPicture, String>>;

struct Job {
    picture: EncodedPicture,
    preprocess: Arc<Preprocess>,
    decoder: JpegDecoder,
    answer: Sender<Result<ReadyPicture, String>>,
}

/// Threads that make pictures ready, in the order in which they were asked for.
#[derive(Debug)]
pub struct PictureThreads {
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl PictureThreads {
    /// Starts `count` threads.
    pub fn start(count: usize) -> Self {
        let (jobs, queue) = channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        let worker = |_| {
            let queue = Arc::clone(&queue);
            std::thread::spawn(move || {
                loop {
                    let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(job) = job else { break };
                    // Nobody waits any more where a run was stopped.
                    let _sent = job.answer.send(make_ready(&job.picture, &job.preprocess, job.decoder));
                }
            })
        };
        Self {
            jobs: Some(jobs),
            threads: (0..count).map(worker).collect(),
        }
    }

    /// Asks for one more picture.
    pub fn order(&self, picture: &EncodedPicture, preprocess: &Arc<Preprocess>, decoder: JpegDecoder) -> Awaited {
        let (answer, awaited) = channel();
        if let Some(jobs) = &self.jobs {
            // Where all threads are gone, the asker sees a closed channel.
            let _sent = jobs.send(Job {
                picture: picture.clone(),
                preprocess: Arc::clone(preprocess),
                decoder,
                answer,
            });
        }
        awaited
    }
}

impl Drop for PictureThreads {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            let _ended = thread.join();
        }
    }
}

fn make_ready(picture: &EncodedPicture, preprocess: &Preprocess, decoder: JpegDecoder) -> Result<ReadyPicture, String> {
    let (read, reading) = Span::of(Stage::Decode, || {
        let bytes = (picture.read)()?;
        let decoded = picture::decode_with(&bytes, decoder);
        let hash = Sha256::new()
            .chain_update(format!("{decoder:?}{preprocess:?}"))
            .chain_update(&bytes);
        Ok::<_, String>((hash.finalize().into(), decoded))
    });
    let (content, decoded) = read?;
    let (pixels, preprocessing) = Span::of(Stage::Preprocess, || {
        decoded.and_then(|decoded| Ok(preprocess.normalise(&preprocess.pixels(&decoded)?)))
    });
    Ok(ReadyPicture {
        content,
        pixels: pixels.map_err(|fault| format!("picture `{}`: {fault}", picture.key))?,
        spans: [reading, preprocessing],
    })
}
