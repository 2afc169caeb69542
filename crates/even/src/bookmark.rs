//! Bookmarks as XML (2.2.14): what a client sends to say where it was.

use std::fmt::Write as _;

use crate::limits::{MAX_BOOKMARK_LENGTH, MAX_QUERY_CHANNEL_SIZE};
use crate::result_set::BookmarkData;

/// Where a reader stands in each channel of its query.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bookmark {
    /// One for each channel of which something was read.
    pub entries: Vec<BookmarkEntry>,
}

/// Where a reader stands in one channel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BookmarkEntry {
    /// The channel, or the file's path.
    pub channel: String,
    /// The number of the last record read.
    pub record_id: u64,
    /// Whether the last event of all is this channel's.
    pub is_current: bool,
}

/// Why a text is no bookmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a bookmark: {0}")]
pub struct BookmarkError(&'static str);

impl Bookmark {
    /// A bookmark in a single channel.
    pub fn single(channel: impl Into<String>, record_id: u64) -> Self {
        let entry = BookmarkEntry { channel: channel.into(), record_id, is_current: true };
        Self { entries: vec![entry] }
    }

    /// The bookmark after a record: `channels` are the query's, in the order
    /// in which the server named them. `None` when they are not as many.
    pub fn of_record(channels: &[String], position: &BookmarkData<'_>) -> Option<Self> {
        let ids: Vec<u64> = position.record_ids().collect();
        if ids.len() != channels.len() {
            return None;
        }
        let entries = ids
            .into_iter()
            .zip(channels)
            .enumerate()
            // Nothing was read of a channel that stands at 0.
            .filter(|(n, (id, _))| *id != 0 || *n == position.current_channel as usize)
            .map(|(n, (record_id, channel))| BookmarkEntry {
                channel: channel.clone(),
                record_id,
                is_current: n == position.current_channel as usize,
            })
            .collect();
        Some(Self { entries })
    }

    /// Writes the XML.
    pub fn to_xml(&self) -> String {
        let mut xml = String::from("<BookmarkList>");
        for entry in &self.entries {
            xml.push_str("<Bookmark Channel='");
            for c in entry.channel.chars() {
                match c {
                    '&' => xml.push_str("&amp;"),
                    '<' => xml.push_str("&lt;"),
                    '>' => xml.push_str("&gt;"),
                    '\'' => xml.push_str("&apos;"),
                    '"' => xml.push_str("&quot;"),
                    c if c.is_control() => {
                        let _ = write!(xml, "&#{};", u32::from(c));
                    }
                    c => xml.push(c),
                }
            }
            let _ = write!(xml, "' RecordId='{}'", entry.record_id);
            xml.push_str(if entry.is_current { " IsCurrent='true'/>" } else { "/>" });
        }
        xml.push_str("</BookmarkList>");
        xml
    }

    /// Reads the XML, as Windows and this crate write it. What else a document
    /// may hold (a declaration, comments, other elements) is refused.
    ///
    /// # Errors
    /// [`BookmarkError`].
    pub fn from_xml(xml: &str) -> Result<Self, BookmarkError> {
        if xml.len() > MAX_BOOKMARK_LENGTH as usize * 3 {
            return Err(BookmarkError("too long"));
        }
        let mut rest = xml.trim().trim_start_matches('\u{feff}');
        let (name, attributes, open) = element(&mut rest)?;
        // Which the schema doesn't have, and Windows writes for a query that reads backwards.
        let is_direction = |(key, value): &(String, String)| {
            key == "Direction" && matches!(&**value, "forward" | "backward")
        };
        if name != "BookmarkList" || !attributes.iter().all(is_direction) {
            return Err(BookmarkError("the root is not BookmarkList"));
        }
        let mut bookmark = Self::default();
        loop {
            if !open {
                break;
            }
            rest = rest.trim_start();
            if let Some(after) = close(rest, "BookmarkList") {
                rest = after;
                break;
            }
            let (name, attributes, open) = element(&mut rest)?;
            if name != "Bookmark" {
                return Err(BookmarkError("an unknown element"));
            }
            if open {
                rest = close(rest.trim_start(), "Bookmark")
                    .ok_or(BookmarkError("a Bookmark with content"))?;
            }
            bookmark.entries.push(entry(attributes)?);
            if bookmark.entries.len() > MAX_QUERY_CHANNEL_SIZE as usize {
                return Err(BookmarkError("too many channels"));
            }
        }
        if !rest.trim().is_empty() {
            return Err(BookmarkError("something after the root"));
        }
        Ok(bookmark)
    }
}

type Attributes = Vec<(String, String)>;

/// Takes one start tag; true when an end tag is to come.
fn element(rest: &mut &str) -> Result<(String, Attributes, bool), BookmarkError> {
    const TAG: BookmarkError = BookmarkError("a malformed tag");
    let text = rest.strip_prefix('<').ok_or(TAG)?;
    let end = text.find(|c: char| !c.is_ascii_alphanumeric()).ok_or(TAG)?;
    let (name, mut text) = text.split_at(end);
    let mut attributes = Vec::new();
    loop {
        text = text.trim_start();
        if let Some(after) = text.strip_prefix("/>") {
            *rest = after;
            return Ok((name.to_owned(), attributes, false));
        }
        if let Some(after) = text.strip_prefix('>') {
            *rest = after;
            return Ok((name.to_owned(), attributes, true));
        }
        let (key, after) = text.split_once('=').ok_or(TAG)?;
        let after = after.trim_start();
        let quote = after.chars().next().filter(|c| matches!(c, '\'' | '"')).ok_or(TAG)?;
        let (value, after) = after[1..].split_once(quote).ok_or(TAG)?;
        if attributes.len() == 8 || value.contains('<') {
            return Err(TAG);
        }
        attributes.push((key.trim().to_owned(), unescape(value)?));
        text = after;
    }
}

fn close<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.strip_prefix("</")?.strip_prefix(name)?.trim_start().strip_prefix('>')
}

