//! The device to compute on, and libtorch's CUDA library, loaded at run time so that one binary serves machines
//! with and without a GPU.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

use crate::runner::error::DeviceError;

/// Registers the CUDA backend with libtorch when it is loaded.
const CUDA_LIBRARY: &str = "libtorch_cuda.so";
/// Always loaded; the CUDA library lies beside it.
const CPU_LIBRARY: &str = "libtorch_cpu.so";

/// Where the model runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    Cpu,
    /// The GPU of that index.
    Cuda(usize),
}

impl Device {
    /// Makes the device usable, which for CUDA means loading its library; to be called before the first tensor.
    pub(crate) fn prepare(self) -> Result<(), DeviceError> {
        let Self::Cuda(index) = self else {
            return Ok(());
        };
        match CudaStatus::probe() {
            CudaStatus::Devices(count) if index < count => Ok(()),
            CudaStatus::Devices(count) => Err(DeviceError(format!(
                "there is no device `{self}`: CUDA devices on this machine: {count}"
            ))),
            CudaStatus::NoDriver => Err(DeviceError(format!(
                "cannot use `{self}`: no NVIDIA driver or no GPU; check `nvidia-smi`, or use `--device cpu`"
            ))),
            CudaStatus::NoLibrary(reason) => Err(DeviceError(format!(
                "cannot use `{self}`: {reason}; install the CUDA libraries of torch, or use `--device cpu`"
            ))),
        }
    }

    pub(crate) const fn tch(self) -> tch::Device {
        match self {
            Self::Cpu => tch::Device::Cpu,
            Self::Cuda(index) => tch::Device::Cuda(index),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl FromStr for Device {
    type Err = DeviceError;

    /// Reads `cpu`, `cuda` (the first GPU) or `cuda:N`.
    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let index = match text.split_once(':') {
            None if text == "cpu" => return Ok(Self::Cpu),
            None if text == "cuda" => Some(0),
            Some(("cuda", index)) if index.bytes().all(|byte| byte.is_ascii_digit()) => index.parse::<u8>().ok(),
            _ => None,
        };
        index
            .map(|index| Self::Cuda(usize::from(index)))
            .ok_or_else(|| DeviceError(format!("unknown device `{text}`; use `cpu`, `cuda` or `cuda:N`")))
    }
}

/// What can be had of CUDA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CudaStatus {
    /// So many usable devices, at least one.
    Devices(usize),
    /// libtorch's CUDA library is loaded but finds no driver or no device.
    NoDriver,
    /// libtorch's CUDA library cannot be loaded: why.
    NoLibrary(String),
}

impl CudaStatus {
    /// Loads libtorch's CUDA library, once, and counts devices. libtorch looks for the backend when the first
    /// tensor is made and never again, so ask before.
    pub fn probe() -> Self {
        static LOADED: OnceLock<Result<(), String>> = OnceLock::new();
        match LOADED.get_or_init(load_cuda_library) {
            Err(reason) => Self::NoLibrary(reason.clone()),
            Ok(()) => match usize::try_from(tch::Cuda::device_count()) {
                Ok(count) if count > 0 => Self::Devices(count),
                _ => Self::NoDriver,
            },
        }
    }
}

impl fmt::Display for CudaStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Devices(count) => write!(f, "{count} device(s)"),
            Self::NoDriver => f.write_str("no NVIDIA driver or no GPU"),
            Self::NoLibrary(reason) => f.write_str(reason),
        }
    }
}

/// Loads the CUDA library from the folder of the libtorch in use, else from wherever the loader looks.
fn load_cuda_library() -> Result<(), String> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let path = libtorch_folder(&maps)
        .map(|folder| folder.join(CUDA_LIBRARY))
        .filter(|path| path.exists())
        .unwrap_or_else(|| PathBuf::from(CUDA_LIBRARY));
    // SAFETY: libtorch's own library; its initialisers only register kernels.
    let library = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_GLOBAL) };
    match library {
        Ok(library) => {
            // The registered kernels must outlive every tensor.
            std::mem::forget(library);
            Ok(())
        }
        Err(error) => Err(loader_message(&path, &error)),
    }
}

/// The loader's own words name the file that is missing, which may be a dependency.
fn loader_message(path: &Path, error: &libloading::Error) -> String {
    let words = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    format!("cannot load `{}`: {words}", path.display())
}

/// The folder of the loaded `libtorch_cpu.so`, from the lines of `/proc/self/maps`.
fn libtorch_folder(maps: &str) -> Option<PathBuf> {
    let path = maps
        .lines()
        .filter_map(|line| line.find('/').and_then(|start| line.get(start..)))
        .map(Path::new)
        .find(|path| path.file_name().is_some_and(|name| name == CPU_LIBRARY))?;
    path.parent().map(Path::to_path_buf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names() {
        let good = [
            ("cpu", Device::Cpu),
            ("cuda", Device::Cuda(0)),
            ("cuda:0", Device::Cuda(0)),
            ("cuda:7", Device::Cuda(7)),
        ];
        for (text, device) in good {
            assert_eq!(text.parse(), Ok(device));
        }
        assert_eq!(Device::Cuda(7).to_string(), "cuda:7");
        for text in [
            "", "gpu", "cpu:0", "cuda:", "cuda:-1", "cuda:+1", "cuda:x", "cuda:1:2", "CPU", "cuda:999",
        ] {
            assert_eq!(
                text.parse::<Device>().unwrap_err().to_string(),
                format!("unknown device `{text}`; use `cpu`, `cuda` or `cuda:N`")
            );
        }
    }

    #[test]
    fn the_loaded_libtorch_is_found_among_the_maps() {
        let maps = "7f00-7f01 r--p 00000000 00:00 0\n\
                    7f01-7f02 r-xp 00000000 08:01 42   /opt/a b/lib/libtorch_cpu.so\n\
                    7f03-7f04 r-xp 00000000 08:01 43   /usr/lib/libc.so.6\n";
        assert_eq!(libtorch_folder(maps), Some(PathBuf::from("/opt/a b/lib")));
        assert_eq!(libtorch_folder("7f03-7f04 r-xp 0 08:01 43 /usr/lib/libc.so.6\n"), None);
        let own = libtorch_folder(&std::fs::read_to_string("/proc/self/maps").unwrap()).unwrap();
        assert!(own.join(CPU_LIBRARY).exists());
    }

    #[test]
    fn a_missing_library_and_a_missing_device_are_named() {
        let path = Path::new("/nowhere/libtorch_cuda.so");
        // SAFETY: the file does not exist.
        let error = unsafe { Library::open(Some(path), RTLD_NOW) }.err().unwrap();
        let message = loader_message(path, &error);
        assert!(
            message.starts_with("cannot load `/nowhere/libtorch_cuda.so`: "),
            "{message}"
        );
        assert!(message.contains("No such file"), "{message}");
        assert!(!message.contains('\n'));

        let absent = Device::Cuda(250).prepare().unwrap_err().to_string();
        assert!(absent.contains("`cuda:250`"), "{absent}");
        assert_eq!(Device::Cpu.prepare(), Ok(()));
    }
}
