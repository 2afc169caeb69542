//! What lies between a server and a client, and changes what the server sends: bytes, and PDUs as
//! a whole.

use std::time::Duration;

use fastrand::Rng;
use quarry_rpc::FrameBuffer;
use quarry_rpc::smb::SmbFrames;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};

use crate::mutate::mutate;

/// Answers that are sent again and again, so that what a client collects would grow.
const FLOOD: usize = 20_000;

/// Cuts what the server says into what it says at a time.
pub(crate) trait Frames {
    /// Where to append what was read.
    fn space(&mut self) -> &mut Vec<u8>;

    /// The next one, whole.
    fn next(&mut self) -> Option<Vec<u8>>;
}

/// PDUs.
impl Frames for FrameBuffer {
    fn space(&mut self) -> &mut Vec<u8> {
        FrameBuffer::space(self)
    }

    fn next(&mut self) -> Option<Vec<u8>> {
        self.next_pdu().map(|pdu| pdu.to_vec())
    }
}

/// Messages, with the length before each.
impl Frames for SmbFrames {
    fn space(&mut self) -> &mut Vec<u8> {
        SmbFrames::space(self)
    }

    fn next(&mut self) -> Option<Vec<u8>> {
        let message = self.next_message().expect("the server keeps the rules")?;
        Some([&(message.len() as u32).to_be_bytes(), &*message].concat())
    }
}

/// Passes on what the client says.
pub(crate) async fn forward(mut read: ReadHalf<DuplexStream>, mut write: WriteHalf<DuplexStream>) {
    let _ = tokio::io::copy(&mut read, &mut write).await;
    let _ = write.shutdown().await;
}

/// Passes on what the server says, up to the PDU `first`; that one and some of those after it are
/// changed. True once one was.
pub(crate) async fn tamper(
    mut frames: impl Frames,
    mut read: ReadHalf<DuplexStream>,
    mut write: WriteHalf<DuplexStream>,
    mut random: Rng,
    first: usize,
    altered: impl Fn(),
) {
    let (mut n, mut kept): (usize, Option<Vec<u8>>) = (0, None);
    let mut earlier: Vec<u8> = Vec::new();
    while read.read_buf(frames.space()).await.is_ok_and(|len| len > 0) {
        while let Some(mut pdu) = frames.next() {
            if n == 0 {
                earlier.clone_from(&pdu);
            }
            n += 1;
            let mut out = Vec::new();
            if n <= first || (n > first + 1 && random.usize(..3) != 0) {
                out.extend(pdu);
                out.extend(kept.take().unwrap_or_default());
            } else {
                altered();
                let ways = if random.usize(..500) == 0 { 18 } else { 17 };
                match random.usize(..ways) {
                    0..=6 => mutate(&mut random, &mut pdu, 70_000),
                    // The header, in particular.
                    7 | 8 => {
                        let at = random.usize(..24.min(pdu.len()));
                        pdu[at] = random.u8(..);
                    }
                    9 => pdu.clear(),
                    10 => pdu.extend_from_within(..),
                    // The end, within a PDU.
                    11 => {
                        pdu.truncate(random.usize(..pdu.len()));
                        let _ = write.write_all(&pdu).await;
                        return drop(write.shutdown().await);
                    }
                    // Nothing more, and no end.
                    12 => {
                        pdu.truncate(random.usize(..pdu.len()));
                        let _ = write.write_all(&pdu).await;
                        return std::future::pending().await;
                    }
                    13 => {
                        let garbage: Vec<u8> =
                            (0..1 + random.usize(..200)).map(|_| random.u8(..)).collect();
                        pdu.splice(0..0, garbage);
                    }
                    // Behind the next.
                    14 => kept = Some(std::mem::take(&mut pdu)),
                    15 => out.extend_from_slice(&earlier),
                    // A byte a second.
                    16 => {
                        for byte in std::mem::take(&mut pdu) {
                            tokio::time::sleep(Duration::from_secs(1)).await;
                            if write.write_all(&[byte]).await.is_err() {
                                return;
                            }
                        }
                    }
                    _ => {
                        // A fragment that is none of the ends, where it is one of several.
                        pdu[3] &= !3;
                        for _ in 0..FLOOD {
                            if write.write_all(&pdu).await.is_err() {
                                return;
                            }
                        }
                    }
                }
                out.extend(pdu);
            }
            if write.write_all(&out).await.is_err() {
                return;
            }
        }
    }
    let _ = write.shutdown().await;
}
