//! The messages of the exchange between client and server (RFC 4120 5.5), in
//! DER, as far as a client has to do with them.

use std::time::{SystemTime, UNIX_EPOCH};

use zeroize::Zeroizing;

use super::crypto::Key;
use super::error::KerberosError;
use crate::security::der::{Der, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, context, element, put};

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const GENERALIZED_TIME: u8 = 0x18;
const GENERAL_STRING: u8 = 0x1b;

/// 1.2.840.113554.1.2.2.
pub(super) const KERBEROS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 1, 2, 2];

/// RFC 4120 7.5.1.
const USAGE_AUTHENTICATOR: u32 = 11;
const USAGE_AP_REP: u32 = 12;

const VERSION: u32 = 5;
const AP_REQ: u8 = 14;
const AP_REP: u8 = 15;
const KRB_ERROR: u8 = 30;
/// The checksum that carries GSS-API's flags (RFC 4121 4.1.1).
const GSS_CHECKSUM: u32 = 0x8003;

/// Tags `[APPLICATION n]`.
pub(super) const fn application(n: u8) -> u8 {
    0x60 | n
}

/// Who somebody is in Kerberos.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal {
    /// What kind of name it is (RFC 4120 6.2).
    pub name_type: i32,
    /// The parts of the name: `host` and `dc01.corp.example`.
    pub components: Vec<String>,
    /// The realm.
    pub realm: String,
}

/// What a client says in its authenticator (5.5.1), and what it has to keep.
#[derive(Clone)]
pub(super) struct Authenticator {
    /// The client's time: whole seconds since 1970, and microseconds.
    pub(super) seconds: u64,
    pub(super) microseconds: u32,
    /// The key that the client offers.
    pub(super) subkey: Key,
    /// The number of the first message that the client seals or signs.
    pub(super) number: u32,
    /// GSS-API's flags.
    pub(super) flags: u32,
}

impl Authenticator {
    /// One for now.
    pub(super) fn new(kind: i32, flags: u32, now: SystemTime) -> Result<Self, crate::Error> {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let subkey = Key::random(kind)?;
        let mut number = [0; 4];
        getrandom::fill(&mut number).map_err(|_| crate::UsageError::NoRandomness)?;
        Ok(Self {
            seconds: since.as_secs(),
            microseconds: since.subsec_micros(),
            subkey,
            // Some take the number to be signed.
            number: u32::from_be_bytes(number) >> 2,
            flags,
        })
    }

    /// `AP-REQ` (5.5.1), with a ticket as it came.
    pub(super) fn ap_req(
        &self,
        client: &Principal,
        ticket: &[u8],
        session_key: &Key,
    ) -> Result<Vec<u8>, crate::Error> {
        /// `mutual-required`.
        const OPTIONS: [u8; 5] = [0, 0x20, 0, 0, 0];
        let sealed = session_key.encrypt(USAGE_AUTHENTICATOR, &self.encode(client))?;
        let fields = [
            field(0, &integer(VERSION)),
            field(1, &integer(AP_REQ.into())),
            field(2, &element(BIT_STRING, &OPTIONS)),
            field(3, ticket),
            field(4, &encrypted(session_key.kind(), &sealed)),
        ];
        Ok(element(application(AP_REQ), &element(SEQUENCE, &fields.concat())))
    }

