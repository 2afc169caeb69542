//! Answers with counts and lengths that no answer can have.

/// The stub of an answer to QueryNext or RemoteSubscriptionNext, one of several kinds of nonsense.
pub(crate) fn batch(which: u64) -> Vec<u8> {
    const POINTER: u32 = 0x0002_0000;
    let mut longs: Vec<u32> = Vec::new();
    let mut array = |count: u32, values: &[u32]| {
        longs.push(POINTER);
        longs.push(count);
        longs.extend(values);
    };
    let head;
    match which % 4 {
        // Two thousand million records, and nothing of them.
        0 => {
            head = 0x7fff_ffff;
            array(0x7fff_ffff, &[0]);
        }
        // A lawful number of records, in arrays of another length.
        1 => {
            head = 3;
            array(u32::MAX, &[0, 100, 200]);
            array(3, &[100, 100, 100]);
        }
        // A buffer of 4 GiB.
        2 => {
            head = 1;
            array(1, &[0]);
            array(1, &[100]);
            longs.push(u32::MAX);
            longs.extend([POINTER, u32::MAX, 0, 0]);
        }
        // A record far after the buffer's end.
        _ => {
            head = 1;
            array(1, &[0xffff_fff0]);
            array(1, &[0x0010_0000]);
            longs.extend([8, POINTER, 8, 0, 0]);
        }
    }
    longs.push(0);
    std::iter::once(head).chain(longs).flat_map(u32::to_le_bytes).collect()
}
