//! The calls. Each is made in one place, which checks what it gives; handles are closed when they
//! are dropped.

mod bookmark;
mod call;
mod channels;
mod log;
mod machine;
mod render;
mod results;
mod signal;

pub use bookmark::Bookmark;
pub use channels::Channels;
pub use log::LogInfo;
pub use machine::computer_name;
pub use render::Renderer;
pub use results::{Event, MAX_EVENTS, Next, ResultSet, SeekFrom, Start, Subscription};
pub use signal::Signal;
