//! Values that their columns can't hold.

use quarry_event::Value;
use quarry_event::text::Json;

/// A number as its column holds it; what doesn't fit is reported.
pub(super) fn narrow<N: TryFrom<u64>>(
    value: Value<'_>,
    name: &'static str,
    odd: &mut Odd,
) -> Option<N> {
    let number = value.as_u64()?;
    let fits = N::try_from(number).ok();
    if fits.is_none() {
        odd.add(name, &value);
    }
    fits
}

/// Values that their columns can't hold, as members of JSON.
#[derive(Default)]
pub(super) struct Odd(Vec<u8>);

impl Odd {
    #[cold]
    pub(super) fn add(&mut self, name: &str, value: &Value<'_>) {
        self.0.extend_from_slice(if self.0.is_empty() { b"\"" } else { b",\"" });
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":\"");
        value.push::<Json>(&mut self.0);
        self.0.push(b'"');
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds them to the text of an object, or to nothing.
    #[cold]
    pub(super) fn add_to(&self, object: &mut Vec<u8>) {
        match object.pop() {
            Some(_) if object.len() > 1 => object.push(b','),
            Some(_) => {}
            None => object.push(b'{'),
        }
        object.extend_from_slice(b"\"not_in_columns\":{");
        object.extend_from_slice(&self.0);
        object.extend_from_slice(b"}}");
    }
}