    /// It has the key that the client offers, so that no copy of it is left behind.
    fn encode(&self, client: &Principal) -> Zeroizing<Vec<u8>> {
        // No channel bindings; the flags.
        let mut checksum = vec![16, 0, 0, 0];
        checksum.extend_from_slice(&[0; 16]);
        checksum.extend_from_slice(&self.flags.to_le_bytes());
        let checksum =
            [field(0, &integer(GSS_CHECKSUM)), field(1, &element(OCTET_STRING, &checksum))];
        let key = Zeroizing::new(element(OCTET_STRING, self.subkey.bytes()));
        let key = Zeroizing::new(field(1, &key));
        let kind = field(0, &signed(self.subkey.kind()));
        let subkey = Zeroizing::new([&kind[..], &key].concat());
        let fields = [
            field(0, &integer(VERSION)),
            field(1, &general_string(&client.realm)),
            field(2, &name(client.name_type, &client.components)),
            field(3, &element(SEQUENCE, &checksum.concat())),
            field(4, &integer(self.microseconds)),
            field(5, &element(GENERALIZED_TIME, &time(self.seconds))),
            field(6, &Zeroizing::new(element(SEQUENCE, &subkey))),
            field(7, &integer(self.number)),
        ]
        .map(Zeroizing::new);
        let mut content = Zeroizing::new(Vec::with_capacity(fields.iter().map(|f| f.len()).sum()));
        fields.iter().for_each(|field| content.extend_from_slice(field));
        Zeroizing::new(element(application(2), &Zeroizing::new(element(SEQUENCE, &content))))
    }

    /// Reads the server's `AP-REP` (5.5.2), which proves that it could read the
    /// authenticator.
    pub(super) fn check_ap_rep(
        &self,
        bytes: &[u8],
        session_key: &Key,
    ) -> Result<Accepted, KerberosError> {
        const WHAT: &str = "Kerberos reply";
        let malformed = |_| KerberosError::Malformed(WHAT);
        if bytes.first() == Some(&application(KRB_ERROR)) {
            return Err(self.refusal(bytes));
        }
        let sealed = (|| {
            let reply = Der::only(bytes, application(AP_REP), WHAT)?;
            let mut fields = Der::new(Der::only(reply, SEQUENCE, WHAT)?, WHAT);
            if unsigned(fields.expect(context(0))?, WHAT)? != VERSION
                || unsigned(fields.expect(context(1))?, WHAT)? != u32::from(AP_REP)
            {
                return Err(fields.malformed());
            }
            let mut part = Der::new(Der::only(fields.expect(context(2))?, SEQUENCE, WHAT)?, WHAT);
            let kind = unsigned(part.expect(context(0))?, WHAT)?;
            let (mut tag, mut content) = part.any()?;
            if tag == context(1) {
                // The key's version number means nothing here.
                (tag, content) = part.any()?;
            }
            if tag != context(2) || kind != session_key.kind() as u32 {
                return Err(part.malformed());
            }
            Der::only(content, OCTET_STRING, WHAT)
        })()
        .map_err(malformed)?;
        let plain = session_key
            .decrypt(USAGE_AP_REP, sealed)
            .map_err(|_| KerberosError::Malformed(WHAT))?;
        let accepted = (|| {
            let part = Der::only(&plain, application(27), WHAT)?;
            let mut fields = Der::new(Der::only(part, SEQUENCE, WHAT)?, WHAT);
            let seconds = Der::only(fields.expect(context(0))?, GENERALIZED_TIME, WHAT)?;
            let microseconds = unsigned(fields.expect(context(1))?, WHAT)?;
            // It is the server's only if it repeats the time, encrypted.
            if seconds != time(self.seconds) || microseconds != self.microseconds {
                return Err(fields.malformed());
            }
            let (mut subkey, mut number) = (None, 0);
            while !fields.is_empty() {
                let (tag, content) = fields.any()?;
                if tag == context(2) {
                    let mut key = Der::new(Der::only(content, SEQUENCE, WHAT)?, WHAT);
                    let kind = unsigned(key.expect(context(0))?, WHAT)?;
                    let bytes = Der::only(key.expect(context(1))?, OCTET_STRING, WHAT)?;
                    subkey = Some((kind, bytes));
                } else if tag == context(3) {
                    number = unsigned(content, WHAT)?;
                }
            }
            Ok((subkey, number))
        })()
        .map_err(malformed)?;
        let subkey = accepted.0.map(|(kind, bytes)| Key::new(kind as i32, bytes)).transpose()?;
        Ok(Accepted { subkey, number: accepted.1 })
    }

