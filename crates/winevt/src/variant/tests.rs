//! Buffers as the SDK's headers lay them out, built by hand, at an address of another process.

use super::*;
use proptest::prelude::*;

/// Where the buffers are said to lie.
const ADDRESS: u64 = 0x7ff6_1234_5000;

/// Builds a buffer: structures first, then what they point to.
struct Layout {
    pointer: u8,
    variants: Vec<(Union, u32, u32)>,
}

enum Union {
    /// The union's bytes.
    Inline([u8; 8]),
    /// A pointer to bytes after the structures.
    To(Vec<u8>),
    /// A pointer to pointers to bytes.
    ToMany(Vec<Vec<u8>>),
    /// A pointer as it is.
    Wild(u64),
}

impl Layout {
    fn new(pointer: u8) -> Self {
        Layout { pointer, variants: Vec::new() }
    }

    fn with(mut self, union: Union, count: u32, kind: u32) -> Self {
        self.variants.push((union, count, kind));
        self
    }

    fn build(&self) -> Vec<u8> {
        let pointer_len = usize::from(self.pointer);
        let mut bytes = vec![0; self.variants.len() * 16];
        let mut unions = Vec::new();
        for (union, ..) in &self.variants {
            let to = |bytes: &Vec<u8>| (ADDRESS + bytes.len() as u64).to_le_bytes();
            unions.push(match union {
                Union::Inline(value) => *value,
                Union::Wild(pointer) => pointer.to_le_bytes(),
                Union::To(data) => {
                    let pointer = to(&bytes);
                    bytes.extend_from_slice(data);
                    pointer
                }
                Union::ToMany(each) => {
                    let mut pointers = Vec::new();
                    for data in each {
                        pointers.extend_from_slice(&to(&bytes)[..pointer_len]);
                        bytes.extend_from_slice(data);
                    }
                    let pointer = to(&bytes);
                    bytes.extend_from_slice(&pointers);
                    pointer
                }
            });
        }
        for (n, ((_, count, kind), union)) in self.variants.iter().zip(unions).enumerate() {
            let at = n * 16;
            // A pointer of 4 bytes leaves the others of the union as they were.
            let is_pointer = !matches!(self.variants[n].0, Union::Inline(_));
            let len = if is_pointer { pointer_len } else { 8 };
            bytes[at..at + 8].fill(0xcc);
            bytes[at..at + len].copy_from_slice(&union[..len]);
            bytes[at + 8..at + 12].copy_from_slice(&count.to_le_bytes());
            bytes[at + 12..at + 16].copy_from_slice(&kind.to_le_bytes());
        }
        bytes
    }

    /// The texts of the values.
    fn texts(&self) -> Vec<String> {
        let bytes = self.build();
        let pointer = NonZeroU8::new(self.pointer).unwrap();
        // Pointers of 4 bytes are of a process that has such addresses.
        let address = if self.pointer == 4 { ADDRESS & 0xffff_ffff } else { ADDRESS };
        let values = Values::with_pointers(&bytes, address, self.variants.len(), pointer);
        values.iter().map(text).collect()
    }
}

fn text(variant: Variant<'_>) -> String {
    match variant {
        Variant::Value(Value::Null) => "NULL".to_owned(),
        Variant::Value(value) => value.to_string(),
        Variant::Array(array) => {
            let texts: Vec<String> = array.iter().map(|value| value.to_string()).collect();
            format!("[{}]", texts.join(","))
        }
        Variant::Unreadable => "unreadable".to_owned(),
    }
}

