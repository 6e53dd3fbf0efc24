//! lightship-lab.
fn main() {}
