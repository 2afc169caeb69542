//! Who read what: a line of JSON before the first row of an answer leaves, and one after the last.
//!
//! ```json
//! {"time":"2026-11-29T10:41:58.1Z","id":"5f0c…","act":"question","person":"CORP\\ann","session":"9a…","address":"192.0.2.7","words":"on:@dcs id:4625","servers":["dc01","dc02"]}
//! {"time":"2026-11-29T10:41:58.3Z","id":"5f0c…","act":"end","rows":812,"milliseconds":214,"outcome":"complete"}
//! ```
//!
//! Lines are appended under a whole-file lock, by one thread of the program's and by other programs,
//! and go to the system's log too. What can't be written isn't read: [`Audit::begin`] fails then.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use quarry_event::text::{Escape, Json};
use quarry_lock::{LockFile, Mode};
use serde_json::Value;
use tokio::sync::oneshot;

use super::secret;

/// How long another program may hold the file.
const LOCK_TIME: Duration = Duration::from_secs(5);
/// Most lines that wait to be written.
const MOST_WAITING: usize = 4096;
/// Longest text of a member, in characters.
const LONGEST_TEXT: usize = 8192;
/// Most servers that are listed; how many there were is said in any case.
const MOST_SERVERS: usize = 200;
/// How much of the file's end is read for the newest lines, in bytes.
const NEWEST_BYTES: u64 = 1 << 20;
/// The program's name in the system's log.
const PROGRAM: &str = "quarry-web";

/// The audit. Clones write to the same file.
#[derive(Clone, Debug)]
pub struct Audit(Option<Arc<Writer>>);

#[derive(Debug)]
struct Writer {
    path: PathBuf,
    lines: Option<mpsc::SyncSender<Line>>,
    thread: Option<thread::JoinHandle<()>>,
}

struct Line {
    text: Vec<u8>,
    written: Option<oneshot::Sender<io::Result<()>>>,
}

/// Nothing was read, because it can't be written down who reads.
#[derive(Debug, thiserror::Error)]
#[error("nothing was read, because the audit can't be written: {0}")]
pub struct AuditError(#[from] io::Error);

/// What somebody does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Act {
    /// Signs in.
    SignIn,
    /// Tried to sign in, or to read what the rules hide.
    Refusal,
    /// Signs out.
    SignOut,
    /// Asks for rows, counts, facets or a histogram.
    Question,
    /// Opens an event.
    Event,
    /// Takes events away as a file.
    Export,
    /// Follows events as they come.
    Tail,
    /// Asks servers now.
    Ask,
    /// Asks in SQL.
    Sql,
    /// Makes or revokes a token for programs.
    Token,
}

impl Act {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SignIn => "sign-in",
            Self::Refusal => "refusal",
            Self::SignOut => "sign-out",
            Self::Question => "question",
            Self::Event => "event",
            Self::Export => "export",
            Self::Tail => "tail",
            Self::Ask => "ask",
            Self::Sql => "sql",
            Self::Token => "token",
        }
    }
}

/// What is written of an act.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// What is done.
    pub act: Act,
    /// Who does it; of a refused sign-in, the name that was typed.
    pub person: &'a str,
    /// The session's public name.
    pub session: Option<&'a str>,
    /// Where from.
    pub address: Option<IpAddr>,
    /// The words of the question, or why something was refused.
    pub words: &'a str,
    /// The servers or files that are asked.
    pub servers: &'a [&'a str],
}

/// How an answer ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// All of it was sent.
    Complete,
    /// Some sources failed.
    Partial,
    /// It took too long, or its bounds were reached.
    Bounded,
    /// It failed.
    Failed,
    /// The reader left, or the session ended.
    BrokenOff,
}

/// An act whose first line is written. Its second is when it [ends](Self::end) or is dropped.
#[derive(Debug)]
pub struct Begun {
    writer: Option<Arc<Writer>>,
    id: String,
    began: Instant,
    rows: AtomicU64,
    outcome: Outcome,
}

impl Audit {
    /// No audit: of a program whose only user is who started it.
    pub fn off() -> Self {
        Self(None)
    }

