//! lightship-hub.
fn main() {}
