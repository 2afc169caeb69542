//! Programs as the user: with a token, or logged on by the system as they start.

mod environment;
mod files;

use std::{
    io,
    os::windows::{
        ffi::OsStrExt,
        io::{AsRawHandle, FromRawHandle, OwnedHandle},
        process::ExitStatusExt,
    },
    path::Path,
    process::ExitStatus,
    ptr,
    sync::atomic::{AtomicU64, Ordering},
};

use quarry_cred::Secret;
use windows_sys::Win32::{
    Foundation::{
        ERROR_FILE_NOT_FOUND, ERROR_PRIVILEGE_NOT_HELD, HANDLE, WAIT_OBJECT_0, WAIT_TIMEOUT,
    },
    Security::{
        DuplicateTokenEx, SecurityImpersonation, TOKEN_ADJUST_DEFAULT, TOKEN_ADJUST_SESSIONID,
        TOKEN_ASSIGN_PRIMARY, TOKEN_DUPLICATE, TOKEN_IMPERSONATE, TOKEN_QUERY, TokenPrimary,
    },
    System::Threading::{
        CREATE_UNICODE_ENVIRONMENT, CreateProcessAsUserW, CreateProcessWithLogonW,
        CreateProcessWithTokenW, EXTENDED_STARTUPINFO_PRESENT, GetExitCodeProcess, INFINITE,
        LOGON_NETCREDENTIALS_ONLY, LOGON_WITH_PROFILE, PROCESS_INFORMATION, STARTF_USESTDHANDLES,
        STARTUPINFOEXW, STARTUPINFOW, TerminateProcess, WaitForSingleObject,
    },
    UI::Shell::{LoadUserProfileW, PROFILEINFOW, UnloadUserProfile},
};

use super::{
    Token,
    logon::{self, Names},
    token::{self, failed},
    wide,
};
use crate::{Command, Environment, Error, Folder, Logon, LogonType, child::Who, quoting};

/// A program that was started.
#[derive(Debug)]
pub(crate) struct Child {
    process: OwnedHandle,
    id: u32,
    /// The exit code, once it has ended, and one bit more that says so.
    ended: AtomicU64,
    /// What copies between its standard files and consoles that it can't have.
    pumps: Vec<files::Pump>,
    /// What was started with it lives on without, but its profile does not.
    _token: Option<Primary>,
}

/// Starts the program. The calling thread is whoever the process is.
pub(crate) fn spawn(command: Command) -> Result<Child, Error> {
    let shown = command.program.to_string_lossy().into_owned();
    let run = |source: io::Error| Error::Run { program: shown.clone(), source };
    if is_batch(Path::new(&command.program)) {
        return Err(run(io::Error::other(
            "its arguments would be taken apart by cmd.exe, as commands too; say cmd /c yourself",
        )));
    }
    let units = |text: &std::ffi::OsString| text.encode_wide().collect::<Vec<u16>>();
    let arguments: Vec<Vec<u16>> = command.arguments.iter().map(units).collect();
    let line = quoting::command_line(&units(&command.program), &arguments)
        .ok_or_else(|| run(io::ErrorKind::InvalidInput.into()))?;
    match &command.who {
        Who::Token(token) => {
            let home = token.identity().home().map(Path::to_owned);
            let user = token.identity().user().to_owned();
            with_token(&command, token.inner(), &user, home.as_deref(), line, &run)
        }
        Who::Logon(logon, secret) => with_logon(&command, logon, secret, line, &run),
    }
}

impl Child {
    fn new(made: PROCESS_INFORMATION, pumps: Vec<files::Pump>, token: Option<Primary>) -> Self {
        // SAFETY: the call that filled it succeeded, so both handles are open and ours.
        let process = unsafe {
            drop(OwnedHandle::from_raw_handle(made.hThread));
            OwnedHandle::from_raw_handle(made.hProcess)
        };
        let ended = AtomicU64::new(0);
        Self { process, id: made.dwProcessId, ended, pumps, _token: token }
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    pub(crate) fn wait(&mut self) -> io::Result<ExitStatus> {
        self.wait_for(INFINITE)?.ok_or_else(|| io::ErrorKind::TimedOut.into())
    }

    pub(crate) fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.wait_for(0)
    }

