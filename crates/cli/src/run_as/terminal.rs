//! A terminal of the command's own, as `su --pty` gives one: a pseudo-terminal whose other side is
//! copied to and from ours. The command is then in no session of the caller's, and can neither read
//! the caller's terminal nor type into it.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::process::{Child, ExitStatus};

use quarry_logon::{Command, Session};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pty::OpenptFlags;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGSTOP, SIGTSTP, SIGWINCH};

use crate::signals::{Event, Forwarder, send};

/// Bytes that are copied at once.
const PIECE: usize = 8192;

/// Our terminal, and the side of the command's that is ours.
pub(super) struct Terminal {
    ours: File,
    /// As it was.
    was: Termios,
    master: File,
}

/// Puts the command into a session of its own. Where a standard file is a terminal, that has one,
/// and the standard files that are terminals become it; the others are the command's as they are.
pub(super) fn prepare(mut command: Command) -> io::Result<(Command, Option<Terminal>)> {
    let are_terminals =
        [io::stdin().is_terminal(), io::stdout().is_terminal(), io::stderr().is_terminal()];
    if !are_terminals.contains(&true) {
        return Ok((command.session(Session::New), None));
    }
    // Without one that can be read and written, such as after its hang-up, there is none to copy to.
    let Ok(ours) = File::options().read(true).write(true).open("/dev/tty") else {
        return Ok((command.session(Session::New), None));
    };
    let was = tcgetattr(&ours)?;
    let (master, slave) = pair(&was, &ours)?;
    let [stdin, stdout, stderr] = are_terminals;
    if stdin {
        command = command.stdin(slave.try_clone()?);
    }
    if stdout {
        command = command.stdout(slave.try_clone()?);
    }
    if stderr {
        command = command.stderr(slave.try_clone()?);
    }
    let command = command.session(Session::OnTerminal(slave));
    Ok((command, Some(Terminal { ours, was, master })))
}

/// A new pseudo-terminal with the settings and the size of ours.
fn pair(settings: &Termios, ours: &File) -> io::Result<(File, File)> {
    let master =
        rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    rustix::pty::grantpt(&master)?;
    rustix::pty::unlockpt(&master)?;
    let name = rustix::pty::ptsname(&master, Vec::new())?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let slave = rustix::fs::open(name, flags, Mode::empty())?;
    tcsetattr(&slave, OptionalActions::Now, settings)?;
    tcsetwinsize(&slave, tcgetwinsize(ours)?)?;
    // A command that doesn't read must not keep what it writes from being shown.
    let flags = rustix::fs::fcntl_getfl(&master)?;
    rustix::fs::fcntl_setfl(&master, flags | OFlags::NONBLOCK)?;
    Ok((File::from(master), File::from(slave)))
}

impl Terminal {
    /// Copies both ways until the command has ended, whose status it returns. Our terminal is then
    /// as it was, whatever happens.
    pub(super) fn relay(
        mut self,
        mut signals: Forwarder,
        child: &mut Child,
    ) -> io::Result<ExitStatus> {
        signals.also([SIGWINCH, SIGTSTP, SIGCONT])?;
        self.take_over()?;
        let mut typed = Vec::new();
        let (mut is_open, mut is_heard) = (true, true);
        loop {
            for event in signals.pass_on(child)? {
                match event {
                    Event::Ended(status) => {
                        // What the command wrote last.
                        while is_open && self.show()? {}
                        return Ok(status);
                    }
                    Event::Came(SIGTSTP) => {
                        self.give_back();
                        signal_hook::low_level::raise(SIGSTOP)?;
                    }
                    Event::Came(SIGCONT) => self.take_over()?,
                    // The size is copied below.
                    Event::Came(_) => {}
                }
                // A size that can't be had any more is none to copy.
                _ = tcgetwinsize(&self.ours).and_then(|size| tcsetwinsize(&self.master, size));
            }
            let wants = match typed.is_empty() {
                true => PollFlags::IN,
                false => PollFlags::IN | PollFlags::OUT,
            };
            let mut arrivals = vec![PollFd::from_borrowed_fd(signals.arrivals(), PollFlags::IN)];
            if is_open {
                arrivals.push(PollFd::new(&self.master, wants));
            }
            let listens = is_heard && is_open && typed.is_empty();
            if listens {
                arrivals.push(PollFd::new(&self.ours, PollFlags::IN));
            }
            match poll(&mut arrivals, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let ready: Vec<PollFlags> = arrivals.iter().map(PollFd::revents).collect();
            drop(arrivals);
            if is_open && !ready[1].is_empty() {
                if ready[1].contains(PollFlags::OUT) {
                    pass(&mut self.master, &mut typed)?;
                }
                if ready[1].intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                    is_open = self.show()? || !ready[1].contains(PollFlags::HUP);
                }
            }
            if listens && !ready.last().is_none_or(|flags| flags.is_empty()) {
                is_heard = self.hear(&mut typed)?;
                if !is_heard {
                    // Our terminal is gone, and so is the command's.
                    send(child, SIGHUP);
                } else {
                    pass(&mut self.master, &mut typed)?;
                }
            }
        }
    }

    /// Every key is the command's from now on. What our terminal does with output stays: others may
    /// write to it too.
    fn take_over(&self) -> io::Result<()> {
        let mut raw = self.was.clone();
        let output = raw.output_modes;
        raw.make_raw();
        raw.output_modes = output;
        tcsetattr(&self.ours, OptionalActions::Drain, &raw).map_err(Into::into)
    }

    fn give_back(&self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(&self.ours, OptionalActions::Drain, &self.was);
    }

    /// Shows what the command has written, if it has.
    fn show(&mut self) -> io::Result<bool> {
        let mut piece = [0; PIECE];
        match self.master.read(&mut piece) {
            Ok(0) => Ok(false),
            Ok(length) => self.ours.write_all(&piece[..length]).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            // All programs have closed it, or there is nothing now.
            Err(error) if is_over(&error) || error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads what is typed; false when our terminal is gone.
    fn hear(&mut self, typed: &mut Vec<u8>) -> io::Result<bool> {
        let mut piece = [0; PIECE];
        match self.ours.read(&mut piece) {
            Ok(0) => Ok(false),
            Ok(length) => {
                typed.extend_from_slice(&piece[..length]);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            Err(error) if is_over(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Hands the command as much of what was typed as it takes now.
fn pass(master: &mut File, typed: &mut Vec<u8>) -> io::Result<()> {
    match master.write(typed) {
        Ok(length) => _ = typed.drain(..length),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
        // Nobody reads it any more.
        Err(error) if is_over(&error) => typed.clear(),
        Err(error) => return Err(error),
    }
    Ok(())
}

/// What a terminal says when its other side is closed.
fn is_over(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::IO)
}