fn number(value: u64) -> Union {
    Union::Inline(value.to_le_bytes())
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

/// `S-1-5-18`, and {01020304-0506-0708-090a-0b0c0d0e0f10}.
const SYSTEM: [u8; 12] = [1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];
const GUID: [u8; 16] = [4, 3, 2, 1, 6, 5, 8, 7, 9, 10, 11, 12, 13, 14, 15, 16];
/// 2026-08-22 (a Saturday) 10:00:00.123.
const SYSTEMTIME: [u8; 16] = [0xea, 7, 8, 0, 6, 0, 22, 0, 10, 0, 0, 0, 0, 0, 123, 0];

#[test]
fn each_type_is_read_as_the_headers_define_it() {
    for pointer in [4, 8] {
        let layout = Layout::new(pointer)
            .with(number(0), 0, 0)
            .with(Union::To(wide("Straße")), 6, 1)
            .with(Union::To(b"caf\xe9\0".to_vec()), 0, 2)
            .with(number(0xfe), 0, 3)
            .with(number(0xfe), 0, 4)
            .with(number(0xfffe), 0, 5)
            .with(number(0xfffe), 0, 6)
            .with(number(0xffff_fffe), 0, 7)
            .with(number(0xffff_fffe), 0, 8)
            .with(number(u64::MAX), 0, 9)
            .with(number(u64::MAX), 0, 10)
            .with(number(0.5f32.to_bits().into()), 0, 11)
            .with(number((-0.25f64).to_bits()), 0, 12)
            .with(number(1), 0, 13)
            .with(Union::To(vec![0xab, 0, 1]), 3, 14)
            .with(Union::To(GUID.to_vec()), 0, 15)
            .with(number(0x1f), 0, 16)
            .with(number(116_444_736_000_000_001), 0, 17)
            .with(Union::To(SYSTEMTIME.to_vec()), 0, 18)
            .with(Union::To(SYSTEM.to_vec()), 0, 19)
            .with(number(0x1f), 0, 20)
            .with(number(0x8020_0000_0000_0000), 0, 21)
            .with(number(7), 0, 32)
            .with(Union::To(wide("<a/>")), 0, 35)
            .with(number(7), 0, 99);
        let expected = [
            "NULL",
            "Straße",
            "café",
            "-2",
            "254",
            "-2",
            "65534",
            "-2",
            "4294967294",
            "-1",
            "18446744073709551615",
            "0.5",
            "-0.25",
            "true",
            "AB0001",
            "{01020304-0506-0708-090a-0b0c0d0e0f10}",
            "0x1f",
            "1970-01-01T00:00:00.0000001Z",
            "2026-08-22T10:00:00.1230000Z",
            "S-1-5-18",
            "0x1f",
            "0x8020000000000000",
            "unreadable",
            "<a/>",
            "unreadable",
        ];
        assert_eq!(layout.texts(), expected, "pointers of {pointer} bytes");
    }
}

#[test]
fn arrays_of_each_type_are_read_element_by_element() {
    for pointer in [4, 8] {
        let pair = |a: u64, b: u64, len: usize| {
            Union::To([&a.to_le_bytes()[..len], &b.to_le_bytes()[..len]].concat())
        };
        let twice = |bytes: &[u8]| Union::To([bytes, bytes].concat());
        let layout = Layout::new(pointer)
            .with(Union::ToMany(vec![wide("a"), wide(""), wide("bc")]), 3, 0x81)
            .with(Union::ToMany(vec![b"x\0".to_vec(), b"y\0".to_vec()]), 2, 0x82)
            .with(pair(0xff, 1, 1), 2, 0x83)
            .with(pair(0xff, 1, 1), 2, 0x84)
            .with(pair(0xffff, 1, 2), 2, 0x85)
            .with(pair(0xffff, 1, 2), 2, 0x86)
            .with(pair(0xffff_ffff, 1, 4), 2, 0x87)
            .with(pair(0xffff_ffff, 1, 4), 2, 0x88)
            .with(pair(u64::MAX, 1, 8), 2, 0x89)
            .with(pair(u64::MAX, 1, 8), 2, 0x8a)
            .with(pair(0.5f32.to_bits().into(), 0, 4), 2, 0x8b)
            .with(pair(0.5f64.to_bits(), 0, 8), 2, 0x8c)
            .with(pair(0, 1, 4), 2, 0x8d)
            .with(twice(&GUID), 2, 0x8f)
            .with(pair(0x1f, 1, usize::from(pointer)), 2, 0x90)
            .with(pair(116_444_736_000_000_000, 0, 8), 2, 0x91)
            .with(twice(&SYSTEMTIME), 2, 0x92)
            .with(Union::ToMany(vec![SYSTEM.to_vec()]), 1, 0x93)
            .with(pair(0x1f, 1, 4), 2, 0x94)
            .with(pair(0x1f, 1, 8), 2, 0x95)
            .with(Union::ToMany(vec![wide("<a/>")]), 1, 0xa3)
            .with(Union::Wild(0), 0, 0x81);
        let expected = [
            "[a,,bc]",
            "[x,y]",
            "[-1,1]",
            "[255,1]",
            "[-1,1]",
            "[65535,1]",
            "[-1,1]",
            "[4294967295,1]",
            "[-1,1]",
            "[18446744073709551615,1]",
            "[0.5,0.0]",
            "[0.5,0.0]",
            "[false,true]",
            "[{01020304-0506-0708-090a-0b0c0d0e0f10},{01020304-0506-0708-090a-0b0c0d0e0f10}]",
            "[0x1f,0x1]",
            "[1970-01-01T00:00:00.0000000Z,1601-01-01T00:00:00.0000000Z]",
            "[2026-08-22T10:00:00.1230000Z,2026-08-22T10:00:00.1230000Z]",
            "[S-1-5-18]",
            "[0x1f,0x1]",
            "[0x1f,0x1]",
            "[<a/>]",
            "[]",
        ];
        assert_eq!(layout.texts(), expected, "pointers of {pointer} bytes");
    }
}

#[test]
fn a_pointer_out_of_the_buffer_leads_nowhere() {
    let wild = [0, 1, ADDRESS - 1, ADDRESS + 0x10_0000, u64::MAX];
    for kind in [1, 2, 14, 15, 18, 19, 35, 0x81, 0x86, 0x8f, 0x93] {
        for pointer in wild {
            let texts = Layout::new(8).with(Union::Wild(pointer), 1, kind).texts();
            assert_eq!(texts, ["unreadable"], "type {kind:#x} at {pointer:#x}");
        }
    }
}

#[test]
fn what_does_not_end_in_the_buffer_is_not_read() {
    let unterminated = Union::To(vec![b'a', 0, b'b', 0]);
    assert_eq!(Layout::new(8).with(unterminated, 0, 1).texts(), ["unreadable"]);
    assert_eq!(Layout::new(8).with(Union::To(vec![1, 2]), 3, 14).texts(), ["unreadable"]);
    assert_eq!(Layout::new(8).with(Union::To(vec![0; 15]), 0, 15).texts(), ["unreadable"]);
    assert_eq!(Layout::new(8).with(Union::To(vec![0; 7]), 2, 0x88).texts(), ["unreadable"]);
    assert_eq!(Layout::new(8).with(Union::To(vec![0; 8]), u32::MAX, 0x95).texts(), ["unreadable"]);
    assert_eq!(
        Layout::new(8).with(Union::To(SYSTEM[..11].to_vec()), 0, 19).texts(),
        ["unreadable"]
    );
}

#[test]
fn more_values_than_there_is_room_for_are_not_believed_in() {
    let bytes = Layout::new(8).with(number(7), 0, 8).build();
    let pointer = NonZeroU8::new(8).unwrap();
    let values = Values::with_pointers(&bytes, ADDRESS, usize::MAX, pointer);
    assert_eq!(values.len(), 1);
    assert!(values.value(1).is_null());
}

proptest! {
    #[test]
    fn no_buffer_makes_it_panic_or_read_for_long(
        mut bytes in prop::collection::vec(any::<u8>(), 0..256),
        kinds in prop::collection::vec((any::<u8>(), 0u64..300, 0u32..40), 0..12),
        pointer in prop_oneof![Just(4u8), Just(8u8)],
        count: usize,
    ) {
        for (n, (kind, to, elements)) in kinds.into_iter().enumerate() {
            if let Some(variant) = bytes.get_mut(n * 16..n * 16 + 16) {
                variant[..8].copy_from_slice(&(ADDRESS + to).to_le_bytes());
                variant[8..12].copy_from_slice(&elements.to_le_bytes());
                variant[12..].copy_from_slice(&u32::from(kind).to_le_bytes());
            }
        }
        let pointer = NonZeroU8::new(pointer).unwrap();
        let values = Values::with_pointers(&bytes, ADDRESS, count, pointer);
        let all: usize = values.iter().map(|value| text(value).len()).sum();
        prop_assert!(all < 1 << 20);
    }
}
