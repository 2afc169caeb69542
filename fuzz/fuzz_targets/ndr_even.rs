//! Stubs of MS-EVEN's operations: the first byte is the operation, the second the
//! direction. What decodes is encoded again and must then be stable.
#![no_main]

use libfuzzer_sys::fuzz_target;
use quarry_even::even::{Opnum, reencode};
use quarry_even::wire::Direction;

fuzz_target!(|data: &[u8]| {
    let [number, direction, stub @ ..] = data else { return };
    let Some(opnum) = Opnum::from_number(u16::from(*number)) else { return };
    let direction = if direction % 2 == 0 { Direction::Request } else { Direction::Response };
    if let Some(Ok(once)) = reencode(opnum, direction, stub) {
        assert_eq!(reencode(opnum, direction, &once), Some(Ok(once)));
    }
});
