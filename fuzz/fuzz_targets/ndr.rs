//! Stubs of any operation: the first byte is the operation, the second the
//! direction. What decodes is encoded again and must then be stable.
#![no_main]

use libfuzzer_sys::fuzz_target;
use quarry_even::Opnum;
use quarry_even::wire::{Direction, reencode};
use quarry_rpc::Error;

fuzz_target!(|data: &[u8]| {
    let [number, direction, stub @ ..] = data else { return };
    let Some(opnum) = Opnum::from_number(u16::from(*number) % 29) else { return };
    let direction = if direction % 2 == 0 { Direction::Request } else { Direction::Response };
    match reencode(opnum, direction, stub) {
        Ok(once) => assert_eq!(reencode(opnum, direction, &once).as_ref(), Ok(&once)),
        // A failed call's batch may decode although its counts say nonsense.
        Err(Error::Stub(_) | Error::Usage(_)) => {}
        Err(error) => panic!("{error:?}"),
    }
});
