//! Message tables: the resource RT_MESSAGETABLE, which the message compiler makes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::bytes::{Bytes, utf16};
use crate::catalogue::bounded;
use crate::language::LanguageId;

/// Messages by their identifiers, in the order of these. The text is as it is in the resource: with
/// its insertion marks, and with the line end that nearly every message has at its end.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct MessageTable {
    /// Identifiers, and where each text ends in `text`.
    #[serde(deserialize_with = "bounded::<_, _, { MessageTable::MAX_ENTRIES }>")]
    ends: Vec<(u32, u32)>,
    text: String,
}

impl MessageTable {
    /// The most messages that are read from one resource.
    pub const MAX_MESSAGES: usize = 1 << 18;

    /// The most messages of one table, which may be of several resources.
    pub const MAX_ENTRIES: usize = 1 << 19;

    /// The longest text of a message, in bytes. An entry of a message table has at most 65,535 bytes (the
    /// length in MESSAGE_RESOURCE_ENTRY is a WORD), and a character of UTF-16 has three of UTF-8 for two.
    pub const MAX_MESSAGE_TEXT: usize = 65_535 / 2 * 3;

    /// The most bytes of text in one table.
    pub const MAX_TEXT: usize = 32 << 20;

    /// A table of the given messages. Of two with one identifier the first counts. What no table of Windows can
    /// hold is left out.
    pub fn new<S: AsRef<str>>(messages: impl IntoIterator<Item = (u32, S)>) -> Self {
        let mut sorted = BTreeMap::new();
        for (id, text) in messages {
            if text.as_ref().len() > Self::MAX_MESSAGE_TEXT {
                continue;
            }
            sorted.entry(id).or_insert(text);
        }
        let mut table = MessageTable::default();
        for (id, text) in sorted {
            // What doesn't fit is left out: lengths are 32 bits wide.
            let fits = table.text.len() + text.as_ref().len() <= Self::MAX_TEXT;
            if fits && table.ends.len() < Self::MAX_ENTRIES {
                table.text.push_str(text.as_ref());
                table.ends.push((id, table.text.len() as u32));
            }
        }
        table
    }

    /// Reads a resource (MESSAGE_RESOURCE_DATA). ANSI entries are in the code page of `language`.
    ///
    /// # Errors
    /// [`Error::Malformed`] where a block or an entry lies outside of the resource,
    /// [`Error::Limit`] where there are more than [`MAX_MESSAGES`](Self::MAX_MESSAGES) messages or
    /// [`MAX_TEXT`](Self::MAX_TEXT) bytes of text.
    pub fn read(resource: &[u8], language: LanguageId) -> Result<Self, Error> {
        const BLOCK: usize = 12;
        let data = Bytes::new(resource, "message table");
        let blocks = data.count(0, 4, BLOCK)?;
        let mut messages = Vec::new();
        let mut text_len = 0;
        for block in 0..blocks {
            let at = 4 + block * BLOCK;
            let (low, high) = (data.u32(at)?, data.u32(at + 4)?);
            if low > high {
                return Err(data.malformed(at));
            }
            let mut entry = data.size(at + 8)?;
            for id in low..=high {
                let len = usize::from(data.u16(entry)?);
                if len < 4 {
                    return Err(data.malformed(entry));
                }
                let bytes = data.slice(entry + 4, len - 4)?;
                let text = match data.u16(entry + 2)? {
                    0 => language.decode_ansi(bytes),
                    1 => utf16(bytes),
                    // MESSAGE_RESOURCE_UTF8, which newer message compilers write.
                    2 => utf8(bytes),
                    _ => return Err(data.malformed(entry + 2)),
                };
                text_len += text.len();
                if messages.len() == Self::MAX_MESSAGES {
                    let limit = Self::MAX_MESSAGES as u64;
                    return Err(Error::Limit { what: "messages in a table", limit });
                }
                if text_len > Self::MAX_TEXT {
                    let limit = Self::MAX_TEXT as u64;
                    return Err(Error::Limit { what: "bytes of text in a table", limit });
                }
                messages.push((id, text));
                entry += len;
            }
        }
        Ok(Self::new(messages))
    }

