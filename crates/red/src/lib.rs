//! red.
