//! The two hexadecimal digits of each byte.

pub(crate) const LOWER: [[u8; 2]; 256] = table(b"0123456789abcdef");
pub(crate) const UPPER: [[u8; 2]; 256] = table(b"0123456789ABCDEF");

const fn table(digits: &[u8; 16]) -> [[u8; 2]; 256] {
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    table
}