    /// The text of a message.
    pub fn get(&self, id: u32) -> Option<&str> {
        let at = self.position(id)?;
        self.text_at(at)
    }

    /// The place of a message among the messages.
    pub(crate) fn position(&self, id: u32) -> Option<usize> {
        self.ends.binary_search_by_key(&id, |&(id, _)| id).ok()
    }

    fn text_at(&self, at: usize) -> Option<&str> {
        let start = match at.checked_sub(1) {
            Some(before) => self.ends.get(before)?.1,
            None => 0,
        };
        let text = self.text.get(start as usize..self.ends.get(at)?.1 as usize)?;
        (text.len() <= Self::MAX_MESSAGE_TEXT).then_some(text)
    }

    /// All messages, in the order of their identifiers.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &str)> {
        self.ends.iter().enumerate().filter_map(|(at, &(id, _))| Some((id, self.text_at(at)?)))
    }

    /// How many messages there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// How long all texts together are, in bytes.
    pub(crate) fn text_len(&self) -> usize {
        self.text.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// This table's messages, and those of another that this one lacks.
    #[must_use]
    pub fn merged(&self, other: &MessageTable) -> MessageTable {
        if self.is_empty() {
            return other.clone();
        }
        MessageTable::new(self.iter().chain(other.iter()))
    }
}

fn utf8(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A resource with one block.
    fn resource(low: u32, entries: &[(u16, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&1u32.to_le_bytes());
        out.extend_from_slice(&low.to_le_bytes());
        out.extend_from_slice(&(low + entries.len() as u32 - 1).to_le_bytes());
        out.extend_from_slice(&16u32.to_le_bytes());
        for (flags, text) in entries {
            out.extend_from_slice(&(text.len() as u16 + 4).to_le_bytes());
            out.extend_from_slice(&flags.to_le_bytes());
            out.extend_from_slice(text);
        }
        out
    }

    #[test]
    fn unicode_ansi_and_utf8_entries_are_read_in_the_code_page_of_their_language() {
        let bytes = resource(7, &[(1, b"H\0i\0\0\0"), (0, b"\xc4\xe0\0\0"), (2, "é\0".as_bytes())]);
        let table = MessageTable::read(&bytes, LanguageId(0x419)).unwrap();
        assert_eq!(table.iter().collect::<Vec<_>>(), [(7, "Hi"), (8, "Да"), (9, "é")]);
        assert_eq!(table.get(10), None);
    }

    #[test]
    fn an_entry_outside_of_the_resource_is_an_error_with_its_place() {
        let mut bytes = resource(1, &[(1, b"H\0i\0")]);
        bytes[8] = 2; // a second message, of which there is nothing
        let error = MessageTable::read(&bytes, LanguageId::ENGLISH).unwrap_err();
        assert_eq!(error.to_string(), "damaged message table at byte 24");
    }

    #[test]
    fn blocks_that_share_their_entries_are_bounded() {
        // 30,000 blocks that say they have the same entries of 4 bytes.
        let entries = 4000u32;
        let mut bytes = 30_000u32.to_le_bytes().to_vec();
        let at = 4 + 30_000 * 12;
        for _ in 0..30_000 {
            bytes.extend_from_slice(&1u32.to_le_bytes());
            bytes.extend_from_slice(&entries.to_le_bytes());
            bytes.extend_from_slice(&u32::to_le_bytes(at));
        }
        bytes.extend([4, 0, 1, 0].repeat(entries as usize));
        let error = MessageTable::read(&bytes, LanguageId::ENGLISH).unwrap_err();
        assert_eq!(error.to_string(), "more than 262144 messages in a table");
    }
}
