//! That no copy of a password is left in this process's memory once it has signed in: neither as
//! it was given, nor in UTF-16, which NTLM hashes.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use quarry_cred::{Credential, Secret};
use quarry_rpc::security::{
    AcceptStep, Acceptor, Accounts, Initiator, NegotiateAcceptor, NegotiateInitiator, NtHash,
    NtlmAcceptor, NtlmInitiator, NtlmTarget, Step,
};

/// The password, so that it is nowhere in memory by itself: each byte is one more.
const HIDDEN: &[u8] = b"Dbssz!uif!mbnq!up!uif!sppg!pg!uif!rvbssz!cz!njeojhiu";

fn password() -> Secret {
    let mut text = String::with_capacity(HIDDEN.len());
    text.extend(HIDDEN.iter().map(|byte| char::from(byte - 1)));
    Secret::new(text).unwrap()
}

/// How often the password's middle part lies in writable memory, at one byte or two a character.
/// The allocator writes over the beginning of what is freed.
fn copies(stride: usize) -> usize {
    let part = &HIDDEN[20..40];
    let is_here = |bytes: &[u8]| {
        part.iter().enumerate().all(|(n, byte)| {
            let character = &bytes[n * stride..(n + 1) * stride];
            character[0] == byte - 1 && character[1..].iter().all(|byte| *byte == 0)
        })
    };
    let memory = File::open("/proc/self/mem").unwrap();
    let mut bytes = vec![0; 1 << 16];
    // What is read lies in memory too.
    let own = bytes.as_ptr() as u64..bytes.as_ptr() as u64 + bytes.len() as u64;
    let mut found = 0;
    for line in BufReader::new(File::open("/proc/self/maps").unwrap()).lines() {
        let line = line.unwrap();
        let mut words = line.split_whitespace();
        let (range, rights) = (words.next().unwrap(), words.next().unwrap());
        if !rights.starts_with("rw") {
            continue;
        }
        let (start, end) = range.split_once('-').unwrap();
        let number = |text| u64::from_str_radix(text, 16).unwrap();
        let (mut at, end) = (number(start), number(end));
        let overlap = part.len() * stride - 1;
        while at < end {
            let wanted = bytes.len().min((end - at) as usize);
            let Ok(read) = memory.read_at(&mut bytes[..wanted], at) else { break };
            let windows = bytes[..read].windows(part.len() * stride).enumerate();
            let matches = windows.filter(|(_, bytes)| is_here(bytes));
            found += matches.filter(|(n, _)| !own.contains(&(at + *n as u64))).count();
            if read <= overlap || at + read as u64 == end {
                break;
            }
            at += (read - overlap) as u64;
        }
    }
    found
}

struct Alice(NtHash);

impl Accounts for Alice {
    fn nt_hash(&self, _: &str, _: &str) -> Option<NtHash> {
        Some(self.0.clone())
    }
}

/// Both sides of a handshake, until the client's is over.
fn sign_in(negotiate: bool) {
    let password = password();
    let accounts = Arc::new(Alice(NtHash::of_password(password.expose())));
    let target = Arc::new(NtlmTarget {
        netbios_domain: "LAB".into(),
        netbios_computer: "SIM".into(),
        dns_domain: "lab.test".into(),
        dns_computer: "sim.lab.test".into(),
    });
    let ntlm = NtlmAcceptor::new(target, accounts);
    let credential = Credential::new("alice".parse().unwrap(), password);
    let (mut initiator, mut acceptor): (Box<dyn Initiator>, Box<dyn Acceptor>) = match negotiate {
        true => (
            Box::new(NegotiateInitiator::new(&credential).unwrap()),
            Box::new(NegotiateAcceptor::new(ntlm)),
        ),
        false => (Box::new(NtlmInitiator::new(&credential)), Box::new(ntlm)),
    };
    let mut token = None;
    while let Step::Continue(leg) = initiator.step(token.as_deref()).unwrap() {
        token = match acceptor.step(&leg).unwrap() {
            AcceptStep::Continue(answer) => Some(answer),
            AcceptStep::Done { token, .. } => token,
        };
    }
}

#[test]
fn a_password_leaves_no_copy_in_memory() {
    let held = password();
    assert_eq!(copies(1), 1, "the search finds one that is there");
    drop(held);
    for negotiate in [false, true, false, true] {
        sign_in(negotiate);
        assert_eq!((copies(1), copies(2)), (0, 0), "negotiate: {negotiate}");
    }
}
