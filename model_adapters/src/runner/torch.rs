//! What is computed in and by what: dtypes, their place on a device, and facts about the libtorch in use.

use std::ffi::{c_uint, c_void};
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, OnceLock, PoisonError};

use tch::Kind;

use crate::runner::device::{CudaStatus, Device};
use crate::runner::error::DeviceError;

/// The dtype that the model computes in, whatever is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// IEEE single precision.
    Float32,
    /// IEEE half precision: what the references compute in (`checkpoints.md` section 9).
    Float16,
    /// bfloat16.
    BFloat16,
}

impl Dtype {
    /// PyTorch's name.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Float16 => "float16",
            Self::BFloat16 => "bfloat16",
        }
    }

    /// Of one value.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Float32 => 4,
            Self::Float16 | Self::BFloat16 => 2,
        }
    }

    /// The distance from 1 to the next larger value.
    pub const fn epsilon(self) -> f64 {
        match self {
            Self::Float32 => f32::EPSILON as f64,
            Self::Float16 => 1.0 / 1024.0,
            Self::BFloat16 => 1.0 / 128.0,
        }
    }

    pub(crate) const fn kind(self) -> Kind {
        match self {
            Self::Float32 => Kind::Float,
            Self::Float16 => Kind::Half,
            Self::BFloat16 => Kind::BFloat16,
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// What the user asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DtypeChoice {
    /// float32 on a CPU, where 16-bit matrix products are slow; float16 on CUDA, as the references do.
    #[default]
    Auto,
    /// This one.
    Fixed(Dtype),
    /// What `auto` computes in, with AWQ's matrices kept in four bits.
    FourBits,
}

impl DtypeChoice {
    /// The dtype to compute in on `device`.
    pub const fn resolve(self, device: Device) -> Dtype {
        match (self, device) {
            (Self::Fixed(dtype), _) => dtype,
            (Self::Auto | Self::FourBits, Device::Cpu) => Dtype::Float32,
            (Self::Auto | Self::FourBits, Device::Cuda(_)) => Dtype::Float16,
        }
    }
}

impl FromStr for DtypeChoice {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        match text {
            "auto" => Ok(Self::Auto),
            "float32" => Ok(Self::Fixed(Dtype::Float32)),
            "float16" => Ok(Self::Fixed(Dtype::Float16)),
            "bfloat16" => Ok(Self::Fixed(Dtype::BFloat16)),
            "int4" => Ok(Self::FourBits),
            _ => Err(DeviceError(format!(
                "unknown dtype `{text}`; use `auto`, `float32`, `float16`, `bfloat16` or `int4`"
            ))),
        }
    }
}

/// Where tensors lie and what they are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// The device.
    pub device: Device,
    /// The working dtype.
    pub dtype: Dtype,
}

impl Placement {
    /// For libtorch's factory functions, in the working dtype.
    pub(crate) fn options(self) -> (Kind, tch::Device) {
        (self.dtype.kind(), self.device.tch())
    }
}

/// Threads that one libtorch operation uses; our own loops over weights use as many.
pub(crate) fn threads() -> usize {
    usize::try_from(tch::get_num_threads()).unwrap_or(1).max(1)
}

/// Runs `work` on every one of these threads at the same time. They are libtorch's own: between its operations those
/// wait in a loop for the next one, and others would have to share the processors with them.
pub(crate) fn on_all_threads(work: &(dyn Fn() + Sync)) {
    /// `GOMP_parallel` of GCC's OpenMP, which libtorch is linked with: function, argument, threads, flags.
    type Parallel = unsafe extern "C" fn(extern "C" fn(*mut c_void), *mut c_void, c_uint, c_uint);
    static PARALLEL: OnceLock<Option<Parallel>> = OnceLock::new();

    extern "C" fn run(work: *mut c_void) {
        // SAFETY: what `on_all_threads` gives below, borrowed until all threads are done.
        let work = unsafe { *work.cast::<&(dyn Fn() + Sync)>() };
        work();
    }

    let parallel = PARALLEL.get_or_init(|| {
        let program = libloading::os::unix::Library::this();
        // SAFETY: declared as in libgomp's `libgomp_g.h`.
        unsafe { program.get::<Parallel>(b"GOMP_parallel\0") }
            .ok()
            .map(|symbol| *symbol)
    });
    let others = threads() - 1;
    match parallel {
        _ if others == 0 => work(),
        // SAFETY: as declared; it returns when all threads have run `run`.
        Some(parallel) => unsafe {
            let mut work = work;
            parallel(run, std::ptr::from_mut(&mut work).cast(), threads() as c_uint, 0);
        },
        None => std::thread::scope(|scope| {
            for _ in 0..others {
                scope.spawn(work);
            }
            work();
        }),
    }
}

/// Who chose the number of threads of one libtorch operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThreadsBy {
    /// The caller.
    Caller,
    /// `OMP_NUM_THREADS` or `MKL_NUM_THREADS`.
    Environment,
    /// The processors that this process may use: libtorch counts those of its affinity mask, and a container's share
    /// of processor time may be less.
    Processors,
}

impl ThreadsBy {
    /// As `doctor` says it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Caller => "as asked for",
            Self::Environment => "from OMP_NUM_THREADS or MKL_NUM_THREADS",
            Self::Processors => "the processors this process may use",
        }
    }
}

