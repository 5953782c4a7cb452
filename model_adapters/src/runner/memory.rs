//! How the C library hands out memory while a model runs.
//!
//! libtorch allocates and frees the activations of every operation. glibc gives large ones back to the system each
//! time, and the next operation pays for fresh pages: 6 % of a run on a CPU (measured with passes of 2,048 positions
//! on a decoder 768 wide: 720,000 page faults in 12 questions, half of them gone this way).

/// Lets freed memory be used again in place of giving it back, from now on. To be called once the weights are loaded:
/// what loading frees goes back before.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    glibc::keep_freed_memory();
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod glibc {
    use std::ffi::c_int;

    /// Of `malloc.h`: how much free memory at the end of the heap goes back to the system.
    const M_TRIM_THRESHOLD: c_int = -1;
    /// Of `malloc.h`: from which size on an allocation is a mapping of its own, which goes back when it is freed.
    const M_MMAP_THRESHOLD: c_int = -3;
    /// No activation is so large.
    const LARGE: c_int = 1 << 30;

    unsafe extern "C" {
        /// Gives 0 where a glibc does not take the value, and then leaves all as it was.
        fn mallopt(parameter: c_int, value: c_int) -> c_int;
    }

    pub fn keep_freed_memory() {
        // SAFETY: declared as in `malloc.h`; glibc locks what it changes, so other threads may allocate meanwhile.
        let _taken = unsafe { (mallopt(M_MMAP_THRESHOLD, LARGE), mallopt(M_TRIM_THRESHOLD, LARGE)) };
    }
}