    /// An audit in a file, which is made, for its owner only, where it is missing.
    ///
    /// # Errors
    /// When the file can't be opened for writing.
    pub fn open(path: &Path) -> io::Result<Self> {
        if !path.exists() {
            super::private_file(path)?;
        }
        LockFile::open(path).map_err(io::Error::other)?;
        fs::OpenOptions::new().append(true).open(path)?;
        let (lines, queue) = mpsc::sync_channel(MOST_WAITING);
        let of_thread = path.to_owned();
        let thread = thread::Builder::new()
            .name("quarry-audit".to_owned())
            .spawn(move || write_lines(&of_thread, &queue))?;
        let writer = Writer { path: path.to_owned(), lines: Some(lines), thread: Some(thread) };
        Ok(Self(Some(Arc::new(writer))))
    }

    /// Writes an act's first line. Nothing may be read before this is back.
    ///
    /// # Errors
    /// When the line isn't in the file.
    pub async fn begin(&self, entry: Entry<'_>) -> Result<Begun, AuditError> {
        let id = match &self.0 {
            Some(_) => secret::random().map_err(io::Error::other)?[..16].to_owned(),
            None => String::new(),
        };
        if let Some(writer) = &self.0 {
            writer.write(entry.line(&id)).await?;
        }
        Ok(Begun {
            writer: self.0.clone(),
            id,
            began: Instant::now(),
            rows: AtomicU64::new(0),
            outcome: Outcome::BrokenOff,
        })
    }

    /// Writes an act that has no end of its own: a sign-in, a refusal.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub async fn note(&self, entry: Entry<'_>) -> Result<(), AuditError> {
        let mut begun = self.begin(entry).await?;
        begun.writer = None;
        Ok(())
    }

    /// The newest lines, the newest first, at most so many and of the last mebibyte. Lines that
    /// aren't JSON are left out. Empty where there is no audit.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn newest(&self, most: usize) -> io::Result<Vec<Value>> {
        let Some(writer) = &self.0 else { return Ok(Vec::new()) };
        let mut file = LockFile::open(&writer.path).map_err(io::Error::other)?;
        let guard = file.lock_timeout(Mode::Shared, LOCK_TIME).map_err(io::Error::other)?;
        let mut guard = guard.ok_or_else(busy)?;
        let length = guard.seek(SeekFrom::End(0))?;
        let start = length.saturating_sub(NEWEST_BYTES);
        guard.seek(SeekFrom::Start(start))?;
        let mut text = Vec::new();
        (&mut guard).take(NEWEST_BYTES).read_to_end(&mut text)?;
        let mut lines: Vec<&[u8]> = text.split(|&byte| byte == b'\n').collect();
        if start > 0 {
            // The first is half a line.
            lines.remove(0);
        }
        let parsed = lines.into_iter().rev().filter_map(|line| serde_json::from_slice(line).ok());
        Ok(parsed.take(most).collect())
    }
}

impl Begun {
    /// Counts rows as they are sent.
    pub fn sent(&self, rows: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }

    /// Writes the second line.
    pub fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let Some(writer) = &self.writer else { return };
        let outcome = match self.outcome {
            Outcome::Complete => "complete",
            Outcome::Partial => "partial",
            Outcome::Bounded => "bounded",
            Outcome::Failed => "failed",
            Outcome::BrokenOff => "broken off",
        };
        let rows = self.rows.load(Ordering::Relaxed);
        let took = self.began.elapsed().as_millis();
        let line = format!(
            r#"{{"time":"{}","id":"{}","act":"end","rows":{rows},"milliseconds":{took},"outcome":"{outcome}"}}"#,
            Timestamp::now(),
            self.id,
        );
        writer.write_later(line.into_bytes());
    }
}

