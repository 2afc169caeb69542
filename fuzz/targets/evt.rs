//! A whole `.evt` file with its slack, read forwards and backwards.

use super::evtx::read_file;

pub fn run(data: &[u8]) {
    read_file(data, true);
}
