//! The verification trailer (MS-RPCE 2.2.2.13): what a client that does not
//! trust header signing repeats of the header at the end of the stub.

use uuid::Uuid;

use crate::pdu::PduType;
use crate::syntax::{NDR, SyntaxId};

const MAGIC: [u8; 8] = [0x8a, 0xe3, 0x13, 0x71, 0x02, 0xf4, 0x36, 0x71];
const END: u16 = 0x4000;
const MUST_PROCESS: u16 = 0x8000;
const BITMASK_1: u16 = 1;
const PCONTEXT: u16 = 2;
const HEADER_2: u16 = 3;
/// Magic, and all three commands with their headers.
const MAX_LEN: usize = 8 + (4 + 4) + (4 + 40) + (4 + 16);

/// What the header said.
pub(crate) struct Expected {
    pub(crate) interface: SyntaxId,
    pub(crate) call_id: u32,
    pub(crate) context_id: u16,
    pub(crate) opnum: u16,
}

/// Cuts a verification trailer off, if there is one, after comparing it.
pub(crate) fn check_and_strip(stub: &mut Vec<u8>, expected: &Expected) -> Result<(), &'static str> {
    let first = stub.len().saturating_sub(MAX_LEN).next_multiple_of(4);
    let at = (first..stub.len()).step_by(4).find(|at| stub[*at..].starts_with(&MAGIC));
    let Some(at) = at else { return Ok(()) };
    // Bytes that look like the magic may be part of the stub: it is a trailer
    // only when its commands end where the stub ends.
    let Some(commands) = commands(&stub[at + MAGIC.len()..]) else { return Ok(()) };
    for (command, value) in commands {
        match command & !(END | MUST_PROCESS) {
            BITMASK_1 => {}
            PCONTEXT => check_context(value, expected)?,
            HEADER_2 => check_header(value, expected)?,
            _ if command & MUST_PROCESS != 0 => return Err("command"),
            _ => {}
        }
    }
    stub.truncate(at);
    Ok(())
}

fn commands(mut rest: &[u8]) -> Option<Vec<(u16, &[u8])>> {
    let mut found = Vec::new();
    loop {
        let (head, after) = rest.split_first_chunk::<4>()?;
        let command = u16::from_le_bytes([head[0], head[1]]);
        let len = u16::from_le_bytes([head[2], head[3]]);
        let (value, after) = after.split_at_checked(len.into())?;
        found.push((command, value));
        rest = after;
        if command & END != 0 {
            return rest.is_empty().then_some(found);
        }
    }
}

fn check_context(value: &[u8], expected: &Expected) -> Result<(), &'static str> {
    let syntax = |bytes: &[u8]| {
        let (uuid, version) = bytes.split_first_chunk::<16>()?;
        let major = u16::from_le_bytes([*version.first()?, *version.get(1)?]);
        let minor = u16::from_le_bytes([*version.get(2)?, *version.get(3)?]);
        Some(SyntaxId { uuid: Uuid::from_bytes_le(*uuid), major, minor })
    };
    let (interface, transfer) = value.split_at_checked(20).ok_or("pcontext")?;
    let interface = syntax(interface).ok_or("pcontext")?;
    // A client may ask for an older minor version.
    if !expected.interface.serves(&interface) || syntax(transfer) != Some(NDR) {
        return Err("pcontext");
    }
    Ok(())
}

fn check_header(value: &[u8], expected: &Expected) -> Result<(), &'static str> {
    let mut header = [0; 16];
    header[0] = PduType::Request as u8;
    header[4] = 0x10;
    header[8..12].copy_from_slice(&expected.call_id.to_le_bytes());
    header[12..14].copy_from_slice(&expected.context_id.to_le_bytes());
    header[14..].copy_from_slice(&expected.opnum.to_le_bytes());
    if value == header { Ok(()) } else { Err("header2") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::ENDPOINT_MAPPER;

    const EXPECTED: Expected =
        Expected { interface: ENDPOINT_MAPPER, call_id: 2, context_id: 1, opnum: 3 };

    fn trailer(opnum: u8) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([1, 0, 4, 0, 1, 0, 0, 0]);
        bytes.extend([2, 0x80, 40, 0]);
        for syntax in [ENDPOINT_MAPPER, NDR] {
            bytes.extend(syntax.uuid.to_bytes_le());
            bytes.extend([syntax.major as u8, 0, 0, 0]);
        }
        bytes.extend([3, 0xc0, 16, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 2, 0, 0, 0, 1, 0, opnum, 0]);
        bytes
    }

    #[test]
    fn a_right_trailer_is_cut_off_and_a_wrong_one_refused() {
        let mut stub = [vec![7; 12], trailer(3)].concat();
        assert_eq!(check_and_strip(&mut stub, &EXPECTED), Ok(()));
        assert_eq!(stub, [7; 12]);
        let mut stub = [vec![7; 12], trailer(4)].concat();
        assert_eq!(check_and_strip(&mut stub, &EXPECTED), Err("header2"));
    }

    #[test]
    fn a_stub_that_only_contains_the_magic_is_left_alone() {
        for tail in [&b""[..], b"abcd", &[1, 0, 4, 0, 1, 0, 0, 0]] {
            let before = [&[7; 12], &MAGIC[..], tail].concat();
            let mut stub = before.clone();
            assert_eq!(check_and_strip(&mut stub, &EXPECTED), Ok(()));
            assert_eq!(stub, before);
        }
    }
}
