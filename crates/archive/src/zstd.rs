//! Zstandard (RFC 8878): frames one after the other, some of which may hold something else.

use std::io::{self, Read};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use crate::limits::Limits;

/// Reads what frames hold.
pub(crate) struct Frames<R> {
    packed: R,
    decoder: FrameDecoder,
    state: State,
}

enum State {
    Between,
    InFrame,
    Ended,
}

impl<R: Read> Frames<R> {
    pub(crate) fn new(packed: R) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(Limits::ZSTD_WINDOW);
        Frames { packed, decoder, state: State::Between }
    }

    /// Begins the frame that comes next.
    fn begin(&mut self) -> io::Result<State> {
        let mut first = [0];
        loop {
            match self.packed.read(&mut first) {
                Ok(0) => return Ok(State::Ended),
                Ok(_) => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        match self.decoder.init((&first[..]).chain(&mut self.packed)) {
            Ok(()) => Ok(State::InFrame),
            // What isn't compressed data.
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length,
                ..
            })) => {
                let length = u64::from(length);
                let skipped = io::copy(&mut (&mut self.packed).take(length), &mut io::sink())?;
                match skipped == length {
                    true => Ok(State::Between),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                }
            }
            Err(e) => Err(invalid(e)),
        }
    }
}

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match self.state {
                State::Ended => return Ok(0),
                State::Between => {
                    // An error ends it.
                    self.state = State::Ended;
                    self.state = self.begin()?;
                }
                State::InFrame => {
                    let read = self.decoder.read(buffer)?;
                    if read > 0 {
                        return Ok(read);
                    }
                    self.state = State::Ended;
                    if self.decoder.is_finished() {
                        let said = self.decoder.get_checksum_from_data();
                        if said.is_some() && said != self.decoder.get_calculated_checksum() {
                            return Err(invalid("the checksum is wrong"));
                        }
                        self.state = State::Between;
                    } else {
                        let one = BlockDecodingStrategy::UptoBlocks(1);
                        self.decoder.decode_blocks(&mut self.packed, one).map_err(invalid)?;
                        self.state = State::InFrame;
                    }
                }
            }
        }
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
