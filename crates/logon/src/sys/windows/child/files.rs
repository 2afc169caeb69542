//! The standard files of a program. Where a service starts it, it is on a console of its own, and
//! what goes to or comes from ours is copied through pipes.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle},
    ptr, thread,
    time::Duration,
};

use windows_sys::Win32::{
    Foundation::{
        DUPLICATE_SAME_ACCESS, DuplicateHandle, HANDLE, HANDLE_FLAG_INHERIT, INVALID_HANDLE_VALUE,
        SetHandleInformation,
    },
    Storage::FileSystem::{FILE_TYPE_CHAR, GetFileType},
    System::{
        Console::{GetStdHandle, STD_ERROR_HANDLE, STD_INPUT_HANDLE, STD_OUTPUT_HANDLE},
        Pipes::CreatePipe,
        Threading::{
            DeleteProcThreadAttributeList, GetCurrentProcess, InitializeProcThreadAttributeList,
            LPPROC_THREAD_ATTRIBUTE_LIST, PROC_THREAD_ATTRIBUTE_HANDLE_LIST,
            UpdateProcThreadAttribute,
        },
    },
};

use crate::Command;

/// How long output that is still on its way is waited for when the program has ended: something
/// that it left running may keep the pipe open for ever.
const LAST_OUTPUT: Duration = Duration::from_secs(2);

/// The three files, inheritable. A program without one gets none.
pub(super) struct Files {
    handles: [Option<OwnedHandle>; 3],
    /// Our ends of pipes, and the consoles at the other side.
    ends: Vec<(usize, File)>,
}

impl Files {
    /// The command's files, or this process's. With `no_console`, consoles are replaced by pipes.
    pub(super) fn of(command: &Command, no_console: bool) -> io::Result<Self> {
        let mut files = Self { handles: [const { None }; 3], ends: Vec::new() };
        let numbers = [STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, STD_ERROR_HANDLE];
        for (at, number) in numbers.into_iter().enumerate() {
            if let Some(file) = &command.files[at] {
                files.handles[at] = Some(inheritable(file.as_handle())?);
                continue;
            }
            // SAFETY: takes a number.
            let own = unsafe { GetStdHandle(number) };
            if own.is_null() || own == INVALID_HANDLE_VALUE {
                continue;
            }
            // SAFETY: standard files stay open.
            let own = unsafe { BorrowedHandle::borrow_raw(own) };
            // SAFETY: the file is open.
            let is_console = unsafe { GetFileType(own.as_raw_handle()) } == FILE_TYPE_CHAR;
            if no_console && is_console {
                let (read, write) = pipe()?;
                let (theirs, ours) = if at == 0 { (read, write) } else { (write, read) };
                files.handles[at] = Some(inheritable(theirs.as_handle())?);
                files.ends.push((at, ours.into()));
            } else {
                files.handles[at] = Some(inheritable(own)?);
            }
        }
        Ok(files)
    }

    pub(super) fn handles(&self) -> [HANDLE; 3] {
        self.handles
            .each_ref()
            .map(|file| file.as_ref().map_or(INVALID_HANDLE_VALUE, |file| file.as_raw_handle()))
    }

    /// Has a program inherit these files and no other.
    pub(super) fn inherit_only_these(&self) -> io::Result<Inherited> {
        let mut handles: Vec<HANDLE> =
            self.handles.iter().flatten().map(|f| f.as_raw_handle()).collect();
        handles.dedup();
        let mut size = 0;
        // SAFETY: without a list it says how large one is.
        unsafe { InitializeProcThreadAttributeList(ptr::null_mut(), 1, 0, &mut size) };
        let mut list =
            Inherited { buffer: vec![0; size.div_ceil(size_of::<usize>()).max(1)], handles };
        // SAFETY: the buffer has the size that was said.
        if unsafe {
            InitializeProcThreadAttributeList(list.buffer.as_mut_ptr().cast(), 1, 0, &mut size)
        } == 0
        {
            return Err(io::Error::last_os_error());
        }
        if list.handles.is_empty() {
            return Ok(list);
        }
        // SAFETY: the list has room for one attribute, and the handles live as long as the list.
        let updated = unsafe {
            UpdateProcThreadAttribute(
                list.pointer(),
                0,
                PROC_THREAD_ATTRIBUTE_HANDLE_LIST as usize,
                list.handles.as_ptr().cast(),
                size_of_val(&*list.handles),
                ptr::null_mut(),
                ptr::null(),
            )
        };
        if updated == 0 { Err(io::Error::last_os_error()) } else { Ok(list) }
    }

