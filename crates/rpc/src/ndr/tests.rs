use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::error::{NdrError, UsageError};

#[test]
fn primitives_are_aligned_to_their_size_from_the_stubs_start() {
    let mut w = NdrWriter::new();
    w.u8(1);
    w.u16(0x0203);
    w.u8(4);
    w.u32(0x0506_0708);
    w.u8(9);
    w.u64(0x0a0b_0c0d_0e0f_1011);
    let expected = [
        1, 0, 3, 2, 4, 0, 0, 0, 8, 7, 6, 5, 9, 0, 0, 0, 0x11, 0x10, 0x0f, 0x0e, 0x0d, 0x0c, 0x0b,
        0x0a,
    ];
    let stub = w.into_stub();
    assert_eq!(stub, expected);
    let mut r = NdrReader::new(&stub);
    assert_eq!(r.u8(), Ok(1));
    assert_eq!(r.u16(), Ok(0x0203));
    assert_eq!(r.u8(), Ok(4));
    assert_eq!(r.u32(), Ok(0x0506_0708));
    assert_eq!(r.u8(), Ok(9));
    assert_eq!(r.u64(), Ok(0x0a0b_0c0d_0e0f_1011));
    assert_eq!(r.left(), 0);
}

#[test]
fn a_string_has_its_three_counts_and_its_terminator() {
    // C706 14.3.4.2: max count, offset, actual count, then the characters.
    let expected = [3, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, b'o', 0, b'k', 0, 0, 0];
    let mut w = NdrWriter::new();
    w.wide_string("text", &"ok".into(), 1..=10).unwrap();
    assert_eq!(w.into_stub(), expected);
    assert_eq!(NdrReader::new(&expected).wide_string("text", 1..=10).unwrap(), "ok");
}

#[test]
fn counts_are_checked_against_the_definition_before_the_bytes() {
    let stub = 5000u32.to_le_bytes();
    let error = NdrReader::new(&stub).count("records", 0..=1024, 1).unwrap_err();
    assert_eq!(error, NdrError::Range { what: "records", count: 5000, min: 0, max: 1024 });
    let stub = 1000u32.to_le_bytes();
    let error = NdrReader::new(&stub).count("records", 0..=1024, 4).unwrap_err();
    assert_eq!(error, NdrError::Truncated { wanted: 4000, at: 4, left: 0 });
}

#[test]
fn malformed_strings_are_refused() {
    let string = |max: u32, offset: u32, actual: u32, units: &[u16]| {
        let mut stub = Vec::new();
        [max, offset, actual].iter().for_each(|n| stub.extend(n.to_le_bytes()));
        units.iter().for_each(|unit| stub.extend(unit.to_le_bytes()));
        NdrReader::new(&stub).wide_string("text", 0..=8)
    };
    assert!(string(2, 0, 2, &[65, 0]).is_ok());
    assert!(string(5, 0, 2, &[65, 0]).is_ok(), "a longer maximum is lawful");
    assert_eq!(string(2, 0, 2, &[65, 66]), Err(NdrError::BadString("text")));
    assert_eq!(string(3, 0, 3, &[65, 0, 0]), Err(NdrError::BadString("text")));
    assert_eq!(string(0, 0, 0, &[]), Err(NdrError::BadString("text")));
    assert!(matches!(string(2, 1, 2, &[65, 0]), Err(NdrError::BadValue { .. })));
    assert!(matches!(string(1, 0, 2, &[65, 0]), Err(NdrError::Disagree { .. })));
    assert!(matches!(string(9, 0, 2, &[65, 0]), Err(NdrError::Range { .. })));
    assert!(matches!(string(2, 0, 2, &[65]), Err(NdrError::Truncated { .. })));
}

#[test]
fn what_the_definition_forbids_is_not_written() {
    let mut w = NdrWriter::new();
    let long: WideString = "x".repeat(512).into();
    assert!(matches!(w.wide_string("name", &long, 0..=512), Err(UsageError::Range { .. })));
    let nul = WideString::from_units(vec![65, 0, 66]);
    assert_eq!(w.wide_string("name", &nul, 0..=512), Err(UsageError::NulInString("name")));
    assert!(w.count("records", 1025, 0..=1024).is_err());
    assert_eq!(w.offset(), 0, "nothing was written for any of them");
}

#[test]
fn nesting_and_pointers_have_limits() {
    fn dive(r: &mut NdrReader<'_>, depth: &mut u32) -> Result<(), NdrError> {
        *depth += 1;
        r.nested(|r| dive(r, depth))
    }
    let mut depth = 0;
    let error = dive(&mut NdrReader::new(&[]), &mut depth).unwrap_err();
    assert!(matches!(error, NdrError::TooMany { what: "nested types", .. }));
    assert_eq!(depth, crate::limits::MAX_NDR_DEPTH + 1);

    let stub = vec![1; 4 * (crate::limits::MAX_NDR_REFERENTS as usize + 1)];
    let mut r = NdrReader::new(&stub);
    let error = loop {
        if let Err(error) = r.pointer() {
            break error;
        }
    };
    assert!(matches!(error, NdrError::TooMany { what: "pointers", .. }));
}

proptest! {
    #[test]
    fn strings_of_any_units_survive_a_round_trip(
        units in prop::collection::vec(1u16.., 0..40), before in 0usize..9,
    ) {
        let text = WideString::from_units(units);
        let mut w = NdrWriter::new();
        w.bytes(&vec![0xcc; before]);
        w.unique_wide_string("text", Some(&text), 0..=64).unwrap();
        w.unique_wide_string("text", None, 0..=64).unwrap();
        w.context_handle(&ContextHandle { attributes: 0, uuid: Uuid::from_u128(7) });
        let stub = w.into_stub();
        let mut r = NdrReader::new(&stub);
        r.bytes(before).unwrap();
        prop_assert_eq!(r.unique_wide_string("text", 0..=64).unwrap(), Some(text));
        prop_assert_eq!(r.unique_wide_string("text", 0..=64).unwrap(), None);
        prop_assert_eq!(r.context_handle().unwrap().uuid, Uuid::from_u128(7));
        prop_assert_eq!(r.left(), 0);
    }

    #[test]
    fn any_bytes_are_a_value_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..64), ops: [u8; 12]) {
        let mut r = NdrReader::new(&bytes);
        for op in ops {
            let _ = match op % 9 {
                0 => r.u8().map(drop),
                1 => r.u16().map(drop),
                2 => r.u32().map(drop),
                3 => r.u64().map(drop),
                4 => r.uuid().map(drop),
                5 => r.wide_string("x", 0..=u32::MAX).map(drop),
                6 => r.count("x", 0..=u32::MAX, 1).and_then(|n| r.bytes(n).map(drop)),
                7 => r.unique_wide_string("x", 1..=100).map(drop),
                _ => r.count("x", 0..=u32::MAX, 4).and_then(|n| r.u32_array(n).map(drop)),
            };
            prop_assert!(r.offset() <= bytes.len());
        }
    }
}
