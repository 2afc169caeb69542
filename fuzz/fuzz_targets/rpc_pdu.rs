//! PDUs of a hostile peer, to either half; and SPNEGO's tokens.
//!
//! The first byte says who hears them: the client's half bound or not, the
//! server's half with or without the demand for privacy.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use quarry_rpc::pdu::{AuthType, BindAck, ContextResult, PduType};
use quarry_rpc::security::{
    Acceptor, Accounts, NegTokenInit, NegTokenResp, NegotiateAcceptor, NtHash, NtlmAcceptor,
    NtlmTarget,
};
use quarry_rpc::{
    AcceptorFactory, Associations, ClientConfig, ClientHalf, ENDPOINT_MAPPER, FrameBuffer, NDR,
    ServedInterface, ServerConfig, ServerEvent, ServerHalf,
};

struct Nobody;

impl Accounts for Nobody {
    fn nt_hash(&self, _: &str, _: &str) -> Option<NtHash> {
        Some(NtHash::of_password("fuzz"))
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&who, bytes)) = data.split_first() else { return };
    let mut frames = FrameBuffer::new();
    frames.space().extend_from_slice(bytes);
    match who % 5 {
        0 => client(frames, false),
        1 => client(frames, true),
        2 => server(frames, false),
        3 => server(frames, true),
        _ => {
            let _ = NegTokenInit::decode(bytes);
            if let Ok(token) = NegTokenResp::decode(bytes) {
                assert_eq!(NegTokenResp::decode(&token.encode()).as_ref(), Ok(&token));
            }
        }
    }
});

fn client(mut frames: FrameBuffer, bound: bool) {
    let mut half = ClientHalf::new(ClientConfig::new(ENDPOINT_MAPPER), None).unwrap();
    if bound {
        let ack = BindAck {
            max_transmit: 5840,
            max_receive: 5840,
            association_group: 1,
            secondary_address: b"135".to_vec(),
            results: vec![ContextResult::Accepted(NDR), ContextResult::FeaturesAcknowledged(2)],
        };
        let body = ack.encode();
        let mut pdu = vec![5, 0, PduType::BindAck as u8, 0x13, 0x10, 0, 0, 0];
        pdu.extend_from_slice(&(16 + body.len() as u16).to_le_bytes());
        pdu.extend_from_slice(&[0, 0, 1, 0, 0, 0]);
        pdu.extend_from_slice(&body);
        half.receive(&mut pdu).unwrap();
        half.call(3, &[0; 100]).unwrap();
        half.call(3, &[0; 10_000]).unwrap();
    }
    while let Some(pdu) = frames.next_pdu() {
        if half.receive(pdu).is_err() {
            return;
        }
    }
}

fn server(mut frames: FrameBuffer, privacy: bool) {
    let target = Arc::new(NtlmTarget {
        netbios_domain: "FUZZ".into(),
        netbios_computer: "FUZZ".into(),
        dns_domain: "fuzz.test".into(),
        dns_computer: "fuzz.fuzz.test".into(),
    });
    let acceptors: AcceptorFactory = Arc::new(move |auth_type| {
        let ntlm = NtlmAcceptor::new(Arc::clone(&target), Arc::new(Nobody));
        match auth_type {
            AuthType::NTLM => Some(Box::new(ntlm) as Box<dyn Acceptor>),
            AuthType::NEGOTIATE => Some(Box::new(NegotiateAcceptor::new(ntlm))),
            _ => None,
        }
    });
    let interfaces = vec![ServedInterface { syntax: ENDPOINT_MAPPER, privacy }];
    let (assigner, _seat) = Associations::<()>::default().seat();
    let mut half = ServerHalf::new(ServerConfig::new(interfaces, 135, acceptors), assigner);
    while let Some(pdu) = frames.next_pdu() {
        match half.receive(pdu) {
            Ok(Some(ServerEvent::Call(call))) => {
                assert!(!privacy, "a call got through without a logon");
                half.respond(call.call_id, &call.stub).unwrap();
            }
            Ok(_) => {}
            Err(_) => return,
        }
    }
}