    /// Begins to copy, once the program runs and has its ends.
    pub(super) fn pump(self) -> Vec<Pump> {
        let Self { handles, ends } = self;
        // A pipe ends when its last writer is gone, which must not be us.
        drop(handles);
        ends.into_iter().filter_map(|(at, end)| Pump::start(at, end)).collect()
    }
}

/// A list for `CreateProcess`.
pub(super) struct Inherited {
    buffer: Vec<usize>,
    handles: Vec<HANDLE>,
}

impl Inherited {
    pub(super) fn pointer(&self) -> LPPROC_THREAD_ATTRIBUTE_LIST {
        self.buffer.as_ptr().cast_mut().cast()
    }
}

impl Drop for Inherited {
    fn drop(&mut self) {
        // SAFETY: the list was initialised, or is all zeros, and this is the last use of it.
        unsafe { DeleteProcThreadAttributeList(self.pointer()) };
    }
}

/// A thread that copies to or from the console.
#[derive(Debug)]
pub(super) struct Pump {
    thread: thread::JoinHandle<()>,
    is_input: bool,
}

impl Pump {
    fn start(at: usize, mut end: File) -> Option<Self> {
        let copy = move || {
            // The program or the console is gone: there is nothing more to copy.
            let _ = match at {
                0 => copy(&mut io::stdin(), &mut end),
                1 => copy(&mut end, &mut io::stdout()),
                _ => copy(&mut end, &mut io::stderr()),
            };
        };
        let thread = thread::Builder::new().name("quarry-console".to_owned()).spawn(copy).ok()?;
        Some(Self { thread, is_input: at == 0 })
    }

    /// Waits for the last of the output. One that waits for a key can't be ended, and is left.
    pub(super) fn finish(self) {
        let mut waited = Duration::ZERO;
        while !self.is_input && !self.thread.is_finished() && waited < LAST_OUTPUT {
            thread::sleep(Duration::from_millis(5));
            waited += Duration::from_millis(5);
        }
    }
}

/// As `io::copy`, but nothing is held back.
fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            count => to.write_all(&buffer[..count]).and_then(|()| to.flush())?,
        }
    }
}

fn pipe() -> io::Result<(OwnedHandle, OwnedHandle)> {
    let (mut read, mut write) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: both results can be written to.
    if unsafe { CreatePipe(&mut read, &mut write, ptr::null(), 0) } == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so both are open and ours.
    Ok(unsafe { (OwnedHandle::from_raw_handle(read), OwnedHandle::from_raw_handle(write)) })
}

/// A duplicate that programs inherit. It lives for the moment of starting one; another that is
/// started in that moment without a list of its own gets it too.
fn inheritable(file: BorrowedHandle<'_>) -> io::Result<OwnedHandle> {
    let mut copy = ptr::null_mut();
    // SAFETY: the pseudo handles need no closing, the file is open, and the result can be
    // written to.
    let made = unsafe {
        let process = GetCurrentProcess();
        DuplicateHandle(
            process,
            file.as_raw_handle(),
            process,
            &mut copy,
            0,
            1,
            DUPLICATE_SAME_ACCESS,
        )
    };
    if made == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so it is open and ours.
    let copy = unsafe { OwnedHandle::from_raw_handle(copy) };
    // SAFETY: the file is open.
    if unsafe {
        SetHandleInformation(copy.as_raw_handle(), HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT)
    } == 0
    {
        return Err(io::Error::last_os_error());
    }
    Ok(copy)
}