    /// The third leg of DCE style: the client's own `AP-REP`, which repeats the
    /// server's number (MS-KILE 3.4.5.1).
    pub(super) fn ap_rep(&self, number: u32, session_key: &Key) -> Result<Vec<u8>, crate::Error> {
        let part = [
            field(0, &element(GENERALIZED_TIME, &time(self.seconds))),
            field(1, &integer(self.microseconds)),
            field(3, &integer(number)),
        ];
        let part = element(application(27), &element(SEQUENCE, &part.concat()));
        let sealed = session_key.encrypt(USAGE_AP_REP, &part)?;
        let fields = [
            field(0, &integer(VERSION)),
            field(1, &integer(AP_REP.into())),
            field(2, &encrypted(session_key.kind(), &sealed)),
        ];
        Ok(element(application(AP_REP), &element(SEQUENCE, &fields.concat())))
    }

    /// What a `KRB-ERROR` (5.9.1) says. Nothing protects it.
    fn refusal(&self, bytes: &[u8]) -> KerberosError {
        match read_error(bytes) {
            Ok((code, theirs)) => {
                let ahead = theirs.map(|theirs| self.seconds as i64 - theirs);
                KerberosError::of_server(code as i32, ahead)
            }
            Err(_) => KerberosError::Malformed("Kerberos error"),
        }
    }
}

/// A request for a ticket-granting ticket (`AS-REQ`, 5.4.1) without anything that
/// proves who asks.
#[cfg(feature = "tcp")]
pub(super) fn request_without_proof(client: &Principal) -> Vec<u8> {
    const AS_REQ: u8 = 10;
    /// `NT-SRV-INST`.
    const SERVICE_NAME: i32 = 2;
    let service = ["krbtgt".to_owned(), client.realm.clone()];
    let kinds = [integer(Key::AES256 as u32), integer(Key::AES128 as u32)];
    let body = [
        field(0, &element(BIT_STRING, &[0; 5])),
        field(1, &name(client.name_type, &client.components)),
        field(2, &general_string(&client.realm)),
        field(3, &name(SERVICE_NAME, &service)),
        // As long as it can be.
        field(5, &element(GENERALIZED_TIME, b"20370913024805Z")),
        field(7, &integer(1)),
        field(8, &element(SEQUENCE, &kinds.concat())),
    ];
    let request = [
        field(1, &integer(VERSION)),
        field(2, &integer(AS_REQ.into())),
        field(4, &element(SEQUENCE, &body.concat())),
    ];
    element(application(AS_REQ), &element(SEQUENCE, &request.concat()))
}

/// Whether a message is one with which a key distribution centre answers a request:
/// `AS-REP` (5.4.2) or `KRB-ERROR` (5.9.1).
#[cfg(feature = "tcp")]
pub(super) fn is_answer(bytes: &[u8]) -> bool {
    const AS_REP: u8 = 11;
    bytes.first().is_some_and(|tag| [AS_REP, KRB_ERROR].map(application).contains(tag))
}

/// The time in a `KRB-ERROR` (5.9.1): seconds since 1970.
#[cfg(feature = "tcp")]
pub(super) fn error_time(bytes: &[u8]) -> Option<i64> {
    read_error(bytes).ok().and_then(|(_, theirs)| theirs)
}

/// The code and the time of a `KRB-ERROR` (5.9.1).
fn read_error(bytes: &[u8]) -> Result<(u32, Option<i64>), crate::SecurityError> {
    const WHAT: &str = "Kerberos error";
    let error = Der::only(bytes, application(KRB_ERROR), WHAT)?;
    let mut fields = Der::new(Der::only(error, SEQUENCE, WHAT)?, WHAT);
    let (mut code, mut theirs) = (None, None);
    while !fields.is_empty() {
        let (tag, content) = fields.any()?;
        if tag == context(4) {
            theirs = seconds(Der::only(content, GENERALIZED_TIME, WHAT)?);
        } else if tag == context(6) {
            code = Some(unsigned(content, WHAT)?);
        }
    }
    Ok((code.ok_or_else(|| fields.malformed())?, theirs))
}