    pub(crate) fn kill(&mut self) -> io::Result<()> {
        // SAFETY: the process is open.
        if unsafe { TerminateProcess(self.process.as_raw_handle(), 1) } == 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    fn wait_for(&mut self, milliseconds: u32) -> io::Result<Option<ExitStatus>> {
        const HAS_ENDED: u64 = 1 << 32;
        let ended = self.ended.load(Ordering::Relaxed);
        if ended & HAS_ENDED != 0 {
            return Ok(Some(ExitStatus::from_raw(ended as u32)));
        }
        // SAFETY: the process is open.
        match unsafe { WaitForSingleObject(self.process.as_raw_handle(), milliseconds) } {
            WAIT_OBJECT_0 => {}
            WAIT_TIMEOUT => return Ok(None),
            _ => return Err(io::Error::last_os_error()),
        }
        let mut code = 0;
        // SAFETY: the process is open, and the result can be written to.
        if unsafe { GetExitCodeProcess(self.process.as_raw_handle(), &mut code) } == 0 {
            return Err(io::Error::last_os_error());
        }
        self.ended.store(u64::from(code) | HAS_ENDED, Ordering::Relaxed);
        // What it wrote last is still on its way.
        self.pumps.drain(..).for_each(files::Pump::finish);
        Ok(Some(ExitStatus::from_raw(code)))
    }
}

/// With the token as its primary one. A service may do so; an administrator may by another call.
fn with_token(
    command: &Command,
    token: &Token,
    user: &str,
    home: Option<&Path>,
    mut line: Vec<u16>,
    run: &dyn Fn(io::Error) -> Error,
) -> Result<Child, Error> {
    let mut held = Primary::of(token)?;
    if command.environment == Environment::Users && !token.is_own {
        held.load_profile(user)?;
    }
    let primary = held.token.as_raw_handle();
    let block = environment::of_token(command, primary)?;
    let folder = folder(command, home);
    let files =
        files::Files::of(command, false).map_err(|source| failed("pass files on", source))?;
    let mut made = PROCESS_INFORMATION::default();
    let list = files.inherit_only_these().map_err(|source| failed("pass files on", source))?;
    let mut start = STARTUPINFOEXW { StartupInfo: files.start_up(), ..Default::default() };
    start.StartupInfo.cb = size_of::<STARTUPINFOEXW>() as u32;
    start.lpAttributeList = list.pointer();
    for name in ["SeAssignPrimaryTokenPrivilege", "SeIncreaseQuotaPrivilege"] {
        // Without them the call below says so, and for one's own token they aren't needed.
        let _ = token::enable(name);
    }
    // SAFETY: the token is open for it; the texts end with a NUL, and the line can be written to;
    // the block ends with two; the list lives until after the call, as do the files in it.
    let done = unsafe {
        CreateProcessAsUserW(
            primary,
            ptr::null(),
            line.as_mut_ptr(),
            ptr::null(),
            ptr::null(),
            1,
            CREATE_UNICODE_ENVIRONMENT | EXTENDED_STARTUPINFO_PRESENT,
            block.pointer(),
            folder.as_ref().map_or(ptr::null(), |folder| folder.as_ptr()),
            &start.StartupInfo,
            &mut made,
        )
    };
    if done != 0 {
        return Ok(Child::new(made, Vec::new(), Some(held)));
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() != Some(ERROR_PRIVILEGE_NOT_HELD as i32) {
        return Err(run(error));
    }
    // This one asks for less, and is done by a service, which doesn't pass consoles on.
    drop((list, files));
    let files =
        files::Files::of(command, true).map_err(|source| failed("pass files on", source))?;
    let start = files.start_up();
    let _ = token::enable("SeImpersonatePrivilege");
    // SAFETY: as above.
    let done = unsafe {
        CreateProcessWithTokenW(
            primary,
            0,
            ptr::null(),
            line.as_mut_ptr(),
            CREATE_UNICODE_ENVIRONMENT,
            block.pointer(),
            folder.as_ref().map_or(ptr::null(), |folder| folder.as_ptr()),
            &start,
            &mut made,
        )
    };
    if done != 0 {
        return Ok(Child::new(made, files.pump(), Some(held)));
    }
    let error = io::Error::last_os_error();
    Err(match error.raw_os_error().map(|code| code as u32) {
        Some(ERROR_PRIVILEGE_NOT_HELD) => Error::Privilege {
            what: "starting a program as another user",
            name: "SeAssignPrimaryTokenPrivilege or SeImpersonatePrivilege",
            advice: "run this as a service or as an administrator, elevated; or have the system \
                     log the user on as it starts the program",
        },
        _ => run(error),
    })
}

/// Logged on by the system as it starts the program: the way of runas, which needs no privilege.
fn with_logon(
    command: &Command,
    logon: &Logon,
    secret: &Secret,
    mut line: Vec<u16>,
    run: &dyn Fn(io::Error) -> Error,
) -> Result<Child, Error> {
    let names = Names::of(&logon.account, secret);
    let is_netonly = logon.logon_type == LogonType::NewCredentials;
    let flags = if is_netonly { LOGON_NETCREDENTIALS_ONLY } else { LOGON_WITH_PROFILE };
    let block = environment::of_logon(command, logon, is_netonly)?;
    let folder = folder(command, None);
    let files =
        files::Files::of(command, true).map_err(|source| failed("pass files on", source))?;
    let start = files.start_up();
    let mut made = PROCESS_INFORMATION::default();
    // SAFETY: the texts end with a NUL, and the line can be written to; a null domain is allowed;
    // the block is null or ends with two; the files live until after the call.
    let done = unsafe {
        CreateProcessWithLogonW(
            names.user.as_ptr(),
            names.domain(),
            names.password.as_ptr(),
            flags,
            ptr::null(),
            line.as_mut_ptr(),
            CREATE_UNICODE_ENVIRONMENT,
            block.pointer(),
            folder.as_ref().map_or(ptr::null(), |folder| folder.as_ptr()),
            &start,
            &mut made,
        )
    };
    if done != 0 {
        return Ok(Child::new(made, files.pump(), None));
    }
    let error = io::Error::last_os_error();
    let code = error.raw_os_error().unwrap_or(0) as u32;
    match logon::refused(logon.logon_type, error) {
        // Everything that isn't about the account is about the program.
        Error::System { source, .. } if code != 0 => Err(run(source)),
        Error::System { .. } => Err(run(io::Error::from_raw_os_error(ERROR_FILE_NOT_FOUND as i32))),
        refusal => Err(refusal),
    }
}

/// A token that a program can be started with, and the user's profile if it was loaded.
#[derive(Debug)]
struct Primary {
    token: OwnedHandle,
    profile: Option<isize>,
}

impl Primary {
    fn of(token: &Token) -> Result<Self, Error> {
        let access = TOKEN_QUERY
            | TOKEN_DUPLICATE
            | TOKEN_ASSIGN_PRIMARY
            | TOKEN_IMPERSONATE
            | TOKEN_ADJUST_DEFAULT
            | TOKEN_ADJUST_SESSIONID;
        let mut handle: HANDLE = ptr::null_mut();
        // SAFETY: the token is open, and the result can be written to.
        let made = unsafe {
            DuplicateTokenEx(
                token.handle.as_raw_handle(),
                access,
                ptr::null(),
                SecurityImpersonation,
                TokenPrimary,
                &mut handle,
            )
        };
        token::owned(made, handle)
            .map(|token| Self { token, profile: None })
            .map_err(|source| failed("make a token for a program", source))
    }

    fn load_profile(&mut self, user: &str) -> Result<(), Error> {
        /// Without a window that says what went wrong.
        const QUIETLY: u32 = 1;
        let mut user = wide(user.as_ref());
        let mut info = PROFILEINFOW {
            dwSize: size_of::<PROFILEINFOW>() as u32,
            dwFlags: QUIETLY,
            lpUserName: user.as_mut_ptr(),
            ..Default::default()
        };
        for name in ["SeRestorePrivilege", "SeBackupPrivilege"] {
            // Without them the call below says so.
            let _ = token::enable(name);
        }
        // SAFETY: the token is open, and the structure is of the size that it says.
        if unsafe { LoadUserProfileW(self.token.as_raw_handle(), &mut info) } == 0 {
            let error = io::Error::last_os_error();
            return Err(match error.raw_os_error().map(|code| code as u32) {
                Some(ERROR_PRIVILEGE_NOT_HELD) => Error::Privilege {
                    what: "loading a user's profile",
                    name: "SeRestorePrivilege and SeBackupPrivilege",
                    advice: "run this as an administrator, elevated, or as a service",
                },
                _ => failed("load the user's profile", error),
            });
        }
        self.profile = Some(info.hProfile as isize);
        Ok(())
    }
}

impl Drop for Primary {
    fn drop(&mut self) {
        if let Some(profile) = self.profile {
            // SAFETY: the profile was loaded with this token, and this is the last use of it.
            // Nothing can be done about one that doesn't unload.
            unsafe { UnloadUserProfile(self.token.as_raw_handle(), profile as HANDLE) };
        }
    }
}

/// The folder to start in; nothing for the caller's.
fn folder(command: &Command, home: Option<&Path>) -> Option<Vec<u16>> {
    match &command.folder {
        Folder::Callers => None,
        Folder::At(path) => Some(wide(path.as_os_str())),
        Folder::Home => {
            let root = std::ffi::OsStr::new("\\");
            Some(wide(home.map_or(root, |home| home.as_os_str())))
        }
    }
}

fn is_batch(program: &Path) -> bool {
    let extension = program.extension().unwrap_or_default();
    ["bat", "cmd"].iter().any(|batch| extension.eq_ignore_ascii_case(batch))
}

impl files::Files {
    fn start_up(&self) -> STARTUPINFOW {
        let [stdin, stdout, stderr] = self.handles();
        STARTUPINFOW {
            cb: size_of::<STARTUPINFOW>() as u32,
            dwFlags: STARTF_USESTDHANDLES,
            hStdInput: stdin,
            hStdOutput: stdout,
            hStdError: stderr,
            ..Default::default()
        }
    }
}
