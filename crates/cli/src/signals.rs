//! The signals that come while a command of the user's runs.

#[cfg(unix)]
pub(crate) use unix::{Event, Forwarder, send};
#[cfg(windows)]
pub(crate) use windows::Forwarder;

#[cfg(unix)]
mod unix {
    //! Signals that others send to us are meant for the command: they are passed on, and we end
    //! when it does. Those of the terminal (Ctrl-C) reach it without us.

    use std::{
        io,
        os::fd::{AsFd, BorrowedFd},
        os::unix::net::UnixStream,
        process::{Child, ExitStatus},
    };

    use rustix::{
        event::{PollFd, PollFlags, Timespec, poll},
        process::{Pid, Signal, kill_process},
    };
    use signal_hook::{
        consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2},
        iterator::{backend::SignalDelivery, exfiltrator::origin::WithOrigin},
        low_level::siginfo::Cause,
    };

    use quarry_program::signals::is_ignored;

    /// A command that ends within this time ends before anything else is done.
    const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

    const PASSED_ON: [i32; 6] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2];

    pub(crate) struct Forwarder {
        signals: SignalDelivery<UnixStream, WithOrigin>,
        /// Those of the terminal don't reach the command without us.
        is_elsewhere: bool,
    }

    /// What came of signals.
    pub(crate) enum Event {
        /// The command has ended.
        Ended(ExitStatus),
        /// One of [`Forwarder::also`].
        Came(i32),
    }

    impl Forwarder {
        /// What can be done before the lock is there, so that it is not held for that. Signals
        /// still do what they do to a process that waits.
        pub(crate) fn prepare() -> io::Result<Self> {
            let (read, write) = UnixStream::pair()?;
            // This one tells that the command has ended, even if we were started with it ignored.
            let signals = [SIGCHLD];
            let signals = SignalDelivery::with_pipe(read, write, WithOrigin::default(), signals)?;
            Ok(Self { signals, is_elsewhere: false })
        }

        /// For a command in another session, which the terminal sends nothing.
        pub(crate) fn elsewhere(self) -> Self {
            Self { is_elsewhere: true, ..self }
        }

        /// Further signals, which aren't passed on.
        pub(crate) fn also(&self, signals: impl IntoIterator<Item = i32>) -> io::Result<()> {
            let handle = self.signals.handle();
            signals.into_iter().try_for_each(|signal| handle.add_signal(signal))
        }

        /// What can be read when a signal has come.
        pub(crate) fn arrivals(&self) -> BorrowedFd<'_> {
            self.signals.get_read().as_fd()
        }

        /// From here on signals are kept for the command, which is started next.
        pub(crate) fn begin(&self) -> io::Result<()> {
            let handle = self.signals.handle();
            PASSED_ON
                .into_iter()
                .filter(|&signal| !is_ignored(signal))
                .try_for_each(|signal| handle.add_signal(signal))
        }

        /// Waits for the command to end. Until it is reaped here its process id is its own, so
        /// no signal goes to somebody else.
        pub(crate) fn wait(
            mut self,
            child: &mut Child,
            meanwhile: impl FnOnce(),
        ) -> io::Result<ExitStatus> {
            let mut meanwhile = Some(meanwhile);
            loop {
                if let Some(Event::Ended(status)) = self.pass_on(child)?.pop() {
                    return Ok(status);
                }
                let patience = meanwhile.is_some().then_some(&AT_ONCE);
                let mut arrival = [PollFd::new(self.signals.get_read(), PollFlags::IN)];
                match poll(&mut arrival, patience) {
                    Ok(0) => {
                        if let Some(meanwhile) = meanwhile.take() {
                            meanwhile();
                        }
                    }
                    Ok(_) | Err(rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }

        /// Passes on the signals that have come. The end of the command, if it has ended, is the
        /// last of what is returned.
        pub(crate) fn pass_on(&mut self, child: &mut Child) -> io::Result<Vec<Event>> {
            let mut events = Vec::new();
            for origin in self.signals.pending() {
                let by_terminal = origin.cause == Cause::Kernel && !self.is_elsewhere;
                match origin.signal {
                    SIGCHLD => {
                        if let Some(status) = child.try_wait()? {
                            events.push(Event::Ended(status));
                            break;
                        }
                    }
                    signal if !PASSED_ON.contains(&signal) => events.push(Event::Came(signal)),
                    signal if !by_terminal => send(child, signal),
                    _ => {}
                }
            }
            Ok(events)
        }
    }

    /// Sends the command a signal. It may have just ended, and then nobody gets it.
    pub(crate) fn send(child: &Child, signal: i32) {
        if let Some(signal) = Signal::from_named_raw(signal) {
            let _ = kill_process(Pid::from_child(child), signal);
        }
    }
}

#[cfg(windows)]
mod windows {
    //! Ctrl-C and its kin reach every process of the console. The command decides what to do, and
    //! we end when it does.

    use std::{
        io,
        process::{Child, ExitStatus},
    };

    pub(crate) struct Forwarder;

    impl Forwarder {
        pub(crate) fn prepare() -> io::Result<Self> {
            Ok(Self)
        }

        pub(crate) fn begin(&self) -> io::Result<()> {
            ctrlc::set_handler(|| {}).map_err(io::Error::other)
        }

        pub(crate) fn wait(
            self,
            child: &mut Child,
            meanwhile: impl FnOnce(),
        ) -> io::Result<ExitStatus> {
            meanwhile();
            child.wait()
        }
    }
}
