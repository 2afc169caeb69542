//! Random numbers, the same for the same seed, and bytes that are changed with them.

/// SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below a limit, which is above 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// Once in so many times.
    pub(crate) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// Changes bytes in one to three places. `max` is the most that they may grow to.
pub(crate) fn mutate(random: &mut Random, bytes: &mut Vec<u8>, max: usize) {
    for _ in 0..1 + random.below(3) {
        mutate_once(random, bytes);
    }
    bytes.truncate(max);
}

fn mutate_once(random: &mut Random, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return bytes.extend(random.next().to_le_bytes());
    }
    let at = place(random, bytes.len());
    let number = value(random, bytes.len());
    match random.below(12) {
        0 | 1 => bytes[at] ^= 1 << random.below(8),
        2 => bytes[at] = random.next() as u8,
        3 => put(bytes, at & !1, &(number as u16).to_le_bytes()),
        4 | 5 => put(bytes, at & !3, &(number as u32).to_le_bytes()),
        6 => put(bytes, at & !7, &number.to_le_bytes()),
        // A length or count that is a little off.
        7 => {
            let at = at & !3;
            if let Some(long) = bytes.get_mut(at..at + 4).and_then(|b| b.first_chunk_mut::<4>()) {
                let off = (random.below(17) as u32).wrapping_sub(8);
                *long = u32::from_le_bytes(*long).wrapping_add(off).to_le_bytes();
            }
        }
        8 => bytes.truncate(at),
        9 => {
            let end = (at + 1 + random.below(64)).min(bytes.len());
            bytes.drain(at..end);
        }
        10 => {
            let end = (at + 1 + random.below(64)).min(bytes.len());
            let again = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
        _ => {
            let new: Vec<u8> = (0..1 + random.below(24)).map(|_| random.next() as u8).collect();
            bytes.splice(at..at, new);
        }
    }
}

/// Often near the beginning, where lengths and counts are.
fn place(random: &mut Random, len: usize) -> usize {
    if random.one_in(2) { random.below(len.min(96)) } else { random.below(len) }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

/// Numbers at which limits are.
fn value(random: &mut Random, len: usize) -> u64 {
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
    match random.below(interesting.len() + 2) {
        n if n < interesting.len() => interesting[n],
        _ => random.next(),
    }
}
