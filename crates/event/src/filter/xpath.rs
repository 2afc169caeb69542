//! A filter as XPath, for a server that tests before it sends (MS-EVEN6 2.2.15).

use super::Filter;

/// The most channels of one query.
pub const MAX_CHANNELS: usize = 512;

/// What a server bears.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct XPathLimits {
    /// The most expressions (comparisons) in a select.
    pub expressions: usize,
    /// The most selects.
    pub selects: usize,
}

impl Default for XPathLimits {
    /// 20 expressions, which every version of Windows takes, in 8 selects.
    fn default() -> Self {
        XPathLimits { expressions: 20, selects: 8 }
    }
}

/// The part of a filter that a server can test.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pushed {
    /// XPath expressions; an event that the filter passes is selected by one of them.
    pub selects: Vec<String>,
    /// Whether no other event is selected.
    pub exact: bool,
}

pub(super) fn push_down(_filter: &Filter, _limits: &XPathLimits) -> Pushed {
    unimplemented!()
}

/// Writes structured queries (MS-EVEN6 2.2.16) for channels: as many as it takes with at most
/// [`MAX_CHANNELS`] channels each.
pub fn query_lists<C: AsRef<str>>(_channels: &[C], _selects: &[String]) -> Vec<String> {
    unimplemented!()
}
