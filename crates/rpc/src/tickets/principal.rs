//! Whose tickets: account names and keytabs as Kerberos' principals.

use krb5::acceptor::{EncType, ServiceKey};
use krb5::client::NT_PRINCIPAL;
use krb5::{Krb5Conf, Principal};
use quarry_cred::{Account, AccountForm, Keytab, KeytabKey};

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

/// The principal of a keytab that an account means, or the first.
pub(super) fn in_keytab(
    account: Option<&Account>,
    keytab: &Keytab,
) -> Result<ClientName, KerberosError> {
    let is_it = |key: &&KeytabKey| account.is_none_or(|a| is_same(a, &key.components, &key.realm));
    let key = keytab.keys().iter().find(is_it).ok_or_else(|| {
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

/// The keys of types that are spoken, in the crate's form.
pub(super) fn keytab_of(keytab: &Keytab) -> krb5::Keytab {
    let key = |key: &KeytabKey| {
        let kind = EncType::from_i32(key.key_type.into())?;
        let (name, realm) = (key.components.join("/"), &*key.realm);
        Some(ServiceKey::new(name, realm, key.version, kind, key.key.to_vec()))
    };
    krb5::Keytab::from_keys(keytab.keys().iter().filter_map(key).collect())
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
}
