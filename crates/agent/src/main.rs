//! lightship.
fn main() {}
