//! The frames between the web process, the helper and the processes of logons: each a request or
//! its answer, in postcard's encoding, one in a packet.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Largest frame, in bytes.
pub(super) const LARGEST: usize = 64 << 10;
/// Longest path to open, in bytes (`PATH_MAX`).
pub(super) const LONGEST_PATH: usize = 4096;
/// Most groups of a person that are told, and the longest name of one, in bytes.
const MOST_GROUPS: usize = 1024;
const LONGEST_GROUP: usize = 256;

/// What is asked, with the number that the answer will have. The number of a logon is the helper's.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Asked<'a> {
    pub(super) number: u64,
    #[serde(borrow)]
    pub(super) request: Request<'a>,
}

#[derive(Serialize, Deserialize)]
pub(super) enum Request<'a> {
    /// With `ticket`, one will be asked for, and the password is kept until then.
    LogOn {
        account: &'a str,
        password: &'a str,
        from: &'a str,
        ticket: bool,
    },
    /// The Kerberos ticket of the password, once.
    Ticket {
        logon: u64,
    },
    /// No ticket will be asked for: the password is wiped.
    Forget {
        logon: u64,
    },
    StillGood {
        logon: u64,
    },
    Open {
        logon: u64,
        path: &'a [u8],
    },
    LogOff {
        logon: u64,
    },
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Answered {
    pub(super) number: u64,
    pub(super) answer: Answer,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// The password is right. The logon's number is the helper's; a logon's process says 0.
    LoggedOn { logon: u64, user: String, groups: Vec<String> },
    /// Refused, and nothing more is said.
    Refused,
    /// The password is right, and the account may not be used.
    Restricted { why: String },
    /// It can't be asked: for the log, and for the administrator.
    NotPossible { why: String },
    /// Too many at once.
    Busy,
    /// It took too long, and was ended.
    TookTooLong,
    /// The ticket, as [`GrantingTicket`](quarry_fleet::GrantingTicket) has it.
    Ticket { ticket: Hidden },
    /// There is no ticket. Where `is_counted`, the realm may have counted the password as a wrong one.
    NoTicket { account: String, why: String, is_counted: bool },
    /// The password is wiped.
    Forgotten,
    /// The account may still be used, and is in these groups.
    Good { groups: Vec<String> },
    /// The descriptor comes with this.
    Opened,
    /// As the person, the file can't be opened: the system's number.
    NotOpened { errno: i32 },
    /// It is neither a file nor a folder.
    NotAFile,
    /// There is no such logon, or none any more.
    Gone,
    /// Done.
    LoggedOff,
}

/// Bytes that are wiped, and never shown.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Hidden(pub(super) Zeroizing<Vec<u8>>);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden")
    }
}

impl Serialize for Hidden {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let bytes = <&[u8]>::deserialize(from)?;
        Ok(Hidden(Zeroizing::new(bytes.to_vec())))
    }
}

impl std::fmt::Debug for Request<'_> {
    /// A password is never shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::LogOn { account, .. } => write!(f, "LogOn({account:?})"),
            Self::Ticket { logon } => write!(f, "Ticket({logon})"),
            Self::Forget { logon } => write!(f, "Forget({logon})"),
            Self::StillGood { logon } => write!(f, "StillGood({logon})"),
            Self::Open { logon, .. } => write!(f, "Open({logon})"),
            Self::LogOff { logon } => write!(f, "LogOff({logon})"),
        }
    }
}

/// Why bytes are no frame.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    #[error("not a frame: {0}")]
    Malformed(#[from] postcard::Error),
    #[error("a frame has something after its end")]
    Rest,
    #[error("a frame holds more than it may")]
    TooMuch,
}

impl<'a> Asked<'a> {
    /// The frame, which is wiped: it may hold a password.
    pub(super) fn encode(&self) -> Result<Zeroizing<Vec<u8>>, WireError> {
        frame(self)
    }

    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, WireError> {
        let asked: Self = whole(bytes)?;
        match asked.request {
            Request::Open { path, .. } if path.len() > LONGEST_PATH => Err(WireError::TooMuch),
            _ => Ok(asked),
        }
    }
}

impl Answered {
    /// The frame, which is wiped: it may hold a ticket.
    pub(super) fn encode(&self) -> Result<Zeroizing<Vec<u8>>, WireError> {
        frame(self)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        whole(bytes)
    }
}

