//! Every bound on what a record can make the decoder do.

/// Bounds on a record. What real records have is far below them.
#[derive(Clone, Copy, Debug)]
pub struct Limits;

impl Limits {
    /// Elements inside one another, in one template.
    pub const ELEMENT_DEPTH: usize = 64;
    /// Attributes of one element.
    pub const ATTRIBUTES: usize = 256;
    /// Elements, attributes and runs of text in one template.
    pub const TEMPLATE_NODES: usize = 16_384;
    /// Bytes of literal text in one template, as UTF-8.
    pub const TEMPLATE_TEXT: usize = 1 << 20;
    /// Template instances inside one another.
    pub const INSTANCE_DEPTH: usize = 8;
    /// Template instances in one record.
    pub const INSTANCES: usize = 1024;
    /// Substitution values in one record.
    pub const VALUES: usize = 65_536;
    /// Steps and bytes of text that a record may take to print, where templates that use a value
    /// again, or arrays, make it print more than it holds.
    pub const EXPANSION: usize = 16 << 20;
    /// Bytes of an event as MS-EVEN6 can send it (MAX_RPC_EVENT_SIZE, section 6).
    pub const WIRE_EVENT: usize = 2 << 20;
    /// Values of a record whose names were overwritten.
    pub const UNNAMED: u32 = 256;
    /// Template definitions that are kept for records that are left over.
    pub const DEFINITIONS: usize = 65_536;
    /// Bytes of these.
    pub const DEFINITION_BYTES: usize = 64 << 20;
    /// Compiled templates that a decoder keeps.
    pub const TEMPLATES: usize = 8192;
    /// Compiled templates of one identifier and length that a decoder keeps.
    pub const TEMPLATE_VARIANTS: usize = 16;
}