/// What the server's reply brought.
pub(super) struct Accepted {
    /// The key that the server would rather have than the client's.
    pub(super) subkey: Option<Key>,
    /// The number of the first message that the server seals or signs.
    pub(super) number: u32,
}

/// What a token of GSS-API is (RFC 4121 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenId {
    ApReq,
    ApRep,
    Error,
}

impl TokenId {
    const ALL: [(Self, [u8; 2]); 3] =
        [(Self::ApReq, [1, 0]), (Self::ApRep, [2, 0]), (Self::Error, [3, 0])];
}

/// Puts a message into GSS-API's framing (RFC 2743 3.1).
pub(super) fn frame(id: TokenId, message: &[u8]) -> Vec<u8> {
    let mut content = element(OBJECT_IDENTIFIER, KERBEROS);
    for (of, bytes) in TokenId::ALL {
        if of == id {
            content.extend_from_slice(&bytes);
        }
    }
    content.extend_from_slice(message);
    element(application(0), &content)
}

/// Takes the server's answer out of GSS-API's framing.
pub(super) fn unframe(token: &[u8]) -> Result<&[u8], KerberosError> {
    const WHAT: &str = "Kerberos token";
    let malformed = KerberosError::Malformed(WHAT);
    let Ok(content) = Der::only(token, application(0), WHAT) else { return Err(malformed) };
    // What is after the identifier is no DER.
    let rest = content.strip_prefix(&element(OBJECT_IDENTIFIER, KERBEROS)[..]);
    match rest.and_then(|rest| rest.split_first_chunk::<2>()) {
        Some(([2 | 3, 0], message)) => Ok(message),
        _ => Err(malformed),
    }
}

pub(super) fn field(n: u8, content: &[u8]) -> Vec<u8> {
    element(context(n), content)
}

pub(super) fn encrypted(kind: i32, sealed: &[u8]) -> Vec<u8> {
    let fields = [field(0, &signed(kind)), field(2, &element(OCTET_STRING, sealed))];
    element(SEQUENCE, &fields.concat())
}

/// `PrincipalName` (5.2.2).
pub(super) fn name(name_type: i32, components: &[String]) -> Vec<u8> {
    let parts: Vec<u8> = components.iter().flat_map(|part| general_string(part)).collect();
    let fields = [field(0, &signed(name_type)), field(1, &element(SEQUENCE, &parts))];
    element(SEQUENCE, &fields.concat())
}

pub(super) fn general_string(text: &str) -> Vec<u8> {
    element(GENERAL_STRING, text.as_bytes())
}

/// An `INTEGER` that is not negative.
pub(super) fn integer(value: u32) -> Vec<u8> {
    let bytes = u64::from(value).to_be_bytes();
    // The shortest form whose first bit is no sign.
    let skip = bytes.windows(2).take_while(|pair| pair[0] == 0 && pair[1] < 0x80).count();
    let mut out = Vec::new();
    put(&mut out, INTEGER, &bytes[skip..]);
    out
}

/// An `Int32` (5.2.4), which kinds of names and of encryption are.
pub(super) fn signed(value: i32) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    // The shortest form with the same sign.
    let sign = if value < 0 { 0xff } else { 0 };
    let is_spare = |pair: &&[u8]| pair[0] == sign && (pair[1] ^ sign) < 0x80;
    let skip = bytes.windows(2).take_while(is_spare).count();
    element(INTEGER, &bytes[skip..])
}

/// Reads an `INTEGER` of 32 bits. Some write numbers over 2³¹ as negative ones.
fn unsigned(content: &[u8], what: &'static str) -> Result<u32, crate::SecurityError> {
    let bytes = Der::only(content, INTEGER, what)?;
    let significant = match bytes {
        [0, rest @ ..] if rest.len() == 4 => rest,
        _ => bytes,
    };
    if significant.is_empty() || significant.len() > 4 {
        return Err(crate::SecurityError::Malformed { what });
    }
    let sign = if significant.len() < 4 && significant[0] >= 0x80 { u32::MAX } else { 0 };
    Ok(significant.iter().fold(sign, |value, byte| value << 8 | u32::from(*byte)))
}

