//! A mistake at a place in the file.

use std::fmt;

use yaml::Place;

/// Something wrong at a place.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) place: Place,
    pub(crate) what: String,
}

impl Fault {
    pub(crate) fn at(place: Place, what: String) -> Self {
        Self { place, what }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}
