//! The endpoint mapper (C706 appendix O and L): which TCP port serves an
//! interface. Towers and `ept_map`, both ways; anything else it can do is not
//! needed here.

use std::net::Ipv4Addr;

use uuid::Uuid;

use crate::error::{Error, NdrError, ProtocolError, UsageError};
use crate::limits::{MAX_TOWER_BYTES, MAX_TOWER_FLOORS, MAX_TOWERS};
use crate::ndr::{ContextHandle, NdrReader, NdrWriter};
use crate::syntax::{NDR, SyntaxId};

/// The TCP port on which endpoint mappers listen.
pub const MAPPER_PORT: u16 = 135;

/// The operation `ept_map`.
pub const EPT_MAP: u16 = 3;
/// The operation `ept_lookup_handle_free`.
pub const EPT_LOOKUP_HANDLE_FREE: u16 = 4;

/// `ept_s_not_registered`: nobody serves the interface there.
pub const EPT_S_NOT_REGISTERED: u32 = 0x16c9_a0d6;

/// Protocol identifiers of floors (C706 appendix I).
const FLOOR_UUID: u8 = 0x0d;
const FLOOR_RPC_CONNECTION_ORIENTED: u8 = 0x0b;
const FLOOR_TCP: u8 = 0x07;
const FLOOR_IP: u8 = 0x09;

/// One floor of a tower: what protocol, and its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Floor {
    /// Left-hand side: the protocol identifier and what belongs to it.
    pub protocol: Vec<u8>,
    /// Right-hand side: the address.
    pub address: Vec<u8>,
}

/// A protocol tower (C706 appendix L): how an interface is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tower {
    /// Floors, the interface first.
    pub floors: Vec<Floor>,
}

impl Tower {
    /// The tower for an interface by NDR over TCP. `port` 0 and the address
    /// 0.0.0.0 ask for any.
    pub fn tcp(interface: SyntaxId, port: u16, address: Ipv4Addr) -> Self {
        let syntax_floor = |syntax: SyntaxId| {
            let mut protocol = vec![FLOOR_UUID];
            protocol.extend_from_slice(&syntax.uuid.to_bytes_le());
            protocol.extend_from_slice(&syntax.major.to_le_bytes());
            Floor { protocol, address: syntax.minor.to_le_bytes().to_vec() }
        };
        let floor =
            |id: u8, address: &[u8]| Floor { protocol: vec![id], address: address.to_vec() };
        Self {
            floors: vec![
                syntax_floor(interface),
                syntax_floor(NDR),
                floor(FLOOR_RPC_CONNECTION_ORIENTED, &[0, 0]),
                floor(FLOOR_TCP, &port.to_be_bytes()),
                floor(FLOOR_IP, &address.octets()),
            ],
        }
    }

