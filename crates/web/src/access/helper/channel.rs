//! A socket that carries frames, a packet each, and descriptors beside them.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
    sendmsg, socketpair,
};
use zeroize::Zeroizing;

use super::wire::LARGEST;

/// One end of a socket pair.
#[derive(Debug)]
pub struct Channel {
    socket: OwnedFd,
}

/// Closes a channel that another thread waits at.
#[derive(Debug)]
pub(super) struct Closer(OwnedFd);

impl Closer {
    pub(super) fn close(&self) {
        // Where the other side has gone already, it is closed.
        let _ = rustix::net::shutdown(&self.0, rustix::net::Shutdown::Both);
    }
}

/// What came: a frame, and the descriptor that was beside it. The frame is wiped, as it may hold a
/// password.
#[derive(Debug)]
pub(super) struct Packet {
    pub(super) frame: Zeroizing<Vec<u8>>,
    pub(super) descriptor: Option<OwnedFd>,
}

impl Channel {
    /// Two ends. A program that is started gets one as its standard input.
    ///
    /// # Errors
    /// When the system has no more descriptors.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Self { socket: one }, Self { socket: other }))
    }

    /// The end that this program got as its standard input.
    ///
    /// # Errors
    /// When standard input isn't a socket that keeps packets apart.
    pub fn of_standard_input() -> io::Result<Self> {
        let socket = io::stdin().as_fd().try_clone_to_owned()?;
        if rustix::net::sockopt::socket_type(&socket)? != SocketType::SEQPACKET {
            return Err(io::Error::other("standard input is not the helper's socket"));
        }
        Ok(Self { socket })
    }

    /// The socket, to be given to a program that is started.
    pub fn into_socket(self) -> OwnedFd {
        self.socket
    }

    /// What closes this end from another thread, for both sides.
    ///
    /// # Errors
    /// When the system has no more descriptors.
    pub(super) fn closer(&self) -> io::Result<Closer> {
        Ok(Closer(self.socket.try_clone()?))
    }

    /// Sends a frame, whole or not at all, without waiting for a peer that doesn't read.
    pub(super) fn send(&self, frame: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut beside = SendAncillaryBuffer::new(&mut room);
        let descriptors = descriptor.as_slice();
        if !descriptors.is_empty() {
            beside.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let sent = loop {
            match sendmsg(&self.socket, &[IoSlice::new(frame)], &mut beside, flags) {
                Err(rustix::io::Errno::INTR) => {}
                result => break result?,
            }
        };
        if sent == frame.len() { Ok(()) } else { Err(io::Error::other("half a packet was sent")) }
    }

    /// The next packet; `None` once the other side has closed its end. Waits for at most `time`, or
    /// for as long as it takes.
    ///
    /// # Errors
    /// [`TimedOut`](io::ErrorKind::TimedOut), and
    /// [`InvalidData`](io::ErrorKind::InvalidData) for a packet that is too large or has more than
    /// one descriptor.
    pub(super) fn receive(&self, time: Option<Duration>) -> io::Result<Option<Packet>> {
        self.wait(time)?;
        let mut frame = Zeroizing::new(vec![0; LARGEST]);
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut beside = RecvAncillaryBuffer::new(&mut room);
        let received = loop {
            let into = &mut [IoSliceMut::new(&mut frame)];
            match recvmsg(&self.socket, into, &mut beside, RecvFlags::CMSG_CLOEXEC) {
                Err(rustix::io::Errno::INTR) => {}
                // The other side went away with something of ours unread.
                Err(rustix::io::Errno::CONNRESET) => return Ok(None),
                result => break result?,
            }
        };
        let mut descriptors = Vec::new();
        for message in beside.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
        if received.bytes == 0 && descriptors.is_empty() {
            return Ok(None);
        }
        let cut = ReturnFlags::TRUNC | ReturnFlags::CTRUNC;
        if received.flags.intersects(cut) || descriptors.len() > 1 {
            let what = "a packet is larger than any may be";
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        frame.truncate(received.bytes);
        Ok(Some(Packet { frame, descriptor: descriptors.pop() }))
    }

    fn wait(&self, time: Option<Duration>) -> io::Result<()> {
        let end = time.and_then(|time| Instant::now().checked_add(time));
        loop {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            let left = left.map(|left| Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            });
            match poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], left.as_ref()) {
                Err(rustix::io::Errno::INTR) => {}
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                result => return Ok(result.map(drop)?),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    const SOON: Option<Duration> = Some(Duration::from_secs(30));

    #[test]
    fn packets_stay_apart_and_bring_a_descriptor() {
        let (one, other) = Channel::pair().expect("a pair");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, "content").expect("written");
        let file = std::fs::File::open(&path).expect("opened");
        one.send(b"first", None).expect("sent");
        one.send(b"second", Some(file.as_fd())).expect("sent");
        drop((one, file));
        let first = other.receive(SOON).expect("received").expect("a packet");
        assert_eq!((&**first.frame, first.descriptor.is_none()), (&b"first"[..], true));
        let second = other.receive(SOON).expect("received").expect("a packet");
        assert_eq!(&**second.frame, b"second");
        let mut text = String::new();
        let mut file = std::fs::File::from(second.descriptor.expect("a descriptor"));
        file.read_to_string(&mut text).expect("read");
        assert_eq!(text, "content");
        assert!(other.receive(SOON).expect("closed").is_none());
    }

    #[test]
    fn a_peer_that_says_nothing_is_not_waited_for() {
        let (one, _other) = Channel::pair().expect("a pair");
        let error = one.receive(Some(Duration::from_millis(20))).expect_err("nothing comes");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_peer_that_does_not_read_holds_nobody_up() {
        let (one, _other) = Channel::pair().expect("a pair");
        let error = (0..100_000).find_map(|_| one.send(&[0; 4096], None).err());
        let error = error.expect("at some time it is full");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn what_is_too_large_and_descriptors_in_plenty_are_refused() {
        let (one, other) = Channel::pair().expect("a pair");
        one.send(&vec![0; LARGEST + 1], None).expect("the system lets it pass");
        let error = other.receive(SOON).expect_err("too large");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(9))];
        let mut beside = SendAncillaryBuffer::new(&mut room);
        let many = [one.socket.as_fd(); 9];
        beside.push(SendAncillaryMessage::ScmRights(&many));
        sendmsg(&one.socket, &[IoSlice::new(b"x")], &mut beside, SendFlags::empty())
            .expect("the system lets it pass");
        let error = other.receive(SOON).expect_err("too many");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
