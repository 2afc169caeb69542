//! Whose tickets: account names and keytabs as Kerberos' principals.

use krb5::acceptor::{EncType, ServiceKey};
use krb5::client::NT_PRINCIPAL;
use krb5::{Krb5Conf, Principal};
use quarry_cred::{Account, AccountForm, Keytab, KeytabKey};

use super::SESSION_TYPES;
use crate::security::kerberos::KerberosError;

/// Who asks for tickets.
pub(super) struct ClientName {
    pub(super) principal: Principal,
    /// As it is shown.
    pub(super) shown: String,
}

/// The principal of an account. A realm is a domain's DNS name in capitals; a
/// domain's short name is believed to be the default realm's if that begins so.
pub(super) fn of_account(
    account: &Account,
    configuration: &Krb5Conf,
) -> Result<ClientName, KerberosError> {
    let default = configuration.default_realm();
    let realm = match (account.form(), account.authority()) {
        (AccountForm::DownLevel, Some(".")) => None,
        (_, Some(realm)) if realm.contains('.') => Some(realm.to_uppercase()),
        (_, Some(short)) => match default {
            Some(realm) if begins_with(realm, short) => Some(realm.to_owned()),
            // A realm of one part has to be written with an @.
            _ if account.form() == AccountForm::Principal => Some(short.to_uppercase()),
            _ => None,
        },
        (_, None) => default.map(str::to_owned),
    };
    let realm = realm.ok_or_else(|| KerberosError::NoRealm(account.to_string()))?;
    let principal = Principal::new(NT_PRINCIPAL, [account.user()], realm);
    Ok(ClientName { shown: principal.to_string(), principal })
}

fn begins_with(realm: &str, label: &str) -> bool {
    realm.split('.').next().is_some_and(|first| first.eq_ignore_ascii_case(label))
}

/// The principal of a keytab that an account means. Without an account it is the first with an AES
/// key that has the form of an account's name: one part, which a computer's keytab has besides its
/// services'.
pub(super) fn in_keytab(
    account: Option<&Account>,
    keytab: &Keytab,
) -> Result<ClientName, KerberosError> {
    let is_it = |key: &&KeytabKey| account.is_none_or(|a| is_same(a, &key.components, &key.realm));
    let is_aes = |key: &&KeytabKey| SESSION_TYPES.contains(&key.key_type.into());
    let keys = || keytab.keys().iter().filter(is_it);
    let key = keys()
        .filter(is_aes)
        .find(|key| key.components.len() == 1)
        .or_else(|| keys().find(is_aes))
        .or_else(|| keys().next())
        .ok_or_else(|| {
            KerberosError::NoKey(account.map(ToString::to_string).unwrap_or_default())
        })?;
    let principal = Principal::new(NT_PRINCIPAL, key.components.clone(), key.realm.clone());
    Ok(ClientName { shown: principal.to_string(), principal })
}

/// Whether an account, as it was typed, means a principal. Windows makes no
/// difference between small letters and capitals.
pub(super) fn is_same(account: &Account, components: &[String], realm: &str) -> bool {
    let is_user = components.join("/").to_lowercase() == account.user().to_lowercase();
    let is_realm = account.authority().is_none_or(|authority| {
        authority.eq_ignore_ascii_case(realm)
            || account.form() == AccountForm::DownLevel && begins_with(realm, authority)
    });
    is_user && is_realm
}

/// A principal's keys of types that are spoken, in the crate's form: copies that it doesn't wipe.
pub(super) fn keytab_of(keytab: &Keytab, of: &Principal) -> krb5::Keytab {
    let key = |key: &KeytabKey| {
        let kind = EncType::from_i32(key.key_type.into())?;
        let (name, realm) = (key.components.join("/"), &*key.realm);
        Some(ServiceKey::new(name, realm, key.version, kind, key.key.to_vec()))
    };
    let is_of = |key: &&KeytabKey| key.components == of.components && key.realm == of.realm;
    krb5::Keytab::from_keys(keytab.keys().iter().filter(is_of).filter_map(key).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_a_principal_of_the_realm_that_it_names_or_of_the_default_one() {
        let configured = Krb5Conf::parse("[libdefaults]\ndefault_realm = CORP.EXAMPLE\n").unwrap();
        let shown = |text: &str, configuration: &Krb5Conf| {
            of_account(&text.parse().unwrap(), configuration).map(|name| name.shown).ok()
        };
        for (text, with, without) in [
            ("ann", Some("ann@CORP.EXAMPLE"), None),
            (r"CORP\ann", Some("ann@CORP.EXAMPLE"), None),
            (r"corp.example\ann", Some("ann@CORP.EXAMPLE"), Some("ann@CORP.EXAMPLE")),
            (r"OTHER\ann", None, None),
            (r".\ann", None, None),
            ("ann@other.example", Some("ann@OTHER.EXAMPLE"), Some("ann@OTHER.EXAMPLE")),
            ("ann@lab", Some("ann@LAB"), Some("ann@LAB")),
        ] {
            assert_eq!(shown(text, &configured).as_deref(), with, "{text}");
            assert_eq!(shown(text, &Krb5Conf::empty()).as_deref(), without, "{text}");
        }
    }

    #[test]
    fn a_principal_is_meant_without_regard_to_case_and_by_the_domains_short_name() {
        let is = |text: &str| is_same(&text.parse().unwrap(), &["Ann".to_owned()], "CORP.EXAMPLE");
        assert!(is("ann") && is(r"CORP\ann") && is("ann@corp.example"));
        assert!(!is("ben") && !is(r"LAB\ann") && !is("ann@corp") && !is(r".\ann"));
    }

    #[test]
    fn of_a_keytab_the_accounts_own_aes_key_is_taken_and_no_other_is_copied() {
        let entry = |components: &[&str], key_type: u16| {
            let mut entry = (components.len() as u16).to_be_bytes().to_vec();
            for text in [&["CORP"], components].concat() {
                entry.extend_from_slice(&(text.len() as u16).to_be_bytes());
                entry.extend_from_slice(text.as_bytes());
            }
            entry.extend_from_slice(&[0; 8]);
            entry.push(1);
            let len = if key_type == 17 { 16 } else { 32u16 };
            entry.extend([key_type, len].map(u16::to_be_bytes).concat());
            entry.resize(entry.len() + usize::from(len), 7);
            [&(entry.len() as u32).to_be_bytes()[..], &entry].concat()
        };
        let keytab = |entries: &[(&[&str], u16)]| {
            let entries: Vec<u8> =
                entries.iter().flat_map(|(name, kind)| entry(name, *kind)).collect();
            Keytab::from_bytes([&[5, 2][..], &entries].concat()).unwrap()
        };
        let host: &[&str] = &["host", "nas"];
        let computer = keytab(&[(host, 23), (host, 18), (&["NAS$"], 23), (&["NAS$"], 17)]);
        let shown = |account: Option<&str>| {
            let account = account.map(|text| text.parse().unwrap());
            in_keytab(account.as_ref(), &computer).map(|name| name.shown).ok()
        };
        assert_eq!(shown(None).as_deref(), Some("NAS$@CORP"));
        assert_eq!(shown(Some("nas$")).as_deref(), Some("NAS$@CORP"));
        assert_eq!(shown(Some("ann")), None);
        let copied = keytab_of(&computer, &Principal::new(NT_PRINCIPAL, ["NAS$"], "CORP"));
        assert_eq!(copied.keys().len(), 1);
        let service = keytab(&[(host, 23), (host, 18)]);
        assert_eq!(in_keytab(None, &service).unwrap().shown, "host/nas@CORP");
    }
}
