//! Bytes that are changed at random.

use fastrand::Rng;

/// Changes bytes in one to three places. `max` is the most that they may grow to.
pub(crate) fn mutate(random: &mut Rng, bytes: &mut Vec<u8>, max: usize) {
    for _ in 0..1 + random.usize(..3) {
        mutate_once(random, bytes);
    }
    bytes.truncate(max);
}

fn mutate_once(random: &mut Rng, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return bytes.extend(random.u64(..).to_le_bytes());
    }
    let at = place(random, bytes.len());
    let number = value(random, bytes.len());
    match random.usize(..12) {
        0 | 1 => bytes[at] ^= 1 << random.usize(..8),
        2 => bytes[at] = random.u8(..),
        3 => put(bytes, at & !1, &(number as u16).to_le_bytes()),
        4 | 5 => put(bytes, at & !3, &(number as u32).to_le_bytes()),
        6 => put(bytes, at & !7, &number.to_le_bytes()),
        // A length or count that is a little off.
        7 => {
            let at = at & !3;
            if let Some(long) = bytes.get_mut(at..at + 4).and_then(|b| b.first_chunk_mut::<4>()) {
                let off = (random.usize(..17) as u32).wrapping_sub(8);
                *long = u32::from_le_bytes(*long).wrapping_add(off).to_le_bytes();
            }
        }
        8 => bytes.truncate(at),
        9 => {
            let end = (at + 1 + random.usize(..64)).min(bytes.len());
            bytes.drain(at..end);
        }
        10 => {
            let end = (at + 1 + random.usize(..64)).min(bytes.len());
            let again = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
        _ => {
            let new: Vec<u8> = (0..1 + random.usize(..24)).map(|_| random.u8(..)).collect();
            bytes.splice(at..at, new);
        }
    }
}

/// Often near the beginning, where lengths and counts are.
fn place(random: &mut Rng, len: usize) -> usize {
    if random.usize(..2) == 0 { random.usize(..len.min(96)) } else { random.usize(..len) }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

/// Numbers at which limits are.
fn value(random: &mut Rng, len: usize) -> u64 {
    let len = len as u64;
    let interesting = [
        0,
        1,
        2,
        7,
        0x10,
        0x7f,
        0xff,
        0x400,
        0x401,
        0x7fff,
        0xffff,
        0x1f_ffff,
        0x20_0000,
        0x20_0001,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_fffe,
        0xffff_ffff,
        u64::MAX,
        len,
        len - 1,
        len + 1,
        len / 4,
    ];
    match random.usize(..interesting.len() + 2) {
        n if n < interesting.len() => interesting[n],
        _ => random.u64(..),
    }
}
