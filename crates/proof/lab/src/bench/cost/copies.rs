//! Copied bytes by stage, from what DHAT writes in its mode `copy` (valgrind manual, "DHAT", JSON of version 2).

use super::stages::{Stage, stage_of_frame};
use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct File {
    /// Places in the program where something is copied.
    pps: Vec<Place>,
    /// Frames: an address, a function, and its file.
    ftbl: Vec<String>,
}

#[derive(Deserialize)]
struct Place {
    /// Bytes copied.
    tb: u64,
    /// Frames, the innermost first.
    fs: Vec<usize>,
}

/// Bytes that each stage copied: of those in a stack, the innermost one.
pub(super) fn by_stage(text: &str) -> Result<BTreeMap<Stage, u64>> {
    let file: File = serde_json::from_str(text).context("DHAT wrote something else than expected")?;
    let mut bytes = BTreeMap::new();
    for place in &file.pps {
        let names = place.fs.iter().filter_map(|frame| file.ftbl.get(*frame));
        let stage = names.into_iter().find_map(|name| stage_of_frame(name)).unwrap_or(Stage::Rest);
        *bytes.entry(stage).or_insert(0) += place.tb;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: copies of a helper under two stages and of nobody. Guarantees: the innermost stage has them.
    #[test]
    fn copies_belong_to_the_innermost_stage() {
        let text = r#"{"pps":[{"tb":10,"tbk":1,"fs":[1,2,4]},{"tb":7,"tbk":1,"fs":[1,3,2]},{"tb":1,"tbk":1,"fs":[1]}],
            "ftbl":["[root]","0x1: memcpy (in vgpreload)","0x2: red::Red::observe (lib.rs:3)",
            "0x3: sampling::sampler::Sampler::part (sampler.rs:9)","0x4: main (main.rs:1)"]}"#;
        let bytes = by_stage(text).unwrap();
        assert_eq!((bytes[&Stage::Red], bytes[&Stage::Sampler], bytes[&Stage::Rest]), (10, 7, 1));
    }
}
