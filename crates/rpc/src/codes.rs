//! Tables of the codes that servers answer with.

/// Gives a type of codes its constants, their names, `Display` and `Debug`.
///
/// The type is followed by how a code with a name is displayed, and how any other; then come the
/// codes, each with its name. It is this crate's and `quarry-even`'s, and no promise to others.
#[doc(hidden)]
#[macro_export]
macro_rules! codes {
    (
        $type:ident, $known:literal, $unknown:literal;
        $($(#[$doc:meta])* $name:ident = $value:literal, $text:literal;)*
    ) => {
        impl $type {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            /// What the code means, where it is known here.
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some($text),)*
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self.name() {
                    Some(name) => write!(f, $known, name = name, code = self.0),
                    None => write!(f, $unknown, code = self.0),
                }
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({self})", stringify!($type))
            }
        }
    };
}
