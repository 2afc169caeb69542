//! The handshake and the sealing, against what Samba has sent and against the
//! acceptor of the crate `krb5`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use krb5::acceptor::{EncType, ServiceKey};
use krb5::spnego::SpnegoAcceptor;
use proptest::prelude::*;
use zeroize::Zeroizing;

use super::crypto::Key;
use super::messages::{
    KERBEROS, application, encrypted, field, general_string, integer, name, time,
};
use super::seal::{Session, Side};
use super::*;
use crate::error::{Error, SecurityError};
use crate::security::der::{Der, OCTET_STRING, SEQUENCE, context, element};
use crate::security::spnego::{NegState, NegTokenInit, NegTokenResp};
use crate::security::{BadSignature, Initiator, Sealer, Step};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

/// What Samba 4.17 (Heimdal) answered, as its domain controller, to MS-EVEN's open, number of
/// records and oldest record, in that order; the log had records 1 to 30.
const FROM_SAMBA: [(&str, &str); 3] = [
    (
        "050002031000 00008c004c0002000000 1800000000000000
         e4f0d74489299ba7e8516227f44555446a712318a7384658 9a21fd906e34e094 0906080000000000",
        "050407ff0010001c000000000261b3f8 d8439784b5c8f69e07c3bdeab5f735d8
         9dbbb9450e1b6dc0b3a6f25cb2e3e32b 61fd4231dfb60eaf1e09e302
         3764712a6cac3445bfb27664ffbc333a",
    ),
    (
        "050002031000 00007c004c0003000000 0800000000000000
         a1da3fec07118fb7 ed7b68a3f2ed21e3 0906080000000000",
        "050407ff0010001c000000000261b3f9 82e4b53ae3c2fb8bc7f3eeb4a0e5f28e
         7e509f11057d473f4a5cab0df53d88b6 b3ac381405 6ba023af135e87
         d0601ff709ea011aeb99f3311b8ad431",
    ),
    (
        "050002031000 00007c004c0004000000 0800000000000000
         1876325c60782e2d 6998530d86a30d75 0906080000000000",
        "050407ff0010001c000000000261b3fa c09fd7ff731d31a7adce2536dbea5d9c
         6390cfb8cd6deac343e9524fd6547ce4 d60e45e0b643b933e73c7fd3
         c87e4719577c9c729f1d4a7c884e4141",
    ),
];

fn session_with_samba() -> Session {
    let key = hex("17b3df78dcee6cf630085dae78f25d82530b040d19d2366be0038dc4497e552e");
    let key = Key::new(Key::AES256, &key).unwrap();
    Session {
        key,
        acceptors: true,
        side: Side::Initiator,
        send: 0,
        receive: 0x0261_b3f8,
        signed: false,
    }
}

