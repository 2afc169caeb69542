//! Languages of resources (MS-LCID), and the ANSI code pages they imply.

use serde::{Deserialize, Serialize};

/// The languages that Windows is made in, by their identifiers and names (MS-LCID 2.2).
const NAMES: &[(u16, &str)] = &[
    (0x0401, "ar-SA"),
    (0x0402, "bg-BG"),
    (0x0403, "ca-ES"),
    (0x0404, "zh-TW"),
    (0x0405, "cs-CZ"),
    (0x0406, "da-DK"),
    (0x0407, "de-DE"),
    (0x0408, "el-GR"),
    (0x0409, "en-US"),
    (0x040b, "fi-FI"),
    (0x040c, "fr-FR"),
    (0x040d, "he-IL"),
    (0x040e, "hu-HU"),
    (0x0410, "it-IT"),
    (0x0411, "ja-JP"),
    (0x0412, "ko-KR"),
    (0x0413, "nl-NL"),
    (0x0414, "nb-NO"),
    (0x0415, "pl-PL"),
    (0x0416, "pt-BR"),
    (0x0418, "ro-RO"),
    (0x0419, "ru-RU"),
    (0x041a, "hr-HR"),
    (0x041b, "sk-SK"),
    (0x041d, "sv-SE"),
    (0x041e, "th-TH"),
    (0x041f, "tr-TR"),
    (0x0421, "id-ID"),
    (0x0422, "uk-UA"),
    (0x0424, "sl-SI"),
    (0x0425, "et-EE"),
    (0x0426, "lv-LV"),
    (0x0427, "lt-LT"),
    (0x042a, "vi-VN"),
    (0x042d, "eu-ES"),
    (0x0456, "gl-ES"),
    (0x0804, "zh-CN"),
    (0x0809, "en-GB"),
    (0x080a, "es-MX"),
    (0x0816, "pt-PT"),
    (0x0c04, "zh-HK"),
    (0x0c0a, "es-ES"),
    (0x0c0c, "fr-CA"),
    (0x241a, "sr-Latn-RS"),
];

/// A language identifier: ten bits of a primary language and six of a variety of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct LanguageId(pub u16);

impl LanguageId {
    /// No language: resources for everybody.
    pub const NEUTRAL: LanguageId = LanguageId(0);
    /// English of the United States.
    pub const ENGLISH: LanguageId = LanguageId(0x409);

    /// The language that Windows calls by a name (`en-US`), without regard to case.
    pub fn from_name(name: &str) -> Option<Self> {
        NAMES.iter().find(|known| known.1.eq_ignore_ascii_case(name)).map(|&(id, _)| LanguageId(id))
    }

    /// The name of the language (`en-US`), if it is one that Windows is made in.
    pub fn name(self) -> Option<&'static str> {
        NAMES.iter().find(|known| known.0 == self.0).map(|&(_, name)| name)
    }

    /// The primary language, of which this is a variety.
    pub fn primary(self) -> u16 {
        self.0 & 0x3ff
    }

    /// The [`distance`](Self::distance) of a resource that is for everybody.
    pub(crate) const DISTANCE_NEUTRAL: u8 = 3;

    /// How well a resource's language serves one who wants this one: lower is better. The same
    /// language, the primary language alone (as Wine's resources have), another variety of it,
    /// neutral, English, anything.
    pub(crate) fn distance(self, resource: LanguageId) -> u8 {
        match resource {
            _ if resource == self => 0,
            _ if resource.0 == self.primary() => 1,
            _ if resource.primary() == self.primary() => 2,
            LanguageId::NEUTRAL => Self::DISTANCE_NEUTRAL,
            _ if resource.primary() == LanguageId::ENGLISH.primary() => 4,
            _ => 5,
        }
    }

    /// Decodes text of the language's ANSI code page up to the first NUL.
    pub(crate) fn decode_ansi(self, bytes: &[u8]) -> String {
        let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
        let encoding = codepage::to_encoding(self.code_page()).unwrap_or(encoding_rs::WINDOWS_1252);
        encoding.decode_without_bom_handling(&bytes[..end]).0.into_owned()
    }

    /// The ANSI code page of the language (NLS information, "Default ANSI code page").
    fn code_page(self) -> u16 {
        match (self.primary(), self.0 >> 10) {
            // Chinese: Taiwan, Hong Kong and Macao write traditional characters.
            (0x04, 1 | 3 | 5) => 950,
            (0x04, _) => 936,
            (0x11, _) => 932,
            (0x12, _) => 949,
            (0x1e, _) => 874,
            (0x2a, _) => 1258,
            // Serbian (0x1a) in Cyrillic letters is 1251, the others of its group are 1250.
            (0x1a, 3 | 7) => 1251,
            (0x05 | 0x0e | 0x15 | 0x18 | 0x1a | 0x1b | 0x1c | 0x24, _) => 1250,
            (0x02 | 0x19 | 0x22 | 0x23 | 0x2f | 0x3f | 0x40 | 0x44 | 0x50, _) => 1251,
            (0x08, _) => 1253,
            (0x1f | 0x2c, _) => 1254,
            (0x0d, _) => 1255,
            (0x01 | 0x20 | 0x29, _) => 1256,
            (0x25..=0x27, _) => 1257,
            _ => 1252,
        }
    }
}

impl std::fmt::Display for LanguageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_of_the_primary_language_alone_serves_its_varieties() {
        let wanted = LanguageId(0x407);
        let mut offered =
            [LanguageId(0x409), LanguageId(0x410), LanguageId(0), LanguageId(0x807), LanguageId(7)];
        offered.sort_by_key(|&language| wanted.distance(language));
        assert_eq!(offered.map(|language| language.0), [7, 0x807, 0, 0x409, 0x410]);
    }
}
