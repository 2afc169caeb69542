//! `krb5.conf`, and who the key distribution centres of a realm are.

use std::path::Path;
use std::time::Duration;

use krb5::{AsyncKdcClient, ConfigError, KdcClient, Krb5Conf};

use super::SESSION_TYPES;
use super::failure::of_configuration;
use crate::security::kerberos::KerberosError;

/// Kerberos' configuration.
#[derive(Clone, Debug, Default)]
pub struct Configuration(Krb5Conf);

impl Configuration {
    /// Reads files one after the other as one; those that don't exist are passed
    /// over. With none, DNS tells what there is.
    ///
    /// # Errors
    /// [`KerberosError::Configuration`].
    pub fn load<P: AsRef<Path>>(files: impl IntoIterator<Item = P>) -> Result<Self, KerberosError> {
        Krb5Conf::load(files).map(Self).map_err(|e| KerberosError::Configuration(e.to_string()))
    }

    /// Reads a file's text.
    ///
    /// # Errors
    /// [`KerberosError::Configuration`].
    pub fn parse(text: &str) -> Result<Self, KerberosError> {
        Krb5Conf::parse(text).map(Self).map_err(|e| KerberosError::Configuration(e.to_string()))
    }

    pub(super) fn inner(&self) -> &Krb5Conf {
        &self.0
    }

    /// A client of a realm's key distribution centres: those of the configuration,
    /// or of DNS, or else whatever has the realm's own name, as an Active Directory
    /// domain's controllers do.
    pub(super) async fn client(
        &self,
        realm: &str,
        timeout: Duration,
    ) -> Result<AsyncKdcClient, KerberosError> {
        let client = match AsyncKdcClient::from_config(&self.0, realm).await {
            Ok(client) => client.into_client(),
            Err(ConfigError::NoKdcFound { dns: true, .. } | ConfigError::Dns { .. }) => {
                let client = KdcClient::new(realm, [realm.to_lowercase()]);
                let defaults = self.0.client_defaults(realm);
                client.with_defaults(&defaults.map_err(|e| of_configuration(e, realm))?)
            }
            Err(error) => return Err(of_configuration(error, realm)),
        };
        // By TCP alone: what is sent by UDP may be sent, and a wrong password counted, again; and
        // Active Directory's tickets mostly don't fit into a datagram.
        let client = client.with_udp(false);
        // Nobody else gets our tickets on, so they need not be good for that.
        let client = client.with_forwardable(false).with_proxiable(false);
        let client = client.with_timeout(timeout).with_tgs_enctypes(&SESSION_TYPES);
        Ok(AsyncKdcClient::new(client))
    }
}
