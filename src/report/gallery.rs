//! The pictures of a page: found through the benchmark's loader, shrunk side by side, kept in the page or beside it.
//!
//! A run's folder names its pictures but does not hold them. They are looked for in `--data`, else where the run's
//! own command line found them; a picture that is not at hand is shown as such, with the reason.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use benchmarks::{DataSource, Picture};
use model_adapters::picture::{RgbPicture, decode, resize_bicubic};
use mozjpeg::{ColorSpace, Compress};

use crate::artefact;
use crate::cli::ReportArgs;
use crate::fault::Fault;
use crate::hash::file_sha256;
use crate::recorded_run;
use crate::report::runs::BenchmarkRuns;
use crate::task;

/// Longest side of a thumbnail, in pixels.
const THUMBNAIL: usize = 256;

/// JPEG quality of a thumbnail.
const QUALITY: f32 = 80.0;

/// Up to this many bytes of thumbnails stand in the page itself.
const EMBEDDED: usize = 4 << 20;

/// Folder of the thumbnails beside the page.
const FOLDER: &str = "pictures";

/// Each worker holds one decoded picture, at most half a gigabyte.
const MOST_WORKERS: usize = 8;

/// A picture that samples show.
pub struct Entry {
    /// Its key in the benchmark.
    pub key: String,
    /// A data URI or a path relative to the page; otherwise why it cannot be shown.
    pub shown: Result<String, String>,
}

/// Every distinct picture of all benchmarks.
pub struct Gallery {
    pictures: Vec<Entry>,
    positions: HashMap<(usize, String), usize>,
    embedded: bool,
}

impl Gallery {
    /// Finds the pictures and makes their thumbnails.
    ///
    /// # Errors
    ///
    /// `--data` that has none of the benchmarks' data, thumbnails that cannot be written.
    pub fn make(benchmarks: &[BenchmarkRuns], args: &ReportArgs) -> Result<Self, Fault> {
        let mut found: Vec<(String, Result<Picture, String>)> = Vec::new();
        let mut positions = HashMap::new();
        for (number, benchmark) in benchmarks.iter().enumerate() {
            let mut at_hand = find(benchmark, args)?;
            for row in benchmark.runs.iter().flat_map(|run| &run.samples) {
                for key in row.picture.split('\n').filter(|key| !key.is_empty()) {
                    positions.entry((number, key.to_owned())).or_insert_with(|| {
                        let picture = match &mut at_hand {
                            Ok(pictures) => pictures
                                .remove(key)
                                .ok_or_else(|| "these data do not have it".to_owned()),
                            Err(reason) => Err(reason.clone()),
                        };
                        found.push((key.to_owned(), picture));
                        found.len() - 1
                    });
                }
            }
        }
        let staging = tempfile::tempdir_in(&args.out).map_err(|error| Fault::write(&args.out, &error))?;
        let thumbnails = shrink_all(&found, staging.path())?;
        let bytes: usize = thumbnails.iter().flatten().map(|thumbnail| thumbnail.bytes).sum();
        let embedded = bytes <= EMBEDDED;
        if !embedded {
            artefact::create_folder(&args.out.join(FOLDER))?;
        }
        let mut pictures = Vec::new();
        for ((key, _), thumbnail) in found.into_iter().zip(thumbnails) {
            let shown = match thumbnail {
                Err(reason) => Err(reason),
                Ok(thumbnail) if embedded => Ok(thumbnail.data_uri()?),
                Ok(thumbnail) => Ok(thumbnail.settle(&args.out)?),
            };
            pictures.push(Entry { key, shown });
        }
        Ok(Self {
            pictures,
            positions,
            embedded,
        })
    }

    /// All of them.
    pub fn pictures(&self) -> &[Entry] {
        &self.pictures
    }

    /// The position of a key of benchmark number `benchmark`.
    pub fn position(&self, benchmark: usize, key: &str) -> Option<usize> {
        self.positions.get(&(benchmark, key.to_owned())).copied()
    }

    /// How many cannot be shown.
    pub fn absent(&self) -> usize {
        self.pictures.iter().filter(|picture| picture.shown.is_err()).count()
    }

    /// How many there are and where.
    pub fn in_words(&self) -> String {
        let all = self.pictures.len();
        let shown = all - self.absent();
        match (shown, self.embedded) {
            (0, _) => format!("none of {all} pictures at hand (name their data with --data)"),
            (_, true) => format!("{shown} of {all} pictures, in the page"),
            (_, false) => format!("{shown} of {all} pictures, in `{FOLDER}` beside the page"),
        }
    }
}

/// The pictures of a benchmark by key, or why there are none.
fn find(benchmark: &BenchmarkRuns, args: &ReportArgs) -> Result<Result<HashMap<String, Picture>, String>, Fault> {
    if let Some(root) = &args.data {
        return load(benchmark, root, args.images.as_deref()).map(Ok);
    }
    let mut manifests = benchmark.runs.iter().flat_map(|run| &run.manifests);
    let Some(run) = manifests.find_map(recorded_run::options) else {
        return Ok(Err("the run's folder does not say where its data lie".to_owned()));
    };
    Ok(load(benchmark, &run.data, run.images.as_deref()).map_err(|fault| fault.to_string()))
}

