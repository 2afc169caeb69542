//! GUIDs as sixteen bytes in a catalogue.

use quarry_event::Guid;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(crate) fn serialize<S: Serializer>(guid: &Guid, to: S) -> Result<S::Ok, S::Error> {
    guid.to_bytes().serialize(to)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Guid, D::Error> {
    <[u8; 16]>::deserialize(from).map(Guid::from_bytes)
}

/// The same for a GUID that need not be there.
pub(crate) mod optional {
    use super::{Deserialize, Deserializer, Guid, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(guid: &Option<Guid>, to: S) -> Result<S::Ok, S::Error> {
        guid.map(Guid::to_bytes).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Guid>, D::Error> {
        Ok(<Option<[u8; 16]>>::deserialize(from)?.map(Guid::from_bytes))
    }
}