#[test]
fn what_samba_sealed_is_opened_once_and_in_order() {
    let mut session = session_with_samba().sealer().unwrap();
    let mut answers = Vec::new();
    for (pdu, signature) in FROM_SAMBA {
        let (mut pdu, signature) = (hex(pdu), hex(signature));
        let body = 24..pdu.len() - 8;
        assert_eq!(session.unseal(&mut pdu, body.clone(), &signature), Ok(()));
        answers.push(pdu[body].to_vec());
    }
    // A handle of 20 bytes and success; 30 records; number 1 is the oldest.
    assert_eq!((answers[0].len(), &answers[0][20..24]), (32, &[0; 4][..]));
    assert_ne!(answers[0][4..20], [0; 16]);
    assert_eq!(answers[1][..8], [30, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(answers[2][..8], [1, 0, 0, 0, 0, 0, 0, 0]);

    let mut again = session_with_samba().sealer().unwrap();
    let (mut second, signature) = (hex(FROM_SAMBA[1].0), hex(FROM_SAMBA[1].1));
    let body = 24..second.len() - 8;
    assert_eq!(again.unseal(&mut second, body, &signature), Err(BadSignature), "out of order");
}

fn pair(acceptors: bool) -> (Session, Session) {
    let session = |side: Side| Session {
        key: Key::new(Key::AES256, &[7; 32]).unwrap(),
        acceptors,
        side,
        send: if side == Side::Initiator { 5 } else { 9 },
        receive: if side == Side::Initiator { 9 } else { 5 },
        signed: false,
    };
    (session(Side::Initiator), session(Side::Acceptor))
}

fn sealed(sealer: &mut impl Sealer, len: usize) -> (Vec<u8>, Vec<u8>) {
    let mut pdu: Vec<u8> = (0..len + 32).map(|n| n as u8).collect();
    let mut signature = vec![0; sealer.signature_len()];
    sealer.seal(&mut pdu, 24..24 + len, &mut signature);
    (pdu, signature)
}

#[test]
fn a_change_anywhere_a_replay_and_a_message_of_ones_own_are_found() {
    const LEN: usize = 48;
    let (client, server) = pair(true);
    let (pdu, signature) = sealed(&mut client.sealer().unwrap(), LEN);
    assert_eq!((pdu.len(), signature.len()), (LEN + 32, 76));
    let open = |pdu: &[u8], signature: &[u8]| {
        let mut pdu = pdu.to_vec();
        server.sealer().unwrap().unseal(&mut pdu, 24..24 + LEN, signature).map(|()| pdu)
    };
    let plain: Vec<u8> = (0..LEN + 32).map(|n| n as u8).collect();
    assert_eq!(open(&pdu, &signature), Ok(plain));
    for at in 0..pdu.len() {
        let mut pdu = pdu.clone();
        pdu[at] ^= 0x10;
        assert_eq!(open(&pdu, &signature), Err(BadSignature), "byte {at}");
    }
    for at in 0..signature.len() {
        let mut signature = signature.clone();
        signature[at] ^= 1;
        assert_eq!(open(&pdu, &signature), Err(BadSignature), "byte {at} of the signature");
    }
    for len in 0..signature.len() {
        assert_eq!(open(&pdu, &signature[..len]), Err(BadSignature), "{len} bytes");
    }
    let mut opener = server.sealer().unwrap();
    assert_eq!(opener.unseal(&mut pdu.clone(), 24..24 + LEN, &signature), Ok(()));
    assert_eq!(opener.unseal(&mut pdu.clone(), 24..24 + LEN, &signature), Err(BadSignature));
    let mut own = Session { receive: 5, ..pair(true).0 }.sealer().unwrap();
    assert_eq!(own.unseal(&mut pdu.clone(), 24..24 + LEN, &signature), Err(BadSignature));
    // The other side has to mean the same key.
    let mut other = pair(false).1.sealer().unwrap();
    assert_eq!(other.unseal(&mut pdu.clone(), 24..24 + LEN, &signature), Err(BadSignature));
}

#[test]
fn a_signature_may_take_a_number_or_not_and_no_number_comes_twice() {
    for takes in [true, false] {
        let (mut client, mut server) = pair(true);
        let mic = server.sign(b"the offer");
        assert_eq!(client.verify(b"the offer", &mic), Ok(()));
        if !takes {
            server.send -= 1;
        }
        let (mut opener, mut sealer) = (client.sealer().unwrap(), server.sealer().unwrap());
        for _ in 0..3 {
            let (pdu, signature) = sealed(&mut sealer, 16);
            assert_eq!(opener.unseal(&mut pdu.clone(), 24..40, &signature), Ok(()));
            assert_eq!(opener.unseal(&mut pdu.clone(), 24..40, &signature), Err(BadSignature));
        }
    }
}

/// Without headers that are only signed, the DCE form is the RFC's token, rotated.
#[test]
fn another_implementation_unwraps_what_is_sealed_here() {
    for (kind, len) in [(17, 16), (18, 32)] {
        let bytes = vec![3; len];
        let key = Key::new(kind, &bytes).unwrap();
        let session = Session {
            key,
            acceptors: true,
            side: Side::Initiator,
            send: 77,
            receive: 0,
            signed: false,
        };
        let theirs = krb5::token::PerMessageTokens::new(
            krb5::token::ContextKey::new(kind, &bytes).unwrap(),
            krb5::token::Role::Acceptor,
            true,
        );
        let mut sealer = session.sealer().unwrap();
        for (number, len) in [(77, 0), (78, 16), (79, 100)] {
            let plain = vec![0x5a; len];
            let mut body = plain.clone();
            let mut signature = vec![0; 76];
            sealer.seal(&mut body, 0..len, &mut signature);
            let mut token = signature[..16].to_vec();
            // Not rotated: random, body, filler, header, checksum.
            token[6..8].copy_from_slice(&[0, 0]);
            token.extend_from_slice(&signature[60..]);
            token.extend_from_slice(&body);
            token.extend_from_slice(&signature[16..60]);
            let unwrapped = theirs.unwrap(&token).unwrap();
            assert_eq!((unwrapped.message, unwrapped.seq), (plain, number));
        }
        // And signatures over what both have, both ways.
        let mut session = session;
        let mic = session.sign(b"the offer");
        assert_eq!(theirs.verify_mic(&mic, b"the offer").unwrap().seq, 77);
        let theirs = krb5::token::PerMessageTokens::new(
            krb5::token::ContextKey::new(kind, &bytes).unwrap(),
            krb5::token::Role::Acceptor,
            true,
        );
        let mic = theirs.emit_mic(0, b"the offer").unwrap();
        assert_eq!(session.verify(b"another", &mic), Err(BadSignature));
        assert_eq!(session.verify(b"the offer", &mic), Ok(()));
        assert_eq!(session.verify(b"the offer", &mic), Err(BadSignature), "its number is used");
        assert_eq!((session.send, session.receive), (78, 1));
    }
}

proptest! {
    #[test]
    fn messages_of_any_length_arrive_in_order(lens in prop::collection::vec(0usize..600, 1..12)) {
        let (client, server) = pair(true);
        let (mut client, mut server) = (client.sealer().unwrap(), server.sealer().unwrap());
        for len in lens {
            let (mut pdu, signature) = sealed(&mut client, len);
            prop_assert_eq!(server.unseal(&mut pdu, 24..24 + len, &signature), Ok(()));
            let plain: Vec<u8> = (0..len + 32).map(|n| n as u8).collect();
            prop_assert_eq!(pdu, plain);
        }
    }

    #[test]
    fn a_valid_signature_that_was_changed_is_refused(
            at in 0usize..76, len in 0usize..=76, change in 1u8.., of_pdu in any::<bool>()
        ) {
            let (client, server) = pair(true);
            let (pdu, signature) = sealed(&mut client.sealer().unwrap(), 48);
            let (mut changed, mut forged) = (pdu.clone(), signature.clone());
            match of_pdu {
                true => changed[at % pdu.len()] ^= change,
                false => forged[at] ^= change,
            }
            let mut opener = server.sealer().unwrap();
            prop_assert_eq!(opener.unseal(&mut changed, 24..72, &forged), Err(BadSignature));
            if len < signature.len() {
                let mut opener = server.sealer().unwrap();
                let short = opener.unseal(&mut pdu.clone(), 24..72, &signature[..len]);
                prop_assert_eq!(short, Err(BadSignature));
            }
        }

        #[test]
        fn any_signature_is_refused(signature in prop::collection::vec(any::<u8>(), 0..100)) {
        let mut sealer = pair(true).0.sealer().unwrap();
        let mut pdu = vec![1; 60];
        prop_assert_eq!(sealer.unseal(&mut pdu, 24..52, &signature), Err(BadSignature));
    }
}

const REALM: &str = "CORP.EXAMPLE";
const SERVICE: [&str; 2] = ["host", "dc01.corp.example"];

/// A ticket as a key distribution centre makes it (RFC 4120 5.3), and the service's keytab.
fn ticket() -> (ServiceTicket, krb5::Keytab) {
    let service_key = krb5::Key::random(18).unwrap();
    let session_key = vec![0x11; 32];
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let key = [field(0, &integer(18)), field(1, &element(OCTET_STRING, &session_key))];
    let transited = [field(0, &integer(1)), field(1, &element(OCTET_STRING, &[]))];
    let part = [
        field(0, &element(3, &[0; 5])),
        field(1, &element(SEQUENCE, &key.concat())),
        field(2, &general_string(REALM)),
        field(3, &name(1, &["ann".to_owned()])),
        field(4, &element(SEQUENCE, &transited.concat())),
        field(5, &element(0x18, &time(now))),
        field(7, &element(0x18, &time(now + 3600))),
    ];
    let part = element(application(3), &element(SEQUENCE, &part.concat()));
    let fields = [
        field(0, &integer(5)),
        field(1, &general_string(REALM)),
        field(2, &name(3, &SERVICE.map(str::to_owned))),
        field(3, &encrypted(18, &service_key.encrypt(2, &part).unwrap())),
    ];
    let ticket = ServiceTicket {
        client: Principal { name_type: 1, components: vec!["ann".into()], realm: REALM.into() },
        ticket: element(application(1), &element(SEQUENCE, &fields.concat())),
        key_type: 18,
        session_key: Zeroizing::new(session_key),
    };
    let kind = EncType::from_i32(18).unwrap();
    let key = ServiceKey::new(SERVICE.join("/"), REALM, 1, kind, service_key.bytes());
    (ticket, krb5::Keytab::from_keys(vec![key]))
}

fn next(step: Result<Step, Error>) -> Vec<u8> {
    match step {
        Ok(Step::Continue(token)) => token,
        Ok(Step::Done { .. }) => panic!("it is over too soon"),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn smbs_handshake_ends_in_one_key_with_another_implementations_acceptor() {
    let (ticket, keytab) = ticket();
    let mut client = NegotiateKerberosInitiator::for_smb(ticket);
    let offer = next(client.step(None));
    assert!(client.session_key().is_none());
    let mut acceptor = SpnegoAcceptor::new(&keytab);
    let answer = acceptor.step(&offer).unwrap().expect("an answer");
    let Step::Done { token, session: _, proven } = client.step(Some(&answer)).unwrap() else {
        panic!("two legs")
    };
    assert!(token.is_none() && proven);
    let context = acceptor.context().expect("it is accepted");
    assert_eq!(context.client_principal, format!("ann@{REALM}"));
    assert_eq!(context.base_key[..], client.session_key().unwrap()[..]);
}

#[test]
fn dce_style_has_bare_messages_and_a_third_leg_with_the_servers_number() {
    let (ticket, keytab) = ticket();
    let session_key = Key::new(18, &ticket.session_key).unwrap();
    let mut client = KerberosInitiator::new(ticket);
    assert!(client.needs_header_signing());
    let request = next(client.step(None));
    assert_eq!(request[0], application(14), "an AP-REQ without framing");
    let options = krb5::acceptor::AcceptOptions::default();
    let accept = krb5::KerberosContext::accept_ap_req;
    let (accepted, reply) = accept(&keytab, &request, &options).unwrap();
    assert_eq!(accepted.client_principal, format!("ann@{REALM}"));
    let third = next(client.step(Some(&reply)));
    assert_eq!(accepted.base_key[..], client.session_key().unwrap()[..]);
    // Sealed with the ticket's key, at the end of the third leg.
    let opened = (0..third.len()).find_map(|at| session_key.decrypt(12, &third[at..]).ok());
    let opened = opened.expect("it is sealed with the ticket's key");
    let part = Der::only(&opened, application(27), "part").unwrap();
    let mut fields = Der::new(Der::only(part, SEQUENCE, "part").unwrap(), "part");
    let (mut tags, mut number) = (Vec::new(), None);
    while !fields.is_empty() {
        let (tag, content) = fields.any().unwrap();
        tags.push(tag);
        if tag == context(3) {
            number = Some(content.to_vec());
        }
    }
    assert_eq!(tags, [context(0), context(1), context(3)], "times and the number, no key");
    // It is the one that the server has in its own reply, whatever that is.
    let opened = (0..reply.len()).find_map(|at| session_key.decrypt(12, &reply[at..]).ok());
    let opened = opened.expect("it is sealed with the ticket's key");
    let part = Der::only(&opened, application(27), "part").unwrap();
    let mut fields = Der::new(Der::only(part, SEQUENCE, "part").unwrap(), "part");
    let mut servers = None;
    while !fields.is_empty() {
        let (tag, content) = fields.any().unwrap();
        if tag == context(3) {
            servers = Some(content.to_vec());
        }
    }
    assert!(servers.is_some() && number == servers);
    // The server's last leg has nothing in it.
    let Step::Done { token: None, proven: true, .. } = client.step(Some(&[])).unwrap() else {
        panic!("four legs")
    };
}

#[test]
fn kerberos_by_itself_is_over_with_an_empty_leg_and_no_other() {
    let (ticket, keytab) = ticket();
    let mut client = KerberosInitiator::new(ticket);
    let request = next(client.step(None));
    let options = krb5::acceptor::AcceptOptions::default();
    let (_, reply) = krb5::KerberosContext::accept_ap_req(&keytab, &request, &options).unwrap();
    next(client.step(Some(&reply)));
    let error = client.step(Some(&reply)).err().unwrap();
    assert_eq!(error, Error::Security(SecurityError::OutOfSequence));
    assert!(client.step(Some(&[])).is_err());
}

/// Heimdal's acceptors frame a refusal in DCE style, too (RFC 2743 3.1, RFC 4121 4.1: 03 00).
#[test]
fn a_refusal_in_dce_style_is_read_framed_and_bare() {
    let now = SystemTime::now() - Duration::from_secs(3600);
    let now = now.duration_since(UNIX_EPOCH).unwrap().as_secs();
    let fields = [
        field(0, &integer(5)),
        field(1, &integer(30)),
        field(4, &element(0x18, &time(now))),
        field(5, &integer(0)),
        field(6, &integer(37)),
        field(9, &general_string(REALM)),
        field(10, &name(3, &SERVICE.map(str::to_owned))),
    ];
    let bare = element(application(30), &element(SEQUENCE, &fields.concat()));
    // 1.2.840.113554.1.2.2, and what the token is.
    let inner = [&hex("06092a864886f712010202 0300")[..], &bare].concat();
    let framed = element(0x60, &inner);
    for token in [&bare, &framed] {
        let mut client = KerberosInitiator::new(ticket().0);
        next(client.step(None));
        let error = client.step(Some(token)).err().unwrap();
        let Error::Kerberos(KerberosError::ClockSkew { whose, ahead: Some(ahead) }) = error else {
            panic!("{error:?}")
        };
        assert_eq!(whose, "the server");
        assert!((3600..3660).contains(&ahead), "{ahead}");
        // And within SPNEGO, in place of an answer and with a rejection.
        for state in [NegState::AcceptIncomplete, NegState::Reject] {
            let mut client = NegotiateKerberosInitiator::for_rpc(ticket().0);
            next(client.step(None));
            let (state, token) = (Some(state), Some(token.clone()));
            let answer = NegTokenResp { state, token, ..NegTokenResp::default() };
            let error = client.step(Some(&answer.encode())).err().unwrap();
            assert!(matches!(error, Error::Kerberos(KerberosError::ClockSkew { .. })), "{error:?}");
        }
    }
}

/// A server that answers SPNEGO's offer with the crate's reply, and what it signs.
fn answered(
    make: impl Fn(ServiceTicket) -> NegotiateKerberosInitiator,
) -> (NegotiateKerberosInitiator, Vec<u8>, Vec<u8>, Session) {
    let (ticket, keytab) = ticket();
    let ticket_key = Key::new(18, &ticket.session_key).unwrap();
    let mut client = make(ticket);
    let offer = NegTokenInit::decode(&next(client.step(None))).unwrap();
    let token = offer.token.unwrap();
    let options = krb5::acceptor::AcceptOptions::default();
    // SMB's is framed: the tag, the length in three bytes, the identifier, 01 00.
    let request =
        if token[0] == 0x60 { &token[token.len() - framed_len(&token)..] } else { &token };
    let (accepted, reply) =
        krb5::KerberosContext::accept_ap_req(&keytab, request, &options).unwrap();
    let part = (0..reply.len()).find_map(|at| ticket_key.decrypt(12, &reply[at..]).ok()).unwrap();
    let part = Der::only(&part, application(27), "part").unwrap();
    let mut fields = Der::new(Der::only(part, SEQUENCE, "part").unwrap(), "part");
    let (mut key, mut number) = (None, 0);
    while !fields.is_empty() {
        let (tag, content) = fields.any().unwrap();
        if tag == context(2) {
            let mut parts = Der::new(Der::only(content, SEQUENCE, "key").unwrap(), "key");
            parts.any().unwrap();
            let bytes = Der::only(parts.any().unwrap().1, OCTET_STRING, "key").unwrap();
            key = Some(Key::new(18, bytes).unwrap());
        } else if tag == context(3) {
            let bytes = Der::only(content, 2, "number").unwrap();
            number = bytes.iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
        }
    }
    let acceptors = key.is_some();
    let key = key.unwrap_or_else(|| Key::new(18, &accepted.base_key).unwrap());
    let server =
        Session { key, acceptors, side: Side::Acceptor, send: number, receive: 0, signed: false };
    (client, reply, offer.mechanism_list, server)
}

/// How long what is after the identifier of a framed token is.
fn framed_len(token: &[u8]) -> usize {
    let at = token.windows(2).position(|two| two == [1, 0]).unwrap();
    token.len() - at - 2
}

#[test]
fn a_servers_signature_over_the_offer_is_verified_where_there_is_one() {
    let frame =
        |reply: Vec<u8>| element(0x60, &[&hex("06092a864886f712010202 0200")[..], &reply].concat());
    for mic in [None, Some(true), Some(false)] {
        // SMB, over with the first answer.
        let (mut client, reply, offer, mut server) = answered(NegotiateKerberosInitiator::for_smb);
        let mut signature = server.sign(&offer);
        if mic == Some(false) {
            *signature.last_mut().unwrap() ^= 1;
        }
        let answer = NegTokenResp {
            state: Some(NegState::AcceptCompleted),
            token: Some(frame(reply)),
            mic: mic.map(|_| signature),
            ..NegTokenResp::default()
        };
        let outcome = client.step(Some(&answer.encode()));
        match mic {
            Some(false) => {
                assert_eq!(outcome.err(), Some(Error::Security(SecurityError::HandshakeAltered)))
            }
            _ => assert!(matches!(outcome, Ok(Step::Done { proven: true, .. }))),
        }
        // RPC, whose third leg has our own, and where the server's is in its last word.
        for state in [NegState::AcceptIncomplete, NegState::RequestMic] {
            let (mut client, reply, offer, mut server) =
                answered(NegotiateKerberosInitiator::for_rpc);
            let answer =
                NegTokenResp { state: Some(state), token: Some(reply), ..NegTokenResp::default() };
            let ours = NegTokenResp::decode(&next(client.step(Some(&answer.encode())))).unwrap();
            assert!(ours.token.is_some(), "the third leg");
            let ours = ours.mic.expect("our signature");
            server.receive = u64::from_be_bytes(*ours[8..].first_chunk().unwrap());
            assert_eq!(server.verify(&offer, &ours), Ok(()));
            let mut signature = server.sign(&offer);
            if mic == Some(false) {
                signature[3] ^= 1;
            }
            let last = NegTokenResp {
                state: Some(NegState::AcceptCompleted),
                mic: mic.map(|_| signature),
                ..NegTokenResp::default()
            };
            let outcome = client.step(Some(&last.encode()));
            match mic {
                Some(false) => assert_eq!(
                    outcome.err(),
                    Some(Error::Security(SecurityError::HandshakeAltered))
                ),
                _ => assert!(matches!(outcome, Ok(Step::Done { proven: true, .. }))),
            }
        }
    }
}

#[test]
fn without_a_key_of_the_servers_the_clients_own_is_the_sessions() {
    use super::context::{Context, Style};
    let (ticket, _) = ticket();
    let ticket_key = Key::new(18, &ticket.session_key).unwrap();
    let mut context_ = Context::new(ticket, Style::Dce);
    let request = context_.ask().unwrap();
    let sealed = (0..request.len()).find_map(|at| ticket_key.decrypt(11, &request[at..]).ok());
    let authenticator = sealed.expect("an authenticator");
    let part = Der::only(&authenticator, application(2), "authenticator").unwrap();
    let mut fields = Der::new(Der::only(part, SEQUENCE, "authenticator").unwrap(), "authenticator");
    let mut found = std::collections::HashMap::new();
    while !fields.is_empty() {
        let (tag, content) = fields.any().unwrap();
        found.insert(tag, content.to_vec());
    }
    let subkey = Der::only(&found[&context(6)], SEQUENCE, "key").unwrap();
    let mut subkey = Der::new(subkey, "key");
    subkey.any().unwrap();
    let key = Der::only(subkey.any().unwrap().1, OCTET_STRING, "key").unwrap();
    // The server repeats the time, has a number, and no key.
    let part = [
        field(0, &found[&context(5)]),
        field(1, &found[&context(4)]),
        field(3, &integer(0x4000_0001)),
    ];
    let part = element(application(27), &element(SEQUENCE, &part.concat()));
    let reply = [
        field(0, &integer(5)),
        field(1, &integer(15)),
        field(2, &encrypted(18, &ticket_key.encrypt(12, &part).unwrap())),
    ];
    let reply = element(application(15), &element(SEQUENCE, &reply.concat()));
    let (session, third) = context_.answer(&reply).unwrap();
    assert!(third.is_some() && !session.acceptors);
    assert_eq!(session.key.bytes(), key);
    assert_eq!(session.receive, 0x4000_0001);
    // And that goes both ways, without the flag of the server's key.
    let server = Session {
        key: Key::new(18, key).unwrap(),
        acceptors: false,
        side: Side::Acceptor,
        send: session.receive,
        receive: session.send,
        signed: false,
    };
    let (pdu, signature) = super::tests::sealed(&mut session.sealer().unwrap(), 16);
    assert_eq!(signature[2] & 4, 0);
    let mut pdu = pdu;
    assert_eq!(server.sealer().unwrap().unseal(&mut pdu, 24..40, &signature), Ok(()));
}

#[test]
fn an_answer_that_leaves_out_kerberos_or_the_third_leg_is_refused() {
    let start = || {
        let (ticket, keytab) = ticket();
        let mut client = NegotiateKerberosInitiator::for_rpc(ticket);
        let offer = NegTokenInit::decode(&next(client.step(None))).unwrap();
        (client, keytab, offer)
    };
    let (mut client, _, offer) = start();
    assert_eq!(offer.mechanisms[1], KERBEROS);
    for state in [NegState::AcceptCompleted, NegState::RequestMic] {
        let answer = NegTokenResp { state: Some(state), ..NegTokenResp::default() };
        let error = client.step(Some(&answer.encode())).err().unwrap();
        assert_eq!(error, Error::Security(SecurityError::NoMechanism));
        client = start().0;
    }
    // Another mechanism than those offered.
    let answer = NegTokenResp { mechanism: Some(vec![1, 2]), ..NegTokenResp::default() };
    let error = client.step(Some(&answer.encode())).err().unwrap();
    assert_eq!(error, Error::Security(SecurityError::NoMechanism));
    // Accepted without the third leg, which DCE style has.
    let (mut client, keytab, offer) = start();
    let options = krb5::acceptor::AcceptOptions::default();
    let token = offer.token.unwrap();
    let (_, reply) = krb5::KerberosContext::accept_ap_req(&keytab, &token, &options).unwrap();
    let answer = NegTokenResp {
        state: Some(NegState::AcceptCompleted),
        token: Some(reply),
        ..NegTokenResp::default()
    };
    let error = client.step(Some(&answer.encode())).err().unwrap();
    assert_eq!(error, Error::Security(SecurityError::OutOfSequence));
}

#[test]
fn a_refusal_within_spnego_says_what_kerberos_says() {
    let (ticket, _) = ticket();
    let mut client = NegotiateKerberosInitiator::for_rpc(ticket);
    next(client.step(None));
    let now = SystemTime::now() - Duration::from_secs(3600);
    let now = now.duration_since(UNIX_EPOCH).unwrap().as_secs();
    let error = [
        field(0, &integer(5)),
        field(1, &integer(30)),
        field(4, &element(0x18, &time(now))),
        field(5, &integer(0)),
        field(6, &integer(41)),
    ];
    let error = element(application(30), &element(SEQUENCE, &error.concat()));
    let answer = NegTokenResp {
        state: Some(NegState::Reject),
        token: Some(error),
        ..NegTokenResp::default()
    };
    let error = client.step(Some(&answer.encode())).err().unwrap();
    assert_eq!(error, Error::Kerberos(KerberosError::NotTheServersTicket));
    assert!(client.step(Some(&answer.encode())).is_err());
}