/// `KerberosTime` (5.2.3): the seconds since 1970 as a date of the Gregorian
/// calendar, in UTC.
pub(super) fn time(seconds: u64) -> [u8; 15] {
    // The last second of the year 9999.
    let seconds = seconds.min(253_402_300_799);
    let (mut year, mut day) = (1970, seconds / 86_400);
    while day >= days_of(year) {
        day -= days_of(year);
        year += 1;
    }
    let mut month = 0;
    while day >= days_in(year, month) {
        day -= days_in(year, month);
        month += 1;
    }
    let clock = seconds % 86_400;
    let numbers =
        [year / 100, year % 100, month + 1, day + 1, clock / 3600, clock / 60 % 60, clock % 60];
    let mut text = [b'Z'; 15];
    for (number, digits) in numbers.into_iter().zip(text.chunks_mut(2)) {
        digits[0] = b'0' + (number / 10) as u8;
        digits[1] = b'0' + (number % 10) as u8;
    }
    text
}

/// The seconds since 1970 of a `KerberosTime`.
fn seconds(text: &[u8]) -> Option<i64> {
    let (digits, end) = text.split_at_checked(14)?;
    if end != b"Z" || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |at: usize| u64::from(digits[at] - b'0') * 10 + u64::from(digits[at + 1] - b'0');
    let year = number(0) * 100 + number(2);
    let (month, day) = (number(4).checked_sub(1)?, number(6).checked_sub(1)?);
    if year < 1970 || month > 11 || day >= days_in(year, month) {
        return None;
    }
    let days = (1970..year).map(days_of).sum::<u64>()
        + (0..month).map(|month| days_in(year, month)).sum::<u64>()
        + day;
    Some((days * 86_400 + number(8) * 3600 + number(10) * 60 + number(12)) as i64)
}

fn days_of(year: u64) -> u64 {
    (0..12).map(|month| days_in(year, month)).sum()
}

