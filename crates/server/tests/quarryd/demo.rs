//! The demo: its page lets somebody in, its line of SQL answers, and nothing is left of it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use super::*;

#[test]
fn the_demo_s_page_and_its_sql_answer_and_nothing_is_left_when_it_ends() {
    let home = tempfile::tempdir().unwrap();
    let log = home.path().join("said");
    let mut command = quarryd(home.path(), &["demo"]);
    let file = File::create(&log).unwrap();
    command.env("TMPDIR", home.path()).stdout(Stdio::piped()).stderr(file);
    let mut child = command.spawn().unwrap();
    let mut page = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut page).unwrap();
    let daemon = Daemon { child, log: log.clone() };
    let address = page.trim().strip_prefix("http://").unwrap_or_else(|| panic!("{page}"));
    let (host, visit) = address.split_once('/').unwrap();

    // What the page at that address sends by itself.
    let (path, token) = visit.split_once('?').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(
        stream,
        "POST /{path} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{token}",
        token.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.to_lowercase().contains("\r\nset-cookie: "), "{answer}");

    let said = daemon.said();
    let line =
        said.lines().find(|line| line.contains(" sql '")).unwrap_or_else(|| panic!("{said}"));
    let ask = || {
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).current_dir(home.path()).stdin(Stdio::null());
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    // An address that passwords are tried from, in what the demo tells.
    wait(|| ask().contains("10.20.6.203"), || daemon.said());

    let folder = line.rsplit_once(" -c ").unwrap().1.trim();
    let folder = Path::new(folder).parent().unwrap().to_owned();
    assert!(folder.join("events/_delta_log").is_dir());
    daemon.signal(Signal::INT);
    daemon.ends();
    assert!(!folder.exists());
    let left: Vec<_> = std::fs::read_dir(home.path()).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(left, [log]);
}
