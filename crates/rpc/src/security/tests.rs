//! Our acceptors against the initiators that stand on `sspi`.

use std::sync::Arc;

use quarry_cred::{Credential, Secret};

use super::*;
use crate::error::SecurityError;

struct OneAccount;

impl Accounts for OneAccount {
    fn nt_hash(&self, user: &str, _domain: &str) -> Option<NtHash> {
        user.eq_ignore_ascii_case("alice").then(|| NtHash::of_password("Pässw0rd!"))
    }
}

fn ntlm_acceptor() -> NtlmAcceptor {
    let target = NtlmTarget {
        netbios_domain: "BEDROCK".into(),
        netbios_computer: "FRED".into(),
        dns_domain: "bedrock.test".into(),
        dns_computer: "fred.bedrock.test".into(),
    };
    NtlmAcceptor::new(Arc::new(target), Arc::new(OneAccount))
}

fn credential(account: &str, password: &str) -> Credential {
    Credential::new(account.parse().unwrap(), Secret::new(password.into()).unwrap())
}

type Sessions = (Box<dyn Sealer>, Box<dyn Sealer>, Identity, bool);

/// Carries tokens to and fro until both sides are done.
fn handshake(
    client: &mut dyn Initiator,
    server: &mut dyn Acceptor,
    meddle: &mut dyn FnMut(usize, &mut Vec<u8>),
) -> Result<Sessions, String> {
    let mut to_client: Option<Vec<u8>> = None;
    let mut server_done = None;
    for leg in 0.. {
        assert!(leg < 8, "the handshake ends");
        let step = client.step(to_client.as_deref()).map_err(|e| format!("client: {e}"))?;
        let (token, client_done) = match step {
            Step::Continue(token) => (Some(token), None),
            Step::Done { token, session, proven } => (token, Some((session, proven))),
        };
        if let Some(mut token) = token {
            meddle(leg * 2, &mut token);
            match server.step(&token).map_err(|e| format!("server: {e}"))? {
                AcceptStep::Continue(token) => to_client = Some(token),
                AcceptStep::Done { token, session, identity } => {
                    to_client = token;
                    server_done = Some((session, identity));
                }
            }
            if let Some(token) = &mut to_client {
                meddle(leg * 2 + 1, token);
            }
        }
        if let Some((session, proven)) = client_done {
            let (server, identity) = server_done.expect("both are done");
            return Ok((session, server, identity, proven));
        }
    }
    unreachable!()
}

fn sealed_both_ways(client: &mut (dyn Sealer + 'static), server: &mut (dyn Sealer + 'static)) {
    for round in 0..3u8 {
        for to_server in [true, false] {
            let mut pdu = vec![round; 100];
            let mut signature = [0; 16];
            let (from, to) =
                if to_server { (&mut *client, &mut *server) } else { (&mut *server, &mut *client) };
            from.seal(&mut pdu, 24..92, &mut signature);
            assert_ne!(pdu[24..92], [round; 68], "the body is encrypted");
            assert_eq!(to.unseal(&mut pdu, 24..92, &signature), Ok(()));
            assert_eq!(pdu, [round; 100]);
        }
    }
}

#[test]
fn ntlm_ends_in_one_session_for_both_sides() {
    for account in ["alice", r"BEDROCK\Alice", r".\alice"] {
        let mut client = NtlmInitiator::new(&credential(account, "Pässw0rd!"));
        let (mut c, mut s, identity, proven) =
            handshake(&mut client, &mut ntlm_acceptor(), &mut |_, _| ()).unwrap();
        assert!(account.ends_with(&identity.user), "{identity:?}");
        assert!(!proven, "NTLM's last message has no answer");
        sealed_both_ways(&mut *c, &mut *s);
    }
}

#[test]
fn negotiate_ends_in_one_session_and_the_server_has_proven_itself() {
    let mut client = NegotiateInitiator::new(&credential(r"BEDROCK\alice", "Pässw0rd!")).unwrap();
    let mut server = NegotiateAcceptor::new(ntlm_acceptor());
    let (mut c, mut s, identity, proven) =
        handshake(&mut client, &mut server, &mut |_, _| ()).unwrap();
    assert_eq!(identity, Identity { user: "alice".into(), domain: "BEDROCK".into() });
    assert!(proven);
    sealed_both_ways(&mut *c, &mut *s);
}

#[test]
fn a_principal_name_arrives_whole() {
    struct Any;
    impl Accounts for Any {
        fn nt_hash(&self, user: &str, domain: &str) -> Option<NtHash> {
            assert_eq!((user, domain), ("alice@bedrock.test", ""));
            Some(NtHash::of_password("x"))
        }
    }
    for negotiate in [false, true] {
        let target = NtlmTarget {
            netbios_domain: "B".into(),
            netbios_computer: "F".into(),
            dns_domain: "b".into(),
            dns_computer: "f".into(),
        };
        let ntlm = NtlmAcceptor::new(Arc::new(target), Arc::new(Any));
        let credential = credential("alice@bedrock.test", "x");
        let identity = if negotiate {
            let mut client = NegotiateInitiator::new(&credential).unwrap();
            handshake(&mut client, &mut NegotiateAcceptor::new(ntlm), &mut |_, _| ()).unwrap().2
        } else {
            let mut client = NtlmInitiator::new(&credential);
            let mut ntlm = ntlm;
            handshake(&mut client, &mut ntlm, &mut |_, _| ()).unwrap().2
        };
        assert_eq!(identity.user, "alice@bedrock.test");
    }
}

