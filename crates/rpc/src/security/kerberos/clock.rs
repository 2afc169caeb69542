//! What time a key distribution centre has: when the clocks differ by too much, it
//! says no more than that, but every refusal of its carries the time (RFC 4120
//! 5.9.1). So it is asked for a ticket without pre-authentication, which it refuses
//! and counts as no attempt. Whoever answers that is there.

use super::messages::{Principal, error_time, is_answer, request_without_proof};

/// Length of what is before each message on TCP (RFC 4120 7.2.2).
const FRAME_LEN: usize = 4;
/// Longest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// The question, as it goes over TCP.
pub(crate) fn question(client: &Principal) -> Vec<u8> {
    let message = request_without_proof(client);
    let mut framed = (message.len() as u32).to_be_bytes().to_vec();
    framed.extend_from_slice(&message);
    framed
}

/// What has come of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// More of it is to come.
    Incomplete,
    /// All of it, and the time in it, in seconds since 1970: where an account needs no
    /// pre-authentication, the answer is a ticket and tells none.
    Whole(Option<i64>),
    /// No message of a key distribution centre.
    Nonsense,
}

/// Reads an answer as far as it has come.
pub(crate) fn answer(bytes: &[u8]) -> Answer {
    let Some((frame, rest)) = bytes.split_first_chunk::<FRAME_LEN>() else {
        return Answer::Incomplete;
    };
    let len = u32::from_be_bytes(*frame) as usize;
    if len == 0 || len > MAX_ANSWER {
        return Answer::Nonsense;
    }
    match rest.get(..len) {
        None => Answer::Incomplete,
        Some(message) if is_answer(message) => Answer::Whole(error_time(message)),
        Some(_) => Answer::Nonsense,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_read_once_all_of_the_answer_is_there() {
        // By hand from RFC 4120 5.9.1: version, type, stime, susec, error-code 25.
        let error = [
            &[0x7e, 0x29, 0x30, 0x27, 0xa0, 3, 2, 1, 5, 0xa1, 3, 2, 1, 30, 0xa4, 17, 0x18, 15][..],
            b"20231114221320Z",
            &[0xa5, 3, 2, 1, 0, 0xa6, 3, 2, 1, 25],
        ]
        .concat();
        let mut framed = (error.len() as u32).to_be_bytes().to_vec();
        framed.extend_from_slice(&error);
        for len in 0..framed.len() {
            assert_eq!(answer(&framed[..len]), Answer::Incomplete, "{len} bytes");
        }
        assert_eq!(answer(&framed), Answer::Whole(Some(1_700_000_000)));
        // The ticket of an account that needs no pre-authentication (RFC 4120 5.4.2).
        assert_eq!(answer(&[0, 0, 0, 2, 0x6b, 0]), Answer::Whole(None));
        assert_eq!(answer(&[0, 0, 0, 2, 0x30, 0]), Answer::Nonsense);
        // Longer than anybody says.
        framed[0] = 1;
        assert_eq!(answer(&framed), Answer::Nonsense);
    }
}
