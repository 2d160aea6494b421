//! The seam to the time of day: everything that asks for it asks here.

use crate::value::Timestamp;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

/// What tells the time. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Clock(Option<Arc<dyn Fn() -> Timestamp + Send + Sync>>);

// The user's closure answers for itself.
impl UnwindSafe for Clock {}
impl RefUnwindSafe for Clock {}

impl Clock {
    /// The system's.
    pub(crate) const SYSTEM: Clock = Clock(None);

    pub(crate) fn of(clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Clock {
        Clock(Some(Arc::new(clock)))
    }

    pub(crate) fn now(&self) -> Timestamp {
        match &self.0 {
            Some(clock) => clock(),
            None => system_time(),
        }
    }
}

#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
fn system_time() -> Timestamp {
    // A system whose clock is beyond what a timestamp can say tells no time.
    Timestamp::from_system_time(std::time::SystemTime::now()).unwrap_or(Timestamp::from_micros(0))
}

/// Where there is no clock, time stands still unless one is given.
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
fn system_time() -> Timestamp {
    Timestamp::from_micros(0)
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Clock(given)" } else { "Clock(system)" })
    }
}
