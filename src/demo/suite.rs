//! The mini suite: the eight benchmarks about drawn scenes, each in its official layout, and the hashes of all files.

use std::collections::HashSet;
use std::path::Path;

use benchmarks::{ExportFile, Task};
use sha2::{Digest as _, Sha256};

use super::dice::{Dice, Stream};
use super::draw::Painter;
use super::scene::Scene;
use super::{gqa, mm_vet, mmbench, mme, pope, textvqa, vizwiz, vqav2};
use crate::artefact;
use crate::fault::Fault;

/// The seed of the suite that the repository ships.
pub const SEED: u64 = 1;

/// The file that names all others, as `sha256sum` writes it.
const HASHES: &str = "SHA256SUMS";

/// What identifies the questions of the shipped suite wherever they lie and in whichever layout, as in `results.json`:
/// one entry a benchmark.
const QUESTIONS: [&str; 8] = [
    "bfc88a8389df7c423cd01c9a023b5b42c33ca5061165b10046ee76b68bfc0273",
    "972699db1ddbbbaf93b7b898eae1699d9bd1bc4890bd1b4fc57f2e517b84818c",
    "eabac9fe14f0d2254b9c08d29caeefd259d6847f0119f518d9b87382a7081d1f",
    "6c7a7f4001ffe669f40433399b8c37d84cd29c87e3e13906e6e29f6a49218ae7",
    "bf081dc61adfb5cd2bee9c5d264b0e9678d1967326a39a27ed1ff0cc10ae2661",
    "e4cb0ad59910c5ba0c3e228f3edbc8d38b84cb769c40270105a003b44b91382e",
    "4108da39ab42688f9890f0f7268f98e037942700704f21fec34dd5f82d4a7b83",
    "a4e402c46a9c3fd2c5edab2df998278b849145c2f20ef9a972036cdffb611ac4",
];

/// Whether these are the questions of a benchmark of the shipped suite.
pub fn asks(questions: &str) -> bool {
    QUESTIONS.contains(&questions)
}

/// One benchmark in the making.
pub struct Draft<'a> {
    task: Task,
    seed: u64,
    next: u32,
    painter: Option<&'a Painter>,
    shown: &'a mut HashSet<String>,
    files: Vec<ExportFile>,
    fault: Option<Fault>,
}

impl Draft<'_> {
    /// The next scene that no picture of the suite shows yet, with the dice that ask about it. `make` draws one and says
    /// whether it will do.
    pub fn scene(&mut self, make: impl Fn(&mut Dice) -> Option<Scene>) -> (Scene, Dice) {
        loop {
            let mut dice = Dice::new(self.seed, Stream::Suite(self.task as u8), self.next);
            self.next += 1;
            if let Some(scene) = make(&mut dice)
                && self.shown.insert(scene.description())
            {
                return (scene, dice);
            }
        }
    }

    /// Adds a picture under the benchmark's folder and gives its bytes.
    pub fn picture(&mut self, name: &str, scene: &Scene) {
        let bytes = self.jpeg(scene);
        self.file(name, bytes);
    }

    /// The picture's bytes for a table.
    pub fn jpeg(&mut self, scene: &Scene) -> Vec<u8> {
        match self.painter.map(|painter| painter.jpeg(scene)) {
            None => Vec::new(),
            Some(Ok(bytes)) => bytes,
            Some(Err(fault)) => {
                self.fault = Some(fault);
                Vec::new()
            }
        }
    }

    /// Adds a file under the benchmark's folder.
    pub fn file(&mut self, name: &str, bytes: impl Into<Vec<u8>>) {
        self.files.push(ExportFile {
            name: format!("{}/{name}", self.task),
            bytes: bytes.into(),
        });
    }

    /// Adds a JSON file.
    pub fn json(&mut self, name: &str, value: &serde_json::Value) {
        self.file(name, format!("{value}\n"));
    }
}