fn frame(of: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, WireError> {
    // With room from the beginning, since a buffer that grows leaves copies behind.
    let mut room = Zeroizing::new(vec![0; LARGEST]);
    let length = postcard::to_slice(of, &mut room)?.len();
    room.truncate(length);
    Ok(room)
}

fn whole<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, WireError> {
    if bytes.len() > LARGEST {
        return Err(WireError::TooMuch);
    }
    let (value, rest) = postcard::take_from_bytes(bytes)?;
    if rest.is_empty() { Ok(value) } else { Err(WireError::Rest) }
}

/// The groups that fit into a frame: a person with more is in as many as do, which allows less.
pub(super) fn bounded(mut groups: Vec<String>) -> Vec<String> {
    groups.retain(|group| group.len() <= LONGEST_GROUP);
    groups.truncate(MOST_GROUPS);
    let mut room = LARGEST - 4096;
    groups.retain(|group| {
        let needed = group.len() + 2;
        let fits = needed <= room;
        room -= if fits { needed } else { 0 };
        fits
    });
    groups
}

/// For the fuzz target: whatever bytes come, reading them ends, and what is read is written alike.
#[doc(hidden)]
pub fn fuzz(bytes: &[u8]) {
    if let Ok(asked) = Asked::decode(bytes) {
        let again = asked.encode().expect("what was read fits");
        assert_eq!(
            format!("{:?}", Asked::decode(&again).expect("it is a frame")),
            format!("{asked:?}")
        );
    }
    if let Ok(answered) = Answered::decode(bytes) {
        let again = answered.encode().expect("what was read fits");
        let read = Answered::decode(&again).expect("it is a frame");
        assert_eq!((read.number, read.answer), (answered.number, answered.answer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_a_frame_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            fuzz(&bytes);
        }

        #[test]
        fn a_request_reads_back(
            number: u64,
            logon: u64,
            account in ".{0,40}",
            password in ".{0,40}",
            path in prop::collection::vec(any::<u8>(), 0..LONGEST_PATH),
        ) {
            let from = "192.0.2.7";
            for request in [
                Request::LogOn { account: &account, password: &password, from, ticket: true },
                Request::Open { logon, path: &path },
            ] {
                let frame = Asked { number, request }.encode().expect("it fits");
                let read = Asked::decode(&frame).expect("a frame");
                prop_assert_eq!(read.number, number);
                match read.request {
                    Request::LogOn { account: a, password: p, .. } => {
                        prop_assert_eq!((a, p), (&*account, &*password));
                    }
                    Request::Open { logon: l, path: p } => prop_assert_eq!((l, p), (logon, &*path)),
                    _ => prop_assert!(false, "another request"),
                }
                // A frame that was cut, or has more after it, is none.
                prop_assert!(Asked::decode(&frame[..frame.len() - 1]).is_err());
                prop_assert!(Asked::decode(&[&frame[..], &[0]].concat()).is_err());
            }
        }
    }

    #[test]
    fn what_is_too_large_is_refused_and_groups_always_fit() {
        let path = vec![b'x'; LONGEST_PATH + 1];
        let frame = Asked { number: 1, request: Request::Open { logon: 1, path: &path } };
        let frame = frame.encode().expect("a frame has room for it");
        assert!(matches!(Asked::decode(&frame), Err(WireError::TooMuch)));
        assert!(Asked::decode(&vec![0; LARGEST + 1]).is_err());
        let groups = bounded((0..5000).map(|n| format!("{n:0>200}")).collect());
        assert!(groups.len() > 200);
        let answer = Answer::Good { groups };
        Answered { number: u64::MAX, answer }.encode().expect("they fit");
        assert!(bounded(vec!["x".repeat(LONGEST_GROUP + 1)]).is_empty());
    }

    #[test]
    fn the_largest_ticket_fits_and_is_not_shown() {
        let ticket = Hidden(Zeroizing::new(vec![7; quarry_fleet::MAX_TICKET_BYTES]));
        let answered = Answered { number: u64::MAX, answer: Answer::Ticket { ticket } };
        let frame = answered.encode().expect("it fits");
        assert_eq!(Answered::decode(&frame).expect("a frame").answer, answered.answer);
        assert!(format!("{answered:?}").ends_with("answer: Ticket { ticket: Hidden } }"));
    }

    #[test]
    fn a_request_shows_no_password() {
        let request =
            Request::LogOn { account: "ann", password: "hunter2", from: "", ticket: true };
        let shown = format!("{:?}", Asked { number: 1, request });
        assert!(shown.contains("ann") && !shown.contains("hunter2"), "{shown}");
    }
}
