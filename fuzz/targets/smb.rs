//! Messages of SMB 2, each with its length before it as on TCP: read by themselves, and by a
//! client as the answers to what it asks. Called by fuzz_targets/smb.rs and, with the seeds, by
//! the test crates/rpc/tests/smb_seeds.rs.
#![allow(unreachable_pub)] // For whoever includes it.

use std::ops::Range;

use quarry_rpc::pdu::AuthType;
use quarry_rpc::security::{BadSignature, Initiator, Sealer, Step};
use quarry_rpc::smb::{PipeConfig, PipeHalf, SmbFrames, decode_any_response};

pub fn run(data: &[u8]) {
    let mut frames = SmbFrames::default();
    frames.space().extend_from_slice(data);
    let config = PipeConfig::new("fuzz", "eventlog");
    let mut half = PipeHalf::new(config, Box::new(Anybody(false))).expect("it can begin");
    let mut alive = true;
    while let Ok(Some(message)) = frames.next_message() {
        let _ = decode_any_response(message);
        if alive {
            alive = half.receive(message).is_ok();
            half.output().clear();
            // Nobody has the session's key but the two sides.
            assert!(!half.is_open());
        }
    }
}

/// Signs in by any token at all.
struct Anybody(bool);

impl Initiator for Anybody {
    fn auth_type(&self) -> AuthType {
        AuthType::NEGOTIATE
    }

    fn step(&mut self, token: Option<&[u8]>) -> Result<Step, quarry_rpc::Error> {
        Ok(match token {
            None => Step::Continue(vec![1]),
            Some([]) => Step::Continue(vec![2]),
            Some(_) => {
                self.0 = true;
                Step::Done { token: None, session: Box::new(Nothing), proven: false }
            }
        })
    }

    fn session_key(&self) -> Option<zeroize::Zeroizing<Vec<u8>>> {
        self.0.then(|| zeroize::Zeroizing::new(vec![0x5a; 16]))
    }
}

struct Nothing;

impl Sealer for Nothing {
    fn signature_len(&self) -> usize {
        0
    }
    fn seal(&mut self, _: &mut [u8], _: Range<usize>, _: &mut [u8]) {}
    fn unseal(&mut self, _: &mut [u8], _: Range<usize>, _: &[u8]) -> Result<(), BadSignature> {
        Ok(())
    }
}
