//! How the C library hands out memory while a model runs.
//!
//! libtorch allocates and frees the activations of every operation. glibc gives large ones back to the system each
//! time, and the next operation pays for fresh pages: 6 % of a run on a CPU (measured with passes of 2,048 positions
//! on a decoder 768 wide: 720,000 page faults in 12 questions, half of them gone this way).

/// The variable by which libtorch (c10 `CPUAllocator`) asks the system for large pages where it allocates 2 MB or more.
const LARGE_PAGES: &str = "THP_MEM_ALLOC_ENABLE";

/// Lets libtorch use large pages, unless the user has said what it shall do: loading 6.3 GB of weights as 12.5 GB of
/// float32 took 0.3 million page faults in place of 3.1, and 9.0 s in place of 13.4 (medians of six and three loads,
/// which varied from 5.7 to 21.8 s).
///
/// # Safety
///
/// Sets an environment variable: no other thread may run yet.
pub unsafe fn use_large_pages() {
    if std::env::var_os(LARGE_PAGES).is_none() {
        // SAFETY: the caller's promise.
        unsafe { std::env::set_var(LARGE_PAGES, "1") };
    }
}

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
    /// Of `malloc.h`: how many allocations may be mappings of their own, which go back when they are freed. A threshold
    /// of their size would not do: the most that glibc takes is 32 MiB.
    const M_MMAP_MAX: c_int = -4;
    /// Above all that a run frees at one time.
    const NEVER: c_int = 1 << 30;

    unsafe extern "C" {
        /// Gives 0 where a glibc does not take the value, and then leaves all as it was.
        fn mallopt(parameter: c_int, value: c_int) -> c_int;
    }

    pub fn keep_freed_memory() {
        // SAFETY: declared as in `malloc.h`; glibc locks what it changes, so other threads may allocate meanwhile.
        let _taken = unsafe { (mallopt(M_MMAP_MAX, 0), mallopt(M_TRIM_THRESHOLD, NEVER)) };
    }
}
