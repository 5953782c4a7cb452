//! Ctrl-C: the first asks the run to end, the second ends it at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::fault::Fault;

/// The shell's status of a program that SIGINT ended.
const KILLED_BY_INTERRUPT: i32 = 130;

/// Whether the user has asked to stop.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens for SIGINT and SIGTERM from the first call on; further calls give the same one.
    pub fn listen() -> Result<Self, Fault> {
        static LISTENING: Mutex<Option<Interrupt>> = Mutex::new(None);
        let mut listening = LISTENING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(interrupt) = &*listening {
            return Ok(interrupt.clone());
        }
        let interrupt = Self::default();
        let seen = Arc::clone(&interrupt.0);
        ctrlc::set_handler(move || {
            if seen.swap(true, Ordering::SeqCst) {
                std::process::exit(KILLED_BY_INTERRUPT);
            }
            eprintln!("stopping; press Ctrl-C again to stop at once");
        })
        .map_err(|error| Fault::Bug(format!("cannot listen for Ctrl-C: {error}")))?;
        Ok(listening.insert(interrupt).clone())
    }

    /// Set once a stop has been asked for.
    #[cfg(feature = "libtorch")]
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }

    /// Whether a stop has been asked for.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
