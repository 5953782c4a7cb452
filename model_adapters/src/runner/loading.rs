//! How a model is brought into memory: where, in which dtypes, and whether its matrices are converted at once or each
//! time they are used.

use std::fmt;

use crate::checkpoint::{self, Checkpoint};
use crate::runner::device::Device;
use crate::runner::torch::{Dtype, DtypeChoice, Placement};

/// Memory that a run takes beside its weights: KV cache, activations, libtorch itself.
const BESIDE_THE_WEIGHTS: u64 = 3_000_000_000;

/// How weight matrices are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// In the working dtype, converted once; on a CPU one that the file holds in that dtype stays there.
    Converted,
    /// As they lie on disk, in the mapped file, and widened one at a time when used.
    AsStored,
    /// Those of AWQ in four bits, de-quantised one at a time when used; the others converted once.
    FourBits,
}

impl Keep {
    /// For the record.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Converted => "converted",
            Self::AsStored => "as-stored",
            Self::FourBits => "four-bits",
        }
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// How a model is brought into memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loading {
    /// Where it lies, and what projector and decoder compute in.
    pub placement: Placement,
    /// What the vision tower computes in: pixels are rounded to the placement's dtype before it, features after it
    /// (`architecture.md` section 1).
    pub tower_dtype: Dtype,
    /// How matrices are kept.
    pub keep: Keep,
}

impl Loading {
    /// Everything converted at once to one dtype.
    pub const fn plain(placement: Placement) -> Self {
        Self {
            placement,
            tower_dtype: placement.dtype,
            keep: Keep::Converted,
        }
    }

    /// What `choice` means for `checkpoint` on `device`. On a CPU, `auto` converts where float32 fits into `free`
    /// bytes and keeps the weights as stored where it does not; the numbers are the same either way.
    pub fn choose(choice: DtypeChoice, device: Device, checkpoint: &Checkpoint, free: Option<u64>) -> Self {
        let needed = checkpoint.inspect().weight_memory(checkpoint::Dtype::F32) + BESIDE_THE_WEIGHTS;
        let keep = match (choice, device) {
            (DtypeChoice::FourBits, _) => Keep::FourBits,
            (DtypeChoice::Auto, Device::Cpu) if free.is_some_and(|free| free < needed) => Keep::AsStored,
            _ => Keep::Converted,
        };
        Self {
            keep,
            ..Self::plain(Placement {
                device,
                dtype: choice.resolve(device),
            })
        }
    }
}

/// Bytes that this process may still use: what the system can give without swapping, and what its control group
/// leaves where that is less. Pages of mapped files can be dropped at any time and count as free.
pub fn free_memory() -> Option<u64> {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let available = system.available_memory();
    let group = system
        .cgroup_limits()
        .map(|limits| limits.total_memory.saturating_sub(limits.rss));
    let free = group.map_or(available, |group| group.min(available));
    (free > 0).then_some(free)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn fixture() -> Checkpoint {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/checkpoints/tiny-vila15");
        Checkpoint::open(&folder).unwrap()
    }

    #[test]
    fn auto_keeps_what_does_not_fit() {
        let checkpoint = fixture();
        let choose = |choice, device, free| {
            let loading = Loading::choose(choice, device, &checkpoint, free);
            (loading.placement.dtype, loading.keep)
        };
        let fits = BESIDE_THE_WEIGHTS + checkpoint.inspect().weight_memory(checkpoint::Dtype::F32);
        let fixed = DtypeChoice::Fixed(Dtype::Float32);
        let cases = [
            (
                DtypeChoice::Auto,
                Device::Cpu,
                Some(fits),
                (Dtype::Float32, Keep::Converted),
            ),
            (
                DtypeChoice::Auto,
                Device::Cpu,
                Some(fits - 1),
                (Dtype::Float32, Keep::AsStored),
            ),
            (DtypeChoice::Auto, Device::Cpu, None, (Dtype::Float32, Keep::Converted)),
            (
                DtypeChoice::Auto,
                Device::Cuda(0),
                Some(0),
                (Dtype::Float16, Keep::Converted),
            ),
            (fixed, Device::Cpu, Some(0), (Dtype::Float32, Keep::Converted)),
            (
                DtypeChoice::FourBits,
                Device::Cpu,
                Some(0),
                (Dtype::Float32, Keep::FourBits),
            ),
        ];
        for (choice, device, free, wanted) in cases {
            assert_eq!(
                choose(choice, device, free),
                wanted,
                "{choice:?} on {device}, {free:?} free"
            );
        }
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(free_memory().unwrap() > 100_000_000);
    }
}