fn entry(attributes: Attributes) -> Result<BookmarkEntry, BookmarkError> {
    let (mut channel, mut record_id, mut is_current) = (None, None, false);
    for (key, value) in attributes {
        match key.as_str() {
            "Channel" => channel = Some(value),
            "RecordId" => {
                let id = value.trim().parse().map_err(|_| BookmarkError("a bad RecordId"))?;
                record_id = Some(id);
            }
            // The specification's own example writes "True".
            "IsCurrent" => match value.trim() {
                "true" | "True" | "1" => is_current = true,
                "false" | "False" | "0" => {}
                _ => return Err(BookmarkError("a bad IsCurrent")),
            },
            _ => return Err(BookmarkError("an unknown attribute")),
        }
    }
    let channel = channel.ok_or(BookmarkError("a Bookmark without Channel"))?;
    let record_id = record_id.ok_or(BookmarkError("a Bookmark without RecordId"))?;
    Ok(BookmarkEntry { channel, record_id, is_current })
}

fn unescape(text: &str) -> Result<String, BookmarkError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let (entity, after) = after.split_once(';').ok_or(BookmarkError("a bad entity"))?;
        out.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "apos" => '\'',
            "quot" => '"',
            _ => entity
                .strip_prefix('#')
                .and_then(|number| match number.strip_prefix('x') {
                    Some(hex) => u32::from_str_radix(hex, 16).ok(),
                    None => number.parse().ok(),
                })
                .and_then(char::from_u32)
                .ok_or(BookmarkError("a bad entity"))?,
        });
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_bookmark_as_windows_writes_it_is_read() {
        let xml = "<BookmarkList>\r\n  <Bookmark Channel='Application' RecordId='2004' \
                   IsCurrent='true'/>\r\n</BookmarkList>";
        assert_eq!(Bookmark::from_xml(xml), Ok(Bookmark::single("Application", 2004)));
        let backward = xml.replace("<BookmarkList>", "<BookmarkList Direction='backward'>");
        assert_eq!(Bookmark::from_xml(&backward), Ok(Bookmark::single("Application", 2004)));
        let xml = r#"<BookmarkList><Bookmark Channel="A &amp; B" RecordId="1"></Bookmark></BookmarkList>"#;
        let bookmark = Bookmark::from_xml(xml).unwrap();
        assert_eq!(bookmark.entries[0].channel, "A & B");
        assert!(!bookmark.entries[0].is_current);
        assert_eq!(Bookmark::from_xml("<BookmarkList/>"), Ok(Bookmark::default()));
    }

    #[test]
    fn a_records_place_becomes_a_bookmark() {
        let mut bytes = Vec::new();
        crate::result_set::encode_record(&mut bytes, &[], &[], &[7, 0, 9], 2, false);
        let record = crate::result_set::ResultSetRecord::parse(&bytes).unwrap();
        let channels = ["System".to_owned(), "Setup".to_owned(), "Security".to_owned()];
        let bookmark = Bookmark::of_record(&channels, &record.position).unwrap();
        assert_eq!(
            bookmark.to_xml(),
            "<BookmarkList><Bookmark Channel='System' RecordId='7'/>\
             <Bookmark Channel='Security' RecordId='9' IsCurrent='true'/></BookmarkList>"
        );
        assert_eq!(Bookmark::of_record(&channels[..2], &record.position), None);
    }

    #[test]
    fn what_is_no_bookmark_is_refused() {
        for xml in [
            "",
            "<BookmarkList>",
            "<Bookmarks/>",
            "<BookmarkList/>x",
            "<BookmarkList><Bookmark RecordId='1'/></BookmarkList>",
            "<BookmarkList><Bookmark Channel='a'/></BookmarkList>",
            "<BookmarkList><Bookmark Channel='a' RecordId='-1'/></BookmarkList>",
            "<BookmarkList><Bookmark Channel='a' RecordId='1' IsCurrent='maybe'/></BookmarkList>",
            "<BookmarkList><Bookmark Channel='&x;' RecordId='1'/></BookmarkList>",
            "<BookmarkList><Other/></BookmarkList>",
            "<BookmarkList a='ü",
            "<BookmarkList Direction='up'/>",
            "<BookmarkList Other='backward'/>",
        ] {
            assert!(Bookmark::from_xml(xml).is_err(), "{xml}");
        }
    }

    proptest! {
        #[test]
        fn bookmarks_survive_a_round_trip(
            entries in prop::collection::vec(("\\PC{1,40}|[\\r\\n\\t'\"&<>]{1,5}", any::<u64>(), any::<bool>()), 0..6)
        ) {
            let entries = entries.into_iter().map(|(channel, record_id, is_current)|
                BookmarkEntry { channel, record_id, is_current }).collect();
            let bookmark = Bookmark { entries };
            prop_assert_eq!(Bookmark::from_xml(&bookmark.to_xml()), Ok(bookmark));
        }

        #[test]
        fn any_text_is_a_bookmark_or_an_error(text in "(<|>|/|Bookmark|List|=|'| |Channel|&|;|é){0,30}") {
            let _ = Bookmark::from_xml(&text);
        }
    }
}