impl Entry<'_> {
    fn line(&self, id: &str) -> Vec<u8> {
        let mut line =
            format!(r#"{{"time":"{}","id":"{id}","act":"{}""#, Timestamp::now(), self.act.name())
                .into_bytes();
        let mut member = |name: &str, text: &str| {
            line.extend_from_slice(format!(r#","{name}":""#).as_bytes());
            push_text(text, &mut line);
            line.push(b'"');
        };
        member("person", self.person);
        if let Some(session) = self.session {
            member("session", session);
        }
        if let Some(address) = self.address {
            member("address", &address.to_string());
        }
        member("words", self.words);
        line.extend_from_slice(br#","servers":["#);
        for (number, server) in self.servers.iter().take(MOST_SERVERS).enumerate() {
            line.extend_from_slice(if number == 0 { b"\"" } else { b",\"" });
            push_text(server, &mut line);
            line.push(b'"');
        }
        line.push(b']');
        if self.servers.len() > MOST_SERVERS {
            line.extend_from_slice(format!(r#","server_count":{}"#, self.servers.len()).as_bytes());
        }
        line.push(b'}');
        line
    }
}

/// The inside of a JSON string, in which no character acts on who shows it.
fn push_text(text: &str, line: &mut Vec<u8>) {
    text.chars().take(LONGEST_TEXT).for_each(|c| Json::push_char(c, line));
}

impl Writer {
    async fn write(&self, text: Vec<u8>) -> io::Result<()> {
        let (written, is_written) = oneshot::channel();
        self.send(Line { text, written: Some(written) })?;
        is_written.await.unwrap_or_else(|_| Err(stopped()))
    }

    fn write_later(&self, text: Vec<u8>) {
        if let Err(error) = self.send(Line { text, written: None }) {
            tracing::error!(%error, "an audit line is lost");
        }
    }

    fn send(&self, line: Line) -> io::Result<()> {
        let lines = self.lines.as_ref().ok_or_else(stopped)?;
        lines.try_send(line).map_err(|error| match error {
            mpsc::TrySendError::Full(_) => io::Error::other("too many lines wait to be written"),
            mpsc::TrySendError::Disconnected(_) => stopped(),
        })
    }
}

impl Drop for Writer {
    /// Waits until what is queued is written.
    fn drop(&mut self) {
        self.lines = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn stopped() -> io::Error {
    io::Error::other("its writer has stopped")
}

fn busy() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "another program has it locked")
}

/// The writer's thread: one lock for all lines that wait.
fn write_lines(path: &Path, queue: &mpsc::Receiver<Line>) {
    while let Ok(first) = queue.recv() {
        let mut lines = vec![first];
        lines.extend(queue.try_iter().take(MOST_WAITING));
        let result = append(path, &lines);
        if let Err(error) = &result {
            tracing::error!(path = %path.display(), %error, "the audit can't be written");
        }
        for line in lines {
            if result.is_ok() {
                // Best effort: the file is the record.
                let _ = quarry_logon::log_line(PROGRAM, &String::from_utf8_lossy(&line.text));
            }
            if let Some(written) = line.written {
                let copy = |error: &io::Error| io::Error::new(error.kind(), error.to_string());
                let _ = written.send(result.as_ref().copied().map_err(copy));
            }
        }
    }
}

/// Appends whole lines or nothing.
fn append(path: &Path, lines: &[Line]) -> io::Result<()> {
    // Opened each time: a file that was rotated away is made anew.
    if !path.exists() {
        super::private_file(path)?;
    }
    let mut file = LockFile::open(path).map_err(io::Error::other)?;
    let guard = file.lock_timeout(Mode::Exclusive, LOCK_TIME).map_err(io::Error::other)?;
    let mut guard = guard.ok_or_else(busy)?;
    let end = guard.seek(SeekFrom::End(0))?;
    let mut text = Vec::new();
    if end > 0 {
        let mut last = [0];
        guard.seek(SeekFrom::End(-1))?;
        guard.read_exact(&mut last)?;
        if last != *b"\n" {
            // Somebody's half line; it stays what it is.
            text.push(b'\n');
        }
    }
    guard.seek(SeekFrom::Start(end))?;
    for line in lines {
        text.extend_from_slice(&line.text);
        text.push(b'\n');
    }
    if let Err(error) = guard.write_all(&text).and_then(|()| guard.flush()) {
        let _ = guard.set_len(end);
        return Err(error);
    }
    guard.unlock().map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry<'a>(words: &'a str, servers: &'a [&'a str]) -> Entry<'a> {
        Entry {
            act: Act::Question,
            person: r"CORP\ann",
            session: Some("9a"),
            address: Some(IpAddr::from([192, 0, 2, 7])),
            words,
            servers,
        }
    }

    fn lines(path: &Path) -> Vec<Value> {
        let text = fs::read_to_string(path).expect("the audit");
        text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }

    #[tokio::test]
    async fn the_first_line_is_in_the_file_before_anything_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        let audit = Audit::open(&path).expect("it can be made");
        let begun =
            audit.begin(entry("on:@dcs id:4625", &["dc01", "dc02"])).await.expect("written");
        let [first] = &lines(&path)[..] else { panic!("one line") };
        for (name, value) in [
            ("act", "question"),
            ("person", r"CORP\ann"),
            ("session", "9a"),
            ("address", "192.0.2.7"),
            ("words", "on:@dcs id:4625"),
        ] {
            assert_eq!(first[name], value);
        }
        assert_eq!(first["servers"], serde_json::json!(["dc01", "dc02"]));
        begun.sent(800);
        begun.sent(12);
        begun.end(Outcome::Complete);
        drop(audit.begin(entry("x", &[])).await.expect("written"));
        drop(audit);
        let lines = lines(&path);
        assert_eq!(lines[1]["rows"], 812);
        assert_eq!(lines[1]["outcome"], "complete");
        assert_eq!(lines[1]["id"], first["id"]);
        assert_eq!(lines[3]["outcome"], "broken off");
        assert_ne!(lines[2]["id"], first["id"]);
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_not_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        let audit = Audit::open(&path).expect("it can be made");
        audit.note(entry("x", &[])).await.expect("written");
        fs::remove_file(&path).expect("it is there");
        fs::create_dir(&path).expect("a folder in its place");
        audit.begin(entry("x", &[])).await.expect_err("a folder is no file");
        fs::remove_dir(&path).expect("it is empty");
        audit.begin(entry("x", &[])).await.expect("it is made anew");
        Audit::open(&folder.path().join("no/such/folder")).expect_err("there is no folder");
    }

    #[tokio::test]
    async fn hostile_text_stays_in_its_line_and_acts_on_nobody() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        let audit = Audit::open(&path).expect("it can be made");
        let words = "a\n{\"act\":\"sign-in\"}\u{202e}\u{1b}[2J\0\"";
        audit.note(entry(words, &[words])).await.expect("written");
        let long = "x".repeat(LONGEST_TEXT + 1);
        audit.note(entry(&long, &vec!["dc"; MOST_SERVERS + 1])).await.expect("written");
        let text = fs::read_to_string(&path).expect("the audit");
        assert!(text.chars().all(|c| c == '\n' || !quarry_event::text::is_active(c)));
        let lines = lines(&path);
        assert_eq!((lines.len(), lines[0]["words"].as_str()), (2, Some(words)));
        assert_eq!(lines[1]["words"].as_str().map(str::len), Some(LONGEST_TEXT));
        assert_eq!(lines[1]["servers"].as_array().map(Vec::len), Some(MOST_SERVERS));
        assert_eq!(lines[1]["server_count"], MOST_SERVERS + 1);
    }

    #[tokio::test]
    async fn half_a_line_of_somebody_elses_swallows_none_of_ours() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        fs::write(&path, "{\"act\":\"sig").expect("written");
        let audit = Audit::open(&path).expect("it is there");
        audit.note(entry("first", &[])).await.expect("written");
        audit.note(entry("second", &[])).await.expect("written");
        let newest = audit.newest(10).expect("read");
        let words: Vec<_> = newest.iter().map(|line| line["words"].as_str()).collect();
        assert_eq!(words, [Some("second"), Some("first")]);
        assert_eq!(audit.newest(1).expect("read").len(), 1);
    }

    #[tokio::test]
    async fn a_program_that_holds_the_file_is_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        let audit = Audit::open(&path).expect("it can be made");
        let mut file = LockFile::open(&path).expect("it is there");
        let guard = file.lock(Mode::Exclusive).expect("nobody else has it");
        let of_task = audit.clone();
        let task = tokio::spawn(async move { of_task.note(entry("x", &[])).await });
        tokio::task::yield_now().await;
        assert!(!task.is_finished());
        assert_eq!(fs::read(&path).expect("read"), b"");
        drop(guard);
        task.await.expect("no panic").expect("written");
        assert_eq!(lines(&path).len(), 1);
    }
}
