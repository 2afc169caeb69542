//! Frames between the web process and its privileged helper: any bytes are refused or read, and what is
//! read is the same when it is written and read again.

pub(crate) fn run(bytes: &[u8]) {
    quarry_web::access::helper::fuzz(bytes);
}