fn load(benchmark: &BenchmarkRuns, root: &Path, images: Option<&Path>) -> Result<HashMap<String, Picture>, Fault> {
    let source = DataSource {
        root: root.to_owned(),
        images: images.map(Path::to_owned),
        split: Some(benchmark.split.clone()),
        grades: None,
    };
    let dataset = task::benchmark(benchmark.task)?.load(&source)?;
    let rows = benchmark.runs.iter().flat_map(|run| &run.samples);
    // Two releases may give one id to two questions.
    let asked: HashMap<&str, &str> = rows.map(|row| (row.id.as_str(), row.question.as_str())).collect();
    let mut pictures = HashMap::new();
    for sample in dataset.samples() {
        if asked.get(sample.id.as_str()) == Some(&sample.question.as_str()) {
            for picture in &sample.pictures {
                pictures.insert(picture.key().to_owned(), picture.clone());
            }
        }
    }
    Ok(pictures)
}

/// A thumbnail in the staging folder.
struct Thumbnail {
    path: PathBuf,
    bytes: usize,
}

impl Thumbnail {
    fn data_uri(&self) -> Result<String, Fault> {
        let bytes = fs::read(&self.path).map_err(|error| Fault::read(&self.path, &error))?;
        Ok(format!("data:image/jpeg;base64,{}", STANDARD.encode(bytes)))
    }

    /// Moves it beside the page. The name is that of the content: a page written again finds its pictures, and no
    /// other file is touched.
    fn settle(&self, out: &Path) -> Result<String, Fault> {
        let hash: String = file_sha256(&self.path)?.chars().take(20).collect();
        let name = format!("{FOLDER}/{hash}.jpg");
        let place = out.join(&name);
        fs::rename(&self.path, &place).map_err(|error| Fault::write(&place, &error))?;
        Ok(name)
    }
}

/// Shrinks all pictures into `staging`, several at a time; memory holds no more than one a worker.
fn shrink_all(
    found: &[(String, Result<Picture, String>)],
    staging: &Path,
) -> Result<Vec<Result<Thumbnail, String>>, Fault> {
    let workers = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(MOST_WORKERS);
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(found.len()));
    let work = || -> Result<(), Fault> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some((_, picture)) = found.get(number) else {
                return Ok(());
            };
            let thumbnail = match picture.as_ref().map_err(Clone::clone).and_then(shrink) {
                Ok(bytes) => {
                    let path = staging.join(format!("{number}.jpg"));
                    fs::write(&path, &bytes).map_err(|error| Fault::write(&path, &error))?;
                    Ok(Thumbnail {
                        path,
                        bytes: bytes.len(),
                    })
                }
                Err(reason) => Err(reason),
            };
            if let Ok(mut done) = done.lock() {
                done.push((number, thumbnail));
            }
        }
    };
    let ends: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
    });
    for end in ends {
        end.map_err(|_| Fault::Bug("a thread that makes thumbnails ended early".to_owned()))??;
    }
    let mut done = done.into_inner().unwrap_or_default();
    done.sort_by_key(|(number, _)| *number);
    Ok(done.into_iter().map(|(_, thumbnail)| thumbnail).collect())
}

/// A picture's thumbnail as JPEG.
fn shrink(picture: &Picture) -> Result<Vec<u8>, String> {
    let bytes = picture.read().map_err(|error| error.to_string())?;
    let decoded = decode(&bytes).map_err(|error| error.to_string())?;
    let (width, height) = thumbnail_size(decoded.width, decoded.height);
    let small = if (width, height) == (decoded.width, decoded.height) {
        decoded
    } else {
        resize_bicubic(&decoded, width, height)
    };
    encode(&small).map_err(|error| format!("no thumbnail could be made: {error}"))
}

/// Within [`THUMBNAIL`], same shape, never larger than the picture.
fn thumbnail_size(width: usize, height: usize) -> (usize, usize) {
    let longest = width.max(height);
    if longest <= THUMBNAIL {
        return (width, height);
    }
    let side = |side: usize| ((side * THUMBNAIL + longest / 2) / longest).max(1);
    (side(width), side(height))
}

fn encode(picture: &RgbPicture) -> std::io::Result<Vec<u8>> {
    let mut compress = Compress::new(ColorSpace::JCS_RGB);
    compress.set_fastest_defaults();
    compress.set_size(picture.width, picture.height);
    compress.set_quality(QUALITY);
    let mut started = compress.start_compress(Vec::new())?;
    started.write_scanlines(&picture.data)?;
    started.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumbnails_keep_their_shape() {
        assert_eq!(thumbnail_size(640, 480), (256, 192));
        assert_eq!(thumbnail_size(480, 640), (192, 256));
        assert_eq!(thumbnail_size(100, 50), (100, 50));
        assert_eq!(thumbnail_size(100_000, 3), (256, 1));
    }

    #[test]
    fn a_thumbnail_is_a_jpeg_of_the_same_colours() {
        let picture = RgbPicture {
            width: 64,
            height: 32,
            data: [200_u8, 40, 90].repeat(64 * 32),
        };
        let back = decode(&encode(&picture).unwrap()).unwrap();
        assert_eq!((back.width, back.height), (64, 32));
        let far = back.data.iter().zip(&picture.data).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(far.unwrap() < 6, "{far:?}");
    }

    #[test]
    fn a_picture_that_cannot_be_read_says_why() {
        let broken = tempfile::NamedTempFile::new().unwrap();
        fs::write(broken.path(), b"\xff\xd8\xff not a picture").unwrap();
        let reason = shrink(&Picture::file("a.jpg", broken.path().to_owned())).unwrap_err();
        assert!(reason.starts_with("corrupt JPEG file"), "{reason}");
    }
}
