//! What a hostile server answers in Kerberos' handshake, and keytabs. The first byte says what the
//! others are. Called by fuzz_targets/kerberos.rs and, with the seeds, by the test
//! crates/rpc/tests/kerberos_seeds.rs.
#![allow(unreachable_pub)] // For whoever includes it.

use quarry_cred::Keytab;
use quarry_rpc::security::kerberos::{
    KerberosInitiator, NegotiateKerberosInitiator, Principal, ServiceTicket,
};
use quarry_rpc::security::{Initiator, NegTokenResp, Step};
use zeroize::Zeroizing;

const KEY: [u8; 32] = [0x5a; 32];
const AES256: i32 = 18;

/// True: the client has believed the server, who had the ticket's key.
pub fn run(data: &[u8]) -> bool {
    let Some((&what, bytes)) = data.split_first() else { return false };
    match what % 6 {
        0 => drop(Keytab::from_bytes(bytes.to_vec())),
        1 => never_over(KerberosInitiator::new(ticket()), bytes),
        2 => never_over(NegotiateKerberosInitiator::for_rpc(ticket()), bytes),
        3 => never_over(NegotiateKerberosInitiator::for_smb(ticket()), bytes),
        // From here on the server has the ticket's key, and says what it likes under it.
        4 => {
            let mut client = KerberosInitiator::new(ticket());
            let request = first(&mut client);
            let Ok(Step::Continue(_)) = client.step(Some(&ap_rep(&request, bytes))) else {
                return false;
            };
            // Its last leg has nothing in it.
            if let Ok(Step::Done { mut session, .. }) = client.step(Some(&[])) {
                // It doesn't know the session's key, so nothing that it sends is opened.
                let mut pdu = bytes.to_vec();
                let len = pdu.len();
                for signature in [bytes, &bytes[..len.min(76)], &[0; 76]] {
                    assert!(session.unseal(&mut pdu, len / 3..len / 2, signature).is_err());
                }
                return true;
            }
        }
        _ => {
            let mut client = NegotiateKerberosInitiator::for_rpc(ticket());
            let offer = first(&mut client);
            let offer = quarry_rpc::security::NegTokenInit::decode(&offer).expect("our own");
            let (fields, second) = bytes.split_at(bytes.len() / 2);
            let token = ap_rep(&offer.token.expect("our own"), fields);
            let answer = NegTokenResp { token: Some(token), ..NegTokenResp::default() };
            if client.step(Some(&answer.encode())).is_ok() {
                let _ = client.step(Some(second));
                return true;
            }
        }
    }
    false
}

/// Nobody without the ticket's key gets through, framed or not.
fn never_over(mut client: impl Initiator, bytes: &[u8]) {
    first(&mut client);
    assert!(client.step(Some(bytes)).is_err());
    assert!(client.session_key().is_none());
    assert!(client.step(Some(bytes)).is_err());
}

fn first(client: &mut impl Initiator) -> Vec<u8> {
    match client.step(None) {
        Ok(Step::Continue(token)) => token,
        _ => panic!("there is a first leg"),
    }
}

fn ticket() -> ServiceTicket {
    ServiceTicket {
        client: Principal { name_type: 1, components: vec!["a".into()], realm: "R".into() },
        ticket: vec![0x61, 0],
        key_type: AES256,
        session_key: Zeroizing::new(KEY.to_vec()),
    }
}

/// The reply to a request (RFC 4120 5.5.2): with its time, and with further fields as they come.
fn ap_rep(request: &[u8], fields: &[u8]) -> Vec<u8> {
    const USAGE_AUTHENTICATOR: u32 = 11;
    const USAGE_AP_REP: u32 = 12;
    let key = krb5::Key::new(AES256, KEY.to_vec()).expect("a key");
    // The authenticator is what can be decrypted at the request's end.
    let open = |at: usize| key.decrypt(USAGE_AUTHENTICATOR, &request[at..]).ok();
    let plain = (0..request.len()).rev().find_map(open).expect("an authenticator");
    // [4] microseconds, and behind it [5] time: 17 bytes of GeneralizedTime.
    let find = |wanted: &[u8]| plain.windows(wanted.len()).position(|found| found == wanted);
    let seconds = find(&[0xa5, 0x11, 0x18, 0x0f]).expect("a time");
    let is_field =
        |at: &usize| plain[*at] == 0xa4 && *at + 2 + usize::from(plain[*at + 1]) == seconds;
    let microseconds = (0..seconds - 2).rev().find(is_field).expect("microseconds");
    let part = [
        element(0xa0, &plain[seconds + 2..seconds + 19]),
        element(0xa1, &plain[microseconds + 2..seconds]),
        fields.to_vec(),
    ];
    let part = element(0x7b, &element(0x30, &part.concat()));
    let sealed = key.encrypt(USAGE_AP_REP, &part).expect("it encrypts");
    let kind = element(0xa0, &[2, 1, AES256 as u8]);
    let sealed = [kind, element(0xa2, &element(0x04, &sealed))].concat();
    let reply = [
        element(0xa0, &[2, 1, 5]),
        element(0xa1, &[2, 1, 15]),
        element(0xa2, &element(0x30, &sealed)),
    ];
    element(0x6f, &element(0x30, &reply.concat()))
}

/// An element of DER, its length in four bytes whatever it is.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag, 0x84];
    out.extend_from_slice(&(content.len() as u32).to_be_bytes());
    out.extend_from_slice(content);
    out
}