/// Sets the threads of libtorch, the first time or when the caller names a number. Operations follow one another: a
/// pass is one chain, so the threads of one operation are all there are, and no second one may compete with it.
pub(crate) fn settle_threads(asked: Option<usize>) -> Result<ThreadsBy, DeviceError> {
    static SETTLED: Mutex<Option<ThreadsBy>> = Mutex::new(None);
    let mut settled = SETTLED.lock().unwrap_or_else(PoisonError::into_inner);
    if settled.is_none() && tch::get_num_interop_threads() != 1 {
        tch::set_num_interop_threads(1);
    }
    let by = match (asked, *settled) {
        (Some(threads), _) => match i32::try_from(threads) {
            Ok(threads) if threads > 0 => {
                tch::set_num_threads(threads);
                ThreadsBy::Caller
            }
            _ => {
                return Err(DeviceError(format!(
                    "cannot compute with {threads} threads; use 1 or more"
                )));
            }
        },
        (None, Some(by)) => by,
        (None, None) if ["OMP_NUM_THREADS", "MKL_NUM_THREADS"].map(std::env::var_os) != [None, None] => {
            ThreadsBy::Environment
        }
        (None, None) => {
            let allowed = std::thread::available_parallelism().map_or(usize::MAX, usize::from);
            if allowed < threads() {
                tch::set_num_threads(allowed as i32);
            }
            ThreadsBy::Processors
        }
    };
    Ok(*settled.insert(by))
}

/// The libtorch in use, for a run's manifest and for `doctor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Libtorch {
    /// Its version; `None` where it is too old to say.
    pub version: Option<String>,
    /// Threads that one operation uses.
    pub threads: usize,
    /// Who chose that number.
    pub threads_by: ThreadsBy,
    /// Operations that may run side by side.
    pub interop_threads: usize,
    /// Vector extensions of this CPU that libtorch has kernels for.
    pub cpu_features: Vec<&'static str>,
    /// Whether a CUDA device can be used.
    pub cuda: CudaStatus,
}

impl Libtorch {
    /// Asks libtorch. Tries to load its CUDA library, so call it before the first tensor is made.
    pub fn describe() -> Self {
        let cuda = CudaStatus::probe();
        // Without a number to refuse there is no error.
        let threads_by = settle_threads(None).unwrap_or(ThreadsBy::Processors);
        Self {
            version: version(),
            threads_by,
            threads: threads(),
            interop_threads: usize::try_from(tch::get_num_interop_threads()).unwrap_or(0),
            cpu_features: cpu_features(),
            cuda,
        }
    }
}

/// libtorch's stable C interface packs its version as one byte each of major, minor and patch, from the top.
fn version() -> Option<String> {
    let program = libloading::os::unix::Library::this();
    // SAFETY: where the symbol exists it is declared `uint64_t aoti_torch_abi_version()` (`shim.h`).
    let packed = unsafe {
        let symbol = program.get::<unsafe extern "C" fn() -> u64>(b"aoti_torch_abi_version\0");
        symbol.ok()?()
    };
    let [major, minor, patch, ..] = packed.to_be_bytes();
    Some(format!("{major}.{minor}.{patch}"))
}

#[cfg(target_arch = "x86_64")]
fn cpu_features() -> Vec<&'static str> {
    let detected = [
        ("avx2", std::arch::is_x86_feature_detected!("avx2")),
        ("fma", std::arch::is_x86_feature_detected!("fma")),
        ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
        ("avx512bf16", std::arch::is_x86_feature_detected!("avx512bf16")),
        ("avx512fp16", std::arch::is_x86_feature_detected!("avx512fp16")),
    ];
    detected
        .into_iter()
        .filter_map(|(name, present)| present.then_some(name))
        .collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn cpu_features() -> Vec<&'static str> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dtype_names_and_what_auto_means() {
        let cases = [
            ("auto", Device::Cpu, Dtype::Float32),
            ("auto", Device::Cuda(1), Dtype::Float16),
            ("float32", Device::Cuda(0), Dtype::Float32),
            ("float16", Device::Cpu, Dtype::Float16),
            ("bfloat16", Device::Cpu, Dtype::BFloat16),
            ("int4", Device::Cpu, Dtype::Float32),
            ("int4", Device::Cuda(0), Dtype::Float16),
        ];
        for (text, device, expected) in cases {
            let dtype = text.parse::<DtypeChoice>().unwrap().resolve(device);
            assert_eq!(dtype, expected, "{text} on {device}");
            assert!(["auto", "int4"].contains(&text) || text == dtype.to_string());
        }
        let unknown = "fp16".parse::<DtypeChoice>().unwrap_err();
        assert_eq!(
            unknown.to_string(),
            "unknown dtype `fp16`; use `auto`, `float32`, `float16`, `bfloat16` or `int4`"
        );
    }

    #[test]
    fn libtorch_describes_itself() {
        let libtorch = Libtorch::describe();
        let version = libtorch.version.unwrap();
        assert!(version.starts_with("2."), "{version}");
        assert!(libtorch.threads >= 1);
        assert_eq!(libtorch.interop_threads, 1);
    }

    #[test]
    fn work_runs_on_every_thread() {
        let started = std::sync::Barrier::new(threads());
        let runs = std::sync::atomic::AtomicUsize::new(0);
        on_all_threads(&|| {
            started.wait();
            runs.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        });
        assert_eq!(runs.into_inner(), threads());
    }

    #[test]
    fn zero_threads_are_refused() {
        assert_eq!(
            settle_threads(Some(0)).unwrap_err().to_string(),
            "cannot compute with 0 threads; use 1 or more"
        );
    }
}
