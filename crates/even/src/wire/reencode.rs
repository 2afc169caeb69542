//! Any operation's stub by its number: for tools that check or show stubs.

use quarry_rpc::Error;

use super::{Message, Operation};
use crate::Opnum;
use crate::opnum::with_operations;

/// Which of an operation's two stubs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The client's.
    Request,
    /// The server's.
    Response,
}

macro_rules! define {
    ($($number:literal, $name:ident, $method:ident;)*) => {
        /// Decodes a stub and encodes what came of it. What is lawful and not as
        /// this crate writes it (padding, referent ids, an empty array in its
        /// other form) comes out in this crate's form.
        ///
        /// # Errors
        /// [`Error::Stub`] when it does not decode, [`Error::Usage`] when what
        /// came of it cannot be encoded.
        pub fn reencode(
            opnum: Opnum,
            direction: Direction,
            stub: &[u8],
        ) -> Result<Vec<u8>, Error> {
            match (opnum, direction) {
                $(
                    (Opnum::$name, Direction::Request) => {
                        Ok(<$name as Operation>::Request::decode(stub)?.encode()?)
                    }
                    (Opnum::$name, Direction::Response) => {
                        Ok(<$name as Operation>::Response::decode(stub)?.encode()?)
                    }
                )*
            }
        }
    };
}

use super::messages::*;
with_operations!(define);