    /// Encodes the tower.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = (self.floors.len() as u16).to_le_bytes().to_vec();
        for side in self.floors.iter().flat_map(|floor| [&floor.protocol, &floor.address]) {
            out.extend_from_slice(&(side.len() as u16).to_le_bytes());
            out.extend_from_slice(side);
        }
        out
    }

    /// Decodes a tower; every byte must belong to it.
    ///
    /// # Errors
    /// [`ProtocolError::Tower`] and [`ProtocolError::LimitExceeded`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ProtocolError> {
        let Some((count, mut rest)) = bytes.split_first_chunk::<2>() else {
            return Err(ProtocolError::Tower("floor count"));
        };
        let count = u16::from_le_bytes(*count);
        if count > MAX_TOWER_FLOORS {
            let (value, limit) = (count.into(), MAX_TOWER_FLOORS.into());
            return Err(ProtocolError::LimitExceeded { what: "floors in a tower", value, limit });
        }
        let mut floors = Vec::with_capacity(count.into());
        for _ in 0..count {
            let protocol = take_side(&mut rest, "protocol identifier")?;
            let address = take_side(&mut rest, "address")?;
            floors.push(Floor { protocol, address });
        }
        if !rest.is_empty() {
            return Err(ProtocolError::Tower("length"));
        }
        Ok(Self { floors })
    }

    /// The interface and transfer syntax named by the first two floors.
    pub fn syntaxes(&self) -> Option<(SyntaxId, SyntaxId)> {
        let syntax = |floor: &Floor| {
            let (&FLOOR_UUID, rest) = floor.protocol.split_first()? else { return None };
            let (uuid, major) = rest.split_first_chunk::<16>()?;
            let major = u16::from_le_bytes(major.try_into().ok()?);
            let minor = u16::from_le_bytes(floor.address.as_slice().try_into().ok()?);
            Some(SyntaxId { uuid: Uuid::from_bytes_le(*uuid), major, minor })
        };
        match self.floors.as_slice() {
            [interface, transfer, ..] => Some((syntax(interface)?, syntax(transfer)?)),
            _ => None,
        }
    }

    /// The TCP port and IPv4 address, when the tower leads there.
    pub fn tcp_endpoint(&self) -> Option<(u16, Ipv4Addr)> {
        let [_, _, rpc, tcp, ip] = self.floors.as_slice() else { return None };
        if rpc.protocol != [FLOOR_RPC_CONNECTION_ORIENTED]
            || tcp.protocol != [FLOOR_TCP]
            || ip.protocol != [FLOOR_IP]
        {
            return None;
        }
        let port = u16::from_be_bytes(tcp.address.as_slice().try_into().ok()?);
        let octets: [u8; 4] = ip.address.as_slice().try_into().ok()?;
        Some((port, octets.into()))
    }
}

/// The parameters of `ept_map`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapRequest {
    /// The object, when one is asked for.
    pub object: Option<Uuid>,
    /// What is looked for.
    pub tower: Tower,
    /// Null, or that of an answer before, for more of it.
    pub handle: ContextHandle,
    /// Most towers wanted.
    pub max_towers: u32,
}

impl MapRequest {
    /// Asks where an interface is served by NDR over TCP.
    pub fn tcp(interface: SyntaxId) -> Self {
        Self {
            object: None,
            tower: Tower::tcp(interface, 0, Ipv4Addr::UNSPECIFIED),
            handle: ContextHandle::NULL,
            max_towers: 4,
        }
    }

    /// Encodes the request stub.
    ///
    /// # Errors
    /// [`UsageError::Range`] for a tower that is too long.
    pub fn encode(&self) -> Result<Vec<u8>, UsageError> {
        let mut w = NdrWriter::new();
        // Windows always points to an object, if only to the nil one.
        w.pointer(true);
        w.uuid(&self.object.unwrap_or_default());
        w.pointer(true);
        write_tower(&mut w, &self.tower)?;
        w.context_handle(&self.handle);
        w.u32(self.max_towers);
        Ok(w.into_stub())
    }

    /// Decodes a request stub, for the server half.
    ///
    /// # Errors
    /// [`Error::Stub`] or [`Error::Protocol`].
    pub fn decode(stub: &[u8]) -> Result<Self, Error> {
        let mut r = NdrReader::new(stub);
        let object = if r.pointer()? { Some(r.uuid()?) } else { None };
        let object = object.filter(|uuid| !uuid.is_nil());
        if !r.pointer()? {
            return Err(NdrError::Null("map_tower").into());
        }
        let tower = read_tower(&mut r)?;
        let handle = r.context_handle()?;
        let max_towers = r.u32()?;
        Ok(Self { object, tower, handle, max_towers })
    }
}

/// What `ept_map` answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapResponse {
    /// Null when there is no more to ask for.
    pub handle: ContextHandle,
    /// What was found.
    pub towers: Vec<Tower>,
    /// 0, or why nothing was found.
    pub status: u32,
}

