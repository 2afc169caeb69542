//! What a sealed connection can't cost less than: RC4 and HMAC-MD5 over as many bytes as are asked for,
//! fragment by fragment, with the crates that the client uses. `cargo xtask bench fleet` runs it.

use std::hint::black_box;

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use rc4::{Rc4, StreamCipher};

/// The sealed bytes of a fragment of the usual size: 5,840 bytes with headers, padding and signature.
const FRAGMENT: usize = 5_760;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut left: usize = std::env::args().nth(1).ok_or("how many bytes?")?.parse()?;
    let mut fragment = vec![0; FRAGMENT];
    let key = [7; 16];
    let mut cipher = Rc4::new_from_slice(&key)?;
    while left > 0 {
        let part = &mut fragment[..left.min(FRAGMENT)];
        cipher.apply_keystream(part);
        let mut signature = Hmac::<Md5>::new_from_slice(&key)?;
        signature.update(part);
        black_box(signature.finalize());
        left -= part.len();
    }
    Ok(())
}
