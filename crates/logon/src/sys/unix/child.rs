//! Programs as the user: everything is dropped for good between fork and exec.

use std::{
    ffi::{CString, OsStr},
    fs::{File, Permissions},
    io,
    os::{
        fd::{AsRawFd, RawFd},
        unix::{
            ffi::OsStrExt,
            fs::{PermissionsExt, fchown},
            process::CommandExt,
        },
    },
    path::Path,
    process,
};

use super::thread;
use crate::{Command, Environment, Error, Folder, Session, child::Who};

/// The search path of somebody about whose environment nothing is known.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
const ROOTS_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What belongs to the session of whoever starts the program.
const OF_THE_CALLERS_SESSION: [&str; 12] = [
    "DBUS_SESSION_BUS_ADDRESS",
    "KRB5CCNAME",
    "MAIL",
    "SSH_AUTH_SOCK",
    "SUDO_COMMAND",
    "XAUTHORITY",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
    "XDG_SESSION_ID",
    "XDG_STATE_HOME",
];

/// Where the program begins, in the form that system calls take.
enum Start {
    Here,
    At(CString),
    /// The home folder, or the root folder.
    Home(CString),
}

/// Starts the program. The calling thread is whoever the process is.
pub(crate) fn spawn(command: Command) -> Result<process::Child, Error> {
    let Who::Token(token) = &command.who;
    let token = token.clone();
    let ids = token.inner().ids.clone();
    let has_keyring = token.inner().is_keyring_here();
    let same = thread::effective_ids()? == ids;
    if !same {
        thread::check_privileges()?;
    }
    let shown = command.program.to_string_lossy().into_owned();
    let failed = move |source| Error::Run { program: shown.clone(), source };
    let start = match &command.folder {
        Folder::Callers => Start::Here,
        Folder::At(path) => Start::At(c_text(path.as_os_str()).map_err(&failed)?),
        Folder::Home => {
            let home = token.identity().home().map_or(OsStr::new("/"), |home| home.as_os_str());
            Start::Home(c_text(home).map_err(&failed)?)
        }
    };
    let mut child = process::Command::new(&command.program);
    set_environment(&mut child, &command);
    child.args(&command.arguments);
    if let Some(name) = &command.name {
        child.arg0(name);
    }
    let [stdin, stdout, stderr] = command.files;
    stdin.map(|file| child.stdin(file));
    stdout.map(|file| child.stdout(file));
    stderr.map(|file| child.stderr(file));
    let terminal = match &command.session {
        Session::OnTerminal(terminal) => {
            if !same {
                give(terminal, &ids).map_err(&failed)?;
            }
            Some(terminal.as_raw_fd())
        }
        Session::Callers | Session::New => None,
    };
    let new_session = !matches!(command.session, Session::Callers);
    let prepare = move || {
        if new_session {
            begin_session(terminal)?;
        }
        // Somebody who can't become others, and need not, has nothing to drop.
        if !same {
            thread::become_for_good(&ids)?;
            if !has_keyring {
                thread::leave_keyring()?;
            }
        }
        enter(&start)?;
        thread::close_all_but_standard()
    };
    // SAFETY: between fork and exec only system calls are made, on memory that was allocated
    // before. (A user in more than 64 groups is the exception: comparing them allocates, which
    // the C libraries that the standard library supports allow after a fork.)
    unsafe { child.pre_exec(prepare) };
    child.spawn().map_err(|error| failed(not_found(error, &child)))
}

/// Gives a terminal to a user, as a login does: its programs open it by its name.
fn give(terminal: &File, ids: &super::Ids) -> io::Result<()> {
    fchown(terminal, Some(ids.uid), Some(ids.gid))?;
    terminal.set_permissions(Permissions::from_mode(0o600))
}

/// Makes the process the leader of a session, of the terminal if there is one. It is called between
/// fork and exec.
fn begin_session(terminal: Option<RawFd>) -> io::Result<()> {
    // SAFETY: takes nothing. It can't fail in a process that was just forked.
    if unsafe { libc::setsid() } < 0 {
        return Err(io::Error::last_os_error());
    }
    let Some(terminal) = terminal else { return Ok(()) };
    // SAFETY: the descriptor is open until exec, and the request takes a number.
    match unsafe { libc::ioctl(terminal, libc::TIOCSCTTY as _, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The C library says that permission is denied where a folder of the search path can't be looked
/// into, though the program is in none of them.
fn not_found(error: io::Error, child: &process::Command) -> io::Error {
    let program = child.get_program();
    if error.kind() != io::ErrorKind::PermissionDenied || program.as_bytes().contains(&b'/') {
        return error;
    }
    let set = child.get_envs().find(|(name, _)| *name == "PATH").map(|(_, value)| value);
    let path = match set {
        Some(value) => value.map(OsStr::to_owned),
        None => std::env::var_os("PATH"),
    };
    let path = path.unwrap_or_else(|| PATH.into());
    let is_there = std::env::split_paths(&path)
        .any(|folder| Path::new(&folder).join(program).symlink_metadata().is_ok());
    if is_there { error } else { io::Error::from_raw_os_error(libc::ENOENT) }
}

fn set_environment(child: &mut process::Command, command: &Command) {
    let Who::Token(token) = &command.who;
    let identity = token.identity();
    match command.environment {
        Environment::Callers => {
            for name in OF_THE_CALLERS_SESSION {
                child.env_remove(name);
            }
        }
        Environment::Users => {
            child.env_clear();
            let root = token.inner().ids.uid == 0;
            child.env("PATH", if root { ROOTS_PATH } else { PATH });
        }
    }
    child.env("USER", identity.user()).env("LOGNAME", identity.user());
    child.env("HOME", identity.home().unwrap_or(std::path::Path::new("/")));
    child.env("SHELL", identity.shell().unwrap_or(std::path::Path::new("/bin/sh")));
    for (name, value) in token.inner().environment.iter().chain(&command.variables) {
        child.env(name, value);
    }
}

fn enter(start: &Start) -> io::Result<()> {
    let change = |path: &CString| {
        // SAFETY: the path ends with a NUL.
        if unsafe { libc::chdir(path.as_ptr()) } == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    };
    match start {
        Start::Here => Ok(()),
        Start::At(path) => change(path),
        Start::Home(path) => change(path).or_else(|_| {
            // SAFETY: the path ends with a NUL.
            match unsafe { libc::chdir(c"/".as_ptr()) } {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        }),
    }
}

fn c_text(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(io::Error::from)
}