impl MapResponse {
    /// Encodes the response stub for a request of `max_towers`.
    ///
    /// # Errors
    /// [`UsageError::Range`] for too many or too long towers.
    pub fn encode(&self, max_towers: u32) -> Result<Vec<u8>, UsageError> {
        let mut w = NdrWriter::new();
        w.context_handle(&self.handle);
        w.count("towers", self.towers.len(), 0..=max_towers)?;
        // Conformant and varying: maximum, offset, actual count.
        w.u32(max_towers);
        w.u32(0);
        w.u32(self.towers.len() as u32);
        self.towers.iter().for_each(|_| w.pointer(true));
        for tower in &self.towers {
            write_tower(&mut w, tower)?;
        }
        w.u32(self.status);
        Ok(w.into_stub())
    }

    /// Decodes a response stub.
    ///
    /// # Errors
    /// [`Error::Stub`] or [`Error::Protocol`].
    pub fn decode(stub: &[u8]) -> Result<Self, Error> {
        let mut r = NdrReader::new(stub);
        let handle = r.context_handle()?;
        let count = r.count("towers", 0..=MAX_TOWERS, 4)? as u32;
        let max_count = r.u32()?;
        let offset = r.u32()?;
        if offset != 0 {
            return Err(
                NdrError::BadValue { what: "offset of towers", value: offset.into() }.into()
            );
        }
        let count = r.same_count("towers", count, 4)?;
        if max_count < count as u32 {
            let (one, other) = (max_count.into(), count as u64);
            return Err(NdrError::Disagree { what: "towers", one, other }.into());
        }
        let mut set = Vec::with_capacity(count);
        for _ in 0..count {
            set.push(r.pointer()?);
        }
        let mut towers = Vec::with_capacity(count);
        for _ in set.into_iter().filter(|set| *set) {
            towers.push(read_tower(&mut r)?);
        }
        let status = r.u32()?;
        Ok(Self { handle, towers, status })
    }

    /// The TCP port of the first tower that leads to an interface by TCP.
    pub fn tcp_port(&self, interface: &SyntaxId) -> Option<u16> {
        self.towers
            .iter()
            .filter(|tower| tower.syntaxes().is_some_and(|(found, _)| found.uuid == interface.uuid))
            .filter_map(Tower::tcp_endpoint)
            .map(|(port, _)| port)
            .find(|port| *port != 0)
    }
}

/// `twr_t`: a conformant structure, so its maximum stands before its length.
fn write_tower(w: &mut NdrWriter, tower: &Tower) -> Result<(), UsageError> {
    let bytes = tower.encode();
    w.count("bytes in a tower", bytes.len(), 0..=MAX_TOWER_BYTES)?;
    w.u32(bytes.len() as u32);
    w.bytes(&bytes);
    Ok(())
}

fn read_tower(r: &mut NdrReader<'_>) -> Result<Tower, Error> {
    let len = r.count("bytes in a tower", 0..=MAX_TOWER_BYTES, 1)?;
    let len = r.same_count("bytes in a tower", len as u32, 1)?;
    Ok(Tower::decode(r.bytes(len)?)?)
}

