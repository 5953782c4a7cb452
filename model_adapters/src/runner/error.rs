//! The runner's failures, kept apart by whose they are: the user's (device, checkpoint), a question's, libtorch's.

use std::path::PathBuf;

use tch::TchError;

use crate::checkpoint::CheckpointError;
use crate::request::AdapterError;

/// A call into libtorch that failed: its message, without the C++ stack that may follow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TorchError(pub String);

impl TorchError {
    /// Whether memory ran out: less work at once may succeed.
    pub fn is_out_of_memory(&self) -> bool {
        ["out of memory", "can't allocate memory"]
            .iter()
            .any(|words| self.0.contains(words))
    }
}

impl From<TchError> for TorchError {
    fn from(error: TchError) -> Self {
        let message = match error {
            TchError::Torch(message) => message,
            other => other.to_string(),
        };
        Self(message.lines().next().unwrap_or_default().to_owned())
    }
}

/// A device or a setting that this machine cannot give.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DeviceError(pub String);

/// Why a model cannot be put together from its tensors.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A tensor that cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A tensor whose shape contradicts the configuration.
    #[error("tensor `{tensor}` has shape {found:?}, but the configuration asks for {expected:?}")]
    Shape {
        /// Its name.
        tensor: String,
        /// What the configuration asks for.
        expected: Vec<i64>,
        /// What the file holds.
        found: Vec<i64>,
    },
    /// A tensor with NaN or infinite values on disk.
    #[error(
        "tensor `{tensor}` in `{}` holds values that are not finite; the file is damaged or its training failed: fetch it \
         again",
        file.display()
    )]
    Damaged {
        /// Its name.
        tensor: String,
        /// The file that it lies in.
        file: PathBuf,
    },
    /// A tensor with infinite values once converted.
    #[error(
        "tensor `{tensor}` in `{}` holds values that are not finite in {dtype}; try `--dtype float32`",
        file.display()
    )]
    NotFinite {
        /// Its name.
        tensor: String,
        /// The file that it lies in.
        file: PathBuf,
        /// The dtype it was converted to.
        dtype: &'static str,
    },
    /// Parts that do not fit each other.
    #[error("{0}")]
    Mismatch(String),
    /// libtorch's.
    #[error(transparent)]
    Torch(#[from] TorchError),
}

impl From<TchError> for LoadError {
    fn from(error: TchError) -> Self {
        Self::Torch(error.into())
    }
}

impl From<LoadError> for AdapterError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Torch(error) => Self::Torch(error.0),
            other => Self::User(other.to_string()),
        }
    }
}

/// Why one question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The question's own fault, in one line; the next one can be answered.
    #[error("{0}")]
    Sample(String),
    /// libtorch's; nothing can be answered any more.
    #[error(transparent)]
    Torch(#[from] TorchError),
}

impl From<TorchError> for AdapterError {
    fn from(error: TorchError) -> Self {
        if error.is_out_of_memory() {
            Self::User(format!(
                "out of memory with one question at a time ({error}); use a smaller checkpoint or another --dtype"
            ))
        } else {
            Self::Torch(error.0)
        }
    }
}

impl From<TchError> for AnswerError {
    fn from(error: TchError) -> Self {
        Self::Torch(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torch_error_is_one_line() {
        let error = TorchError::from(TchError::Torch("sizes differ\nException raised from …\n".to_owned()));
        assert_eq!(error.to_string(), "sizes differ");
    }

    #[test]
    fn failed_allocations_are_recognised() {
        let kind = (tch::Kind::Float, tch::Device::Cpu);
        let error = TorchError::from(tch::Tensor::f_empty([1 << 60], kind).unwrap_err());
        assert!(error.is_out_of_memory(), "{error}");
        let cuda = TorchError("CUDA out of memory. Tried to allocate 20.00 MiB.".to_owned());
        assert!(cuda.is_out_of_memory());
        assert!(!TorchError("sizes differ".to_owned()).is_out_of_memory());
    }

    #[test]
    fn only_libtorch_failures_are_reported_as_such() {
        let user = AdapterError::from(LoadError::Mismatch("widths differ".to_owned()));
        assert!(matches!(user, AdapterError::User(message) if message == "widths differ"));
        let ours = AdapterError::from(LoadError::from(TchError::Torch("no".to_owned())));
        assert!(matches!(ours, AdapterError::Torch(message) if message == "no"));
    }
}
