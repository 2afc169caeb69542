//! What time a key distribution centre has: when the clocks differ by too much, it
//! says no more than that, but every refusal of its carries the time (RFC 4120
//! 5.9.1). So it is asked for a ticket without pre-authentication, which it refuses
//! and counts as no attempt.

use super::messages::{Principal, error_time, request_without_proof};

/// Length of what is before each message on TCP (RFC 4120 7.2.2).
const FRAME_LEN: usize = 4;
/// Longest answer that is read, in bytes.
pub(crate) const MAX_ANSWER: usize = 64 * 1024;

/// The question, as it goes over TCP.
pub(crate) fn question(client: &Principal) -> Vec<u8> {
    let message = request_without_proof(client);
    let mut framed = (message.len() as u32).to_be_bytes().to_vec();
    framed.extend_from_slice(&message);
    framed
}

/// The seconds since 1970 out of an answer; `None` also where more of it is to come.
pub(crate) fn answer(bytes: &[u8]) -> Option<i64> {
    let (frame, rest) = bytes.split_first_chunk::<FRAME_LEN>()?;
    let len = u32::from_be_bytes(*frame) as usize;
    error_time(rest.get(..len).filter(|_| len <= MAX_ANSWER)?)
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
            assert_eq!(answer(&framed[..len]), None, "{len} bytes");
        }
        assert_eq!(answer(&framed), Some(1_700_000_000));
        // Longer than anybody says.
        framed[0] = 1;
        framed.resize(1 << 25, 0);
        assert_eq!(answer(&framed), None);
    }
}