#[test]
fn a_wrong_password_or_name_is_denied() {
    for (account, password) in [("alice", "wrong"), ("bob", "Pässw0rd!"), ("alice", "\u{fffd}")] {
        let credential = credential(account, password);
        let mut client = NtlmInitiator::new(&credential);
        let error = handshake(&mut client, &mut ntlm_acceptor(), &mut |_, _| ()).err().unwrap();
        assert_eq!(error, "server: the credential is wrong");
        let mut client = NegotiateInitiator::new(&credential).unwrap();
        let mut server = NegotiateAcceptor::new(ntlm_acceptor());
        let error = handshake(&mut client, &mut server, &mut |_, _| ()).err().unwrap();
        assert_eq!(error, "server: the credential is wrong");
    }
}

#[test]
fn a_server_that_offers_less_than_128_bits_or_no_sealing_is_refused_by_the_client() {
    for (flag, what) in
        [(0x2000_0000u32, "128-bit"), (0x20, "sealing"), (0x10, "signing"), (0x80000, "extended")]
    {
        let mut client = NtlmInitiator::new(&credential("alice", "Pässw0rd!"));
        let error = handshake(&mut client, &mut ntlm_acceptor(), &mut |leg, token| {
            if leg == 1 {
                let flags = u32::from_le_bytes(token[20..24].try_into().unwrap()) & !flag;
                token[20..24].copy_from_slice(&flags.to_le_bytes());
            }
        })
        .err()
        .unwrap();
        assert!(
            error.starts_with("client: the peer offers less") && error.contains(what),
            "{error}"
        );
    }
}

#[test]
fn a_client_that_asks_for_less_is_refused_by_the_server() {
    let mut client = NtlmInitiator::new(&credential("alice", "Pässw0rd!"));
    let error = handshake(&mut client, &mut ntlm_acceptor(), &mut |leg, token| {
        if leg == 2 {
            let flags = u32::from_le_bytes(token[60..64].try_into().unwrap()) & !0x2000_0000;
            token[60..64].copy_from_slice(&flags.to_le_bytes());
        }
    })
    .err()
    .unwrap();
    assert!(error.contains("128-bit"), "{error}");
}

#[test]
fn a_handshake_changed_on_its_way_is_found() {
    // The negotiate message's version bytes: only the MIC covers them.
    let mut client = NtlmInitiator::new(&credential("alice", "Pässw0rd!"));
    let error = handshake(&mut client, &mut ntlm_acceptor(), &mut |leg, token| {
        if leg == 0 {
            token[33] ^= 1;
        }
    })
    .err()
    .unwrap();
    assert_eq!(error, format!("server: {}", SecurityError::HandshakeAltered));
}

#[test]
fn negotiate_insists_on_the_signature_over_the_offer() {
    // The client's mechListMIC is cut off: the server refuses.
    let mut client = NegotiateInitiator::new(&credential("alice", "Pässw0rd!")).unwrap();
    let mut server = NegotiateAcceptor::new(ntlm_acceptor());
    let error = handshake(&mut client, &mut server, &mut |leg, token| {
        if leg == 2 {
            let mut resp = NegTokenResp::decode(token).unwrap();
            assert!(resp.mic.take().is_some());
            *token = resp.encode();
        }
    })
    .err()
    .unwrap();
    assert!(error.starts_with("server: the handshake was changed"), "{error}");

    // The server's is cut off or wrong: the client does.
    for wrong in [false, true] {
        let mut client = NegotiateInitiator::new(&credential("alice", "Pässw0rd!")).unwrap();
        let mut server = NegotiateAcceptor::new(ntlm_acceptor());
        let error = handshake(&mut client, &mut server, &mut |leg, token| {
            if leg == 3 {
                let mut resp = NegTokenResp::decode(token).unwrap();
                match &mut resp.mic {
                    Some(mic) if wrong => mic[5] ^= 1,
                    mic => *mic = None,
                }
                *token = resp.encode();
            }
        })
        .err()
        .unwrap();
        assert!(error.starts_with("client: "), "{error}");
    }
}

#[test]
fn ntlm_version_one_and_anonymous_logons_are_refused() {
    // Field by field from MS-NLMP 2.2.1.3: an AUTHENTICATE with a response of
    // 24 bytes, and one with none.
    for (len, what) in [(24u16, "version 1"), (0, "anonymous")] {
        let mut server = ntlm_acceptor();
        let mut negotiate = b"NTLMSSP\0\x01\0\0\0".to_vec();
        negotiate.extend_from_slice(&0xe208_8237u32.to_le_bytes());
        negotiate.extend_from_slice(&[0; 24]);
        assert!(matches!(server.step(&negotiate), Ok(AcceptStep::Continue(_))));
        let mut auth = b"NTLMSSP\0\x03\0\0\0".to_vec();
        let field = |auth: &mut Vec<u8>, len: u16| {
            auth.extend_from_slice(&len.to_le_bytes());
            auth.extend_from_slice(&len.to_le_bytes());
            auth.extend_from_slice(&88u32.to_le_bytes());
        };
        for len in [0, len, 0, 10, 0, 16] {
            field(&mut auth, len);
        }
        auth.extend_from_slice(&0xe208_8237u32.to_le_bytes());
        auth.extend_from_slice(&[0; 24 + 64]);
        let error = server.step(&auth).err().unwrap().to_string();
        assert!(error.contains(what), "{error}");
    }
}
