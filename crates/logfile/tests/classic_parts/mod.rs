//! Classic records to test with, put together by MS-EVEN 2.2.3's table.
#![allow(dead_code)] // Each test uses a part of it.

use proptest::prelude::*;

/// What a record is made of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts {
    pub(crate) number: u32,
    pub(crate) generated: u32,
    pub(crate) written: u32,
    pub(crate) id: u32,
    pub(crate) kind: u16,
    pub(crate) category: u16,
    pub(crate) source: String,
    pub(crate) computer: String,
    pub(crate) sid: Vec<u8>,
    pub(crate) strings: Vec<String>,
    pub(crate) data: Vec<u8>,
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

impl Parts {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut tail = [utf16(&self.source), utf16(&self.computer)].concat();
        let pad = |bytes: &mut Vec<u8>| bytes.resize(bytes.len().next_multiple_of(4), 0);
        pad(&mut tail);
        let sid_at = 56 + tail.len();
        tail.extend_from_slice(&self.sid);
        let strings_at = 56 + tail.len();
        self.strings.iter().for_each(|string| tail.extend(utf16(string)));
        let data_at = 56 + tail.len();
        tail.extend_from_slice(&self.data);
        pad(&mut tail);
        let len = (56 + tail.len() + 4) as u32;
        let mut bytes = Vec::new();
        let mut long = |value: u32| bytes.extend_from_slice(&value.to_le_bytes());
        for value in [len, 0x654c_664c, self.number, self.generated, self.written, self.id] {
            long(value);
        }
        long(u32::from(self.kind) | (self.strings.len() as u32) << 16);
        for value in [self.category.into(), 0, strings_at as u32] {
            long(value);
        }
        for value in [self.sid.len(), sid_at, self.data.len(), data_at] {
            long(value as u32);
        }
        bytes.extend(tail);
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes
    }
}

pub(crate) fn parts() -> impl Strategy<Value = Parts> {
    let text = "[^\0]{0,12}";
    (
        any::<(u32, u32, u32, u32, u16)>(),
        prop::sample::select(vec![0u16, 1, 2, 4, 8, 16, 3, 32]),
        (text, text),
        prop::option::of((0u8..16, any::<[u8; 6]>(), any::<[u32; 15]>())),
        prop::collection::vec(text, 0..5),
        prop::collection::vec(any::<u8>(), 0..20),
    )
        .prop_map(|(numbers, kind, (source, computer), sid, strings, data)| {
            let (number, generated, written, id, category) = numbers;
            let sid = sid.map_or(Vec::new(), |(count, authority, subs)| {
                let mut sid = vec![1, count];
                sid.extend(authority);
                let subs = &subs[..usize::from(count)];
                sid.extend(subs.iter().flat_map(|sub| sub.to_le_bytes()));
                sid
            });
            Parts {
                number,
                generated,
                written,
                id,
                kind,
                category,
                source,
                computer,
                sid,
                strings,
                data,
            }
        })
}