/// Draws the suite: all its files but the hashes, and the descriptions of all its scenes. Without a painter the pictures
/// are empty.
fn drawn(seed: u64, painter: Option<&Painter>) -> Result<(Vec<ExportFile>, HashSet<String>), Fault> {
    let mut shown = HashSet::new();
    let mut files = Vec::new();
    for &task in Task::ALL {
        let mut draft = Draft {
            task,
            seed,
            next: 0,
            painter,
            shown: &mut shown,
            files: Vec::new(),
            fault: None,
        };
        match task {
            Task::Vqav2 => vqav2::write(&mut draft),
            Task::Gqa => gqa::write(&mut draft),
            Task::Vizwiz => vizwiz::write(&mut draft),
            Task::Textvqa => textvqa::write(&mut draft),
            Task::Pope => pope::write(&mut draft),
            Task::Mme => mme::write(&mut draft),
            Task::Mmbench => mmbench::write(&mut draft),
            Task::MmVet => mm_vet::write(&mut draft),
        }
        if let Some(fault) = draft.fault {
            return Err(fault);
        }
        files.append(&mut draft.files);
    }
    files.sort_by(|one, other| one.name.cmp(&other.name));
    Ok((files, shown))
}

/// The descriptions of the suite's scenes, which no training scene may share.
pub fn descriptions(seed: u64) -> Result<HashSet<String>, Fault> {
    Ok(drawn(seed, None)?.1)
}

/// The files of the suite.
pub fn files(seed: u64) -> Result<Vec<ExportFile>, Fault> {
    let painter = Painter::new()?;
    let (mut files, _) = drawn(seed, Some(&painter))?;
    let hashes: String = files
        .iter()
        .map(|file| format!("{:x}  {}\n", Sha256::digest(&file.bytes), file.name))
        .collect();
    files.push(ExportFile {
        name: HASHES.to_owned(),
        bytes: hashes.into_bytes(),
    });
    Ok(files)
}

/// Writes the suite into the new or empty folder `out`.
pub fn write(seed: u64, out: &Path) -> Result<usize, Fault> {
    let files = files(seed)?;
    artefact::write_folder(out, &files)?;
    Ok(files.len())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use benchmarks::{DataSource, REGISTRY};

    use super::*;
    use crate::hash::file_sha256;
    use crate::scorecard::questions_sha256;

    fn shipped() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/mini-suite")
    }

    #[test]
    fn the_shipped_suite_is_what_its_seed_draws_byte_for_byte() {
        let drawn = files(SEED).unwrap();
        let (hashes, drawn) = drawn.split_last().unwrap();
        assert_eq!(hashes.name, HASHES);
        let listed = std::fs::read_to_string(shipped().join(HASHES)).unwrap();
        assert_eq!(String::from_utf8_lossy(&hashes.bytes), listed);
        for line in listed.lines() {
            let (hash, name) = line.split_once("  ").unwrap();
            assert_eq!(file_sha256(&shipped().join(name)).unwrap(), hash, "{name}");
        }
        let size: usize = drawn.iter().map(|file| file.bytes.len()).sum();
        assert!(size < 4_000_000, "{size}");
    }

    #[test]
    fn every_reader_takes_its_benchmark() {
        let source = DataSource {
            root: shipped(),
            images: None,
            split: None,
            grades: None,
        };
        let read: BTreeMap<&str, (usize, usize)> = REGISTRY
            .iter()
            .map(|benchmark| {
                let data = benchmark.load(&source).unwrap();
                let pictures = data.samples().iter().flat_map(|sample| &sample.pictures);
                let pictures: HashSet<&str> = pictures.filter(|one| one.is_present()).map(|one| one.key()).collect();
                (benchmark.task().id(), (data.samples().len(), pictures.len()))
            })
            .collect();
        let expected = [
            ("vqav2", (160, 40)),
            ("gqa", (160, 40)),
            ("vizwiz", (120, 120)),
            ("textvqa", (120, 90)),
            ("pope", (432, 24)),
            ("mme", (168, 84)),
            ("mmbench", (165, 45)),
            ("mm-vet", (99, 60)),
        ];
        assert_eq!(read, BTreeMap::from(expected));
    }

    #[test]
    fn the_shipped_suite_is_known_by_its_questions() {
        let source = DataSource {
            root: shipped(),
            images: None,
            split: None,
            grades: None,
        };
        let questions = |&task| {
            let data = benchmarks::benchmark(task).unwrap().load(&source).unwrap();
            questions_sha256(data.samples())
        };
        let all: Vec<String> = Task::ALL.iter().map(questions).collect();
        assert_eq!(all, QUESTIONS);
        assert!(!asks(""));
    }

    #[test]
    fn no_scene_is_shown_twice() {
        let (_, shown) = drawn(SEED, None).unwrap();
        // Those that were drawn and then had nothing to ask are in it too.
        assert!(shown.len() >= 40 + 40 + 120 + 90 + 24 + 84 + 45 + 60, "{}", shown.len());
    }
}
