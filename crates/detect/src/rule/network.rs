//! Networks in CIDR notation (the modifier `cidr`).

use std::net::IpAddr;

/// Addresses that begin alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address.parse::<IpAddr>().ok()?, Some(bits.parse().ok()?)),
            None => (text.parse::<IpAddr>().ok()?, None),
        };
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        (bits <= most).then_some(Network { address, bits })
    }

    /// Whether a text is an address of the network. An IPv4 address that is written as IPv6
    /// (`::ffff:10.1.2.3`, as Windows does in event 4624) is the IPv4 address. The zone of an IPv6
    /// address (RFC 4007, section 11: `fe80::1%12`) says on which link it is, and doesn't count.
    pub(crate) fn contains(&self, text: &str) -> bool {
        let text = text.trim();
        let address = match text.split_once('%') {
            Some((address, zone)) if !zone.is_empty() => address.parse().ok().map(IpAddr::V6),
            _ => text.parse().ok(),
        };
        let Some(address) = address else { return false };
        let same = |a: u128, b: u128, width: u8| {
            let shift = u32::from(width - self.bits);
            a.checked_shr(shift).unwrap_or(0) == b.checked_shr(shift).unwrap_or(0)
        };
        match (self.address, address) {
            (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
            (a, b) => match (a, b.to_canonical()) {
                (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
                _ => false,
            },
        }
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_addresses_not_texts() {
        let network = |text| Network::parse(text).unwrap();
        assert!(network("10.0.0.0/8").contains("10.1.2.3"));
        assert!(network("10.0.0.0/8").contains("::ffff:10.1.2.3"));
        assert!(!network("10.0.0.0/8").contains("100.1.2.3"));
        assert!(!network("10.0.0.0/8").contains("10.host"));
        assert!(network("::1/128").contains("0:0:0:0:0:0:0:1"));
        assert!(network("0.0.0.0/0").contains("1.2.3.4"));
        assert!(!network("0.0.0.0/0").contains("fe80::1"));
        assert_eq!(Network::parse("10.0.0.0/33"), None);
        // RFC 4007, section 11.
        assert!(network("fe80::/10").contains("fe80::1%12"));
        assert!(network("fe80::/10").contains("fe80::1%eth0"));
        assert!(!network("fe80::/10").contains("fe80::1%"));
        assert!(!network("10.0.0.0/8").contains("10.1.2.3%1"));
    }
}