fn take_side(rest: &mut &[u8], what: &'static str) -> Result<Vec<u8>, ProtocolError> {
    let (len, after) = rest.split_first_chunk::<2>().ok_or(ProtocolError::Tower(what))?;
    let (taken, after) = after
        .split_at_checked(u16::from_le_bytes(*len).into())
        .ok_or(ProtocolError::Tower(what))?;
    *rest = after;
    Ok(taken.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EVEN6: SyntaxId =
        SyntaxId::new(uuid::uuid!("f6beaff7-1e19-4fbb-9f8f-b89e2018337c"), 1, 0);

    #[test]
    fn a_tcp_tower_as_c706_appendix_l_lays_it_out() {
        let mut expected = vec![5, 0, 19, 0, 0x0d];
        expected.extend([0xf7, 0xaf, 0xbe, 0xf6, 0x19, 0x1e, 0xbb, 0x4f]);
        expected.extend([0x9f, 0x8f, 0xb8, 0x9e, 0x20, 0x18, 0x33, 0x7c, 1, 0, 2, 0, 0, 0]);
        expected.extend([19, 0, 0x0d, 0x04, 0x5d, 0x88, 0x8a, 0xeb, 0x1c, 0xc9, 0x11]);
        expected.extend([0x9f, 0xe8, 0x08, 0x00, 0x2b, 0x10, 0x48, 0x60, 2, 0, 2, 0, 0, 0]);
        expected.extend([1, 0, 0x0b, 2, 0, 0, 0, 1, 0, 0x07, 2, 0, 0xc0, 0x2a]);
        expected.extend([1, 0, 0x09, 4, 0, 10, 0, 0, 7]);
        let tower = Tower::tcp(EVEN6, 49194, Ipv4Addr::new(10, 0, 0, 7));
        assert_eq!(tower.encode(), expected);
        let back = Tower::decode(&expected).unwrap();
        assert_eq!(back.tcp_endpoint(), Some((49194, Ipv4Addr::new(10, 0, 0, 7))));
        assert_eq!(back.syntaxes(), Some((EVEN6, NDR)));
    }

    #[test]
    fn requests_and_responses_survive_a_round_trip() {
        let request = MapRequest::tcp(EVEN6);
        assert_eq!(MapRequest::decode(&request.encode().unwrap()).unwrap(), request);
        for towers in [vec![], vec![Tower::tcp(EVEN6, 1, Ipv4Addr::LOCALHOST); 3]] {
            let status = if towers.is_empty() { EPT_S_NOT_REGISTERED } else { 0 };
            let response = MapResponse { handle: ContextHandle::NULL, towers, status };
            assert_eq!(MapResponse::decode(&response.encode(4).unwrap()).unwrap(), response);
        }
    }

    #[test]
    fn only_a_tcp_tower_of_the_interface_names_a_port() {
        let pipe = Tower {
            floors: vec![
                Tower::tcp(EVEN6, 0, Ipv4Addr::UNSPECIFIED).floors[0].clone(),
                Tower::tcp(EVEN6, 0, Ipv4Addr::UNSPECIFIED).floors[1].clone(),
                Floor { protocol: vec![0x0b], address: vec![0, 0] },
                Floor { protocol: vec![0x0f], address: b"\\pipe\\eventlog\0".to_vec() },
                Floor { protocol: vec![0x11], address: b"host\0".to_vec() },
            ],
        };
        let other = Tower::tcp(crate::syntax::ENDPOINT_MAPPER, 135, Ipv4Addr::LOCALHOST);
        let mut response =
            MapResponse { handle: ContextHandle::NULL, towers: vec![pipe, other], status: 0 };
        assert_eq!(response.tcp_port(&EVEN6), None);
        response.towers.push(Tower::tcp(EVEN6, 49152, Ipv4Addr::LOCALHOST));
        assert_eq!(response.tcp_port(&EVEN6), Some(49152));
    }

    proptest! {
        #[test]
        fn towers_survive_a_round_trip(sides in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 0..30), prop::collection::vec(any::<u8>(), 0..30)), 0..16))
        {
            let floors =
                sides.into_iter().map(|(protocol, address)| Floor { protocol, address }).collect();
            let tower = Tower { floors };
            prop_assert_eq!(Tower::decode(&tower.encode()), Ok(tower));
        }

        #[test]
        fn any_bytes_are_a_tower_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(tower) = Tower::decode(&bytes) {
                prop_assert_eq!(tower.encode(), bytes.clone());
                let _ = (tower.tcp_endpoint(), tower.syntaxes());
            }
            let _ = MapRequest::decode(&bytes);
            let _ = MapResponse::decode(&bytes);
        }
    }
}