/// Of a month from 0.
fn days_in(year: u64, month: u64) -> u64 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        1 if leap => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_dates_in_utc() {
        for (seconds_since, text) in [
            (0, "19700101000000Z"),
            (951_827_696, "20000229123456Z"),
            (1_700_000_000, "20231114221320Z"),
            (4_107_542_400, "21000301000000Z"),
            (253_402_300_799, "99991231235959Z"),
        ] {
            assert_eq!(std::str::from_utf8(&time(seconds_since)).unwrap(), text);
            assert_eq!(seconds(text.as_bytes()), Some(seconds_since as i64));
        }
        for wrong in ["", "20231114221320", "2023111422132ZZ", "20231314221320Z", "20230230000000Z"]
        {
            assert_eq!(seconds(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn numbers_are_written_short_and_read_signed_or_not() {
        for (value, bytes) in [
            (0, &[2, 1, 0][..]),
            (127, &[2, 1, 127]),
            (128, &[2, 2, 0, 128]),
            (0x8000_0001, &[2, 5, 0, 0x80, 0, 0, 1]),
        ] {
            assert_eq!(integer(value), bytes);
            assert_eq!(unsigned(bytes, "number"), Ok(value));
        }
        // Microsoft's names have kinds below zero (MS-KILE 2.2.4).
        for (value, bytes) in [
            (18, &[2, 1, 18][..]),
            (128, &[2, 2, 0, 128]),
            (-1, &[2, 1, 0xff]),
            (-128, &[2, 1, 0x80]),
            (-129, &[2, 2, 0xff, 0x7f]),
            (i32::MIN, &[2, 4, 0x80, 0, 0, 0]),
        ] {
            assert_eq!(signed(value), bytes);
        }
        assert_eq!(unsigned(&[2, 4, 0x80, 0, 0, 1], "number"), Ok(0x8000_0001));
        assert_eq!(unsigned(&[2, 1, 0xff], "number"), Ok(u32::MAX));
        assert!(unsigned(&[2, 5, 1, 0, 0, 0, 0], "number").is_err());
        assert!(unsigned(&[2, 0], "number").is_err());
    }

    #[test]
    fn a_server_that_says_what_time_it_has_tells_how_far_the_clock_is_off() {
        // By hand from RFC 4120 5.9.1: stime, susec, error-code, realm, sname.
        let error = [
            field(0, &integer(5)),
            field(1, &integer(30)),
            field(4, &element(GENERALIZED_TIME, b"20231114221320Z")),
            field(5, &integer(0)),
            field(6, &integer(37)),
        ];
        let error = element(application(KRB_ERROR), &element(SEQUENCE, &error.concat()));
        let now = UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000 + 7200);
        let authenticator = Authenticator::new(Key::AES256, 0, now).unwrap();
        let key = Key::random(Key::AES256).unwrap();
        let refusal = authenticator.check_ap_rep(&error, &key).err().unwrap();
        assert_eq!(
            refusal,
            KerberosError::ClockSkew { whose: "the server".into(), ahead: Some(7200) }
        );
        assert_eq!(refusal.to_string(), "this machine's clock is 2 h ahead of that of the server");
    }

    #[test]
    fn a_reply_that_repeats_another_time_is_not_the_servers() {
        let key = Key::random(Key::AES128).unwrap();
        let now = SystemTime::now();
        let ours = Authenticator::new(Key::AES128, 0, now).unwrap();
        // The third leg has the form of the second, but for the key.
        let reply = ours.ap_rep(7, &key).unwrap();
        let accepted = ours.check_ap_rep(&reply, &key).unwrap();
        assert_eq!((accepted.number, accepted.subkey.is_none()), (7, true));
        let later = Authenticator { microseconds: ours.microseconds ^ 1, ..ours.clone() };
        assert!(later.check_ap_rep(&reply, &key).is_err());
        assert!(ours.check_ap_rep(&reply, &Key::random(Key::AES128).unwrap()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_reply_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let key = Key::new(Key::AES128, &[1; 16]).unwrap();
            let ours = Authenticator::new(Key::AES128, 0, SystemTime::now()).unwrap();
            prop_assert!(ours.check_ap_rep(&bytes, &key).is_err());
            let mut error = vec![application(KRB_ERROR)];
            error.extend_from_slice(&bytes);
            prop_assert!(ours.check_ap_rep(&error, &key).is_err());
            let _ = unframe(&bytes);
        }

        /// Whatever a change leaves readable is what was said, as the key proves it.
        #[test]
        fn a_reply_that_was_changed_is_refused_or_means_the_same(
            at in any::<prop::sample::Index>(), change in 1u8.., cut in any::<prop::sample::Index>()
        ) {
            let key = Key::new(Key::AES128, &[1; 16]).unwrap();
            let ours = Authenticator::new(Key::AES128, 0, SystemTime::now()).unwrap();
            let reply = ours.ap_rep(7, &key).unwrap();
            let mut changed = reply.clone();
            changed[at.index(reply.len())] ^= change;
            if let Ok(accepted) = ours.check_ap_rep(&changed, &key) {
                prop_assert_eq!((accepted.number, accepted.subkey.is_none()), (7, true));
            }
            prop_assert!(ours.check_ap_rep(&reply[..cut.index(reply.len())], &key).is_err());
            let framed = frame(TokenId::ApRep, &reply);
            prop_assert_eq!(unframe(&framed), Ok(&reply[..]));
            prop_assert!(unframe(&framed[..cut.index(framed.len())]).is_err());
        }

        #[test]
        fn a_date_is_read_as_it_was_written(at in 0u64..253_402_300_800) {
            prop_assert_eq!(seconds(&time(at)), Some(at as i64));
        }
    }
}
