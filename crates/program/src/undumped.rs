//! Keeping secrets out of core dumps, and the process out of reach of debuggers, while it holds one.

/// As long as this lives the process leaves no core dump. On Linux no process of the same user can
/// attach to it or read its memory meanwhile, as the kernel takes it for one that changed its user
/// (`PR_SET_DUMPABLE`, prctl(2)).
#[must_use]
pub struct Undumped {
    #[cfg(unix)]
    core: rustix::process::Rlimit,
    #[cfg(target_os = "linux")]
    dumpable: Option<rustix::process::DumpableBehavior>,
}

impl Undumped {
    /// From now on.
    #[cfg(unix)]
    pub fn begin() -> Self {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

        let core = getrlimit(Resource::Core);
        // Where lowering a limit is refused, whoever refuses it has decided about dumps too.
        _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: core.maximum });
        #[cfg(target_os = "linux")]
        let dumpable = {
            use rustix::process::{
                DumpableBehavior, dumpable_behavior, set_dumpable_behavior as set,
            };
            let before = dumpable_behavior().ok();
            _ = set(DumpableBehavior::NotDumpable);
            before
        };
        Undumped {
            core,
            #[cfg(target_os = "linux")]
            dumpable,
        }
    }

    /// From now on.
    #[cfg(not(unix))]
    pub fn begin() -> Self {
        Undumped {}
    }

    /// Keeps it so to the end of the process, for secrets that are used as long as it runs.
    pub fn for_good(self) {
        std::mem::forget(self);
    }
}

#[cfg(unix)]
impl Drop for Undumped {
    fn drop(&mut self) {
        _ = rustix::process::setrlimit(rustix::process::Resource::Core, self.core);
        #[cfg(target_os = "linux")]
        if let Some(before @ rustix::process::DumpableBehavior::Dumpable) = self.dumpable {
            _ = rustix::process::set_dumpable_behavior(before);
        }
    }
}
