//! The project's own tasks: `cargo xtask test`, `bench`, `fuzz`.

fn main() {}
