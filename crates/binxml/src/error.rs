//! What can be wrong with BinXML, and where.

/// BinXML that can't be read: what is wrong, and the offset of it in the bytes given (of a file,
/// in the chunk).
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{fault} at byte {offset}")]
pub struct BinXmlError {
    /// What is wrong.
    pub fault: Fault,
    /// Where.
    pub offset: usize,
}

/// What is wrong with BinXML.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The bytes end within something.
    #[error("the data ends too soon")]
    Truncated,
    /// A token that doesn't exist, or not here.
    #[error("unexpected token 0x{0:02x}")]
    Token(u8),
    /// There is no event in the fragment.
    #[error("there is no event")]
    Empty,
    /// An end tag without a start tag, or a fragment that ends inside an element.
    #[error("an element is not closed")]
    Unbalanced,
    /// A substitution outside of a template.
    #[error("a substitution stands outside of a template")]
    StraySubstitution,
    /// Literal text that isn't of the string type.
    #[error("literal text has the type 0x{0:02x}")]
    LiteralType(u8),
    /// What a record refers to is not there any more: only of one that was left over in a chunk.
    #[error("the {0} it refers to was overwritten")]
    Overwritten(&'static str),
    /// A bound of [`Limits`](crate::Limits) is passed.
    #[error("more {0} than allowed")]
    Limit(&'static str),
}

pub(crate) type Result<T> = std::result::Result<T, BinXmlError>;

impl Fault {
    pub(crate) fn at(self, offset: usize) -> BinXmlError {
        BinXmlError { fault: self, offset }
    }
}
