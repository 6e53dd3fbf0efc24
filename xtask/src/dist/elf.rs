//! What a built program says of itself, and where two of them differ.

use anyhow::{Context, Result, bail};
use object::elf::{ET_DYN, FileHeader64, PT_INTERP};
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};
use object::{Endianness, Object, ObjectSection};
use std::fs;
use std::path::Path;

/// Holds a program to what is said of it: nothing is loaded beside it, and it may lie anywhere in memory.
pub(crate) fn check_static_pie(path: &Path) -> Result<()> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let refuse = |why: &str| bail!("{} {why}", path.display());
    let program = ElfFile64::<Endianness>::parse(bytes.as_slice()).context("the program is no ELF file")?;
    let headers = program.elf_program_headers().iter();
    if headers.into_iter().any(|header| header.p_type(program.endian()) == PT_INTERP) {
        return refuse("is not static: it asks for a loader");
    }
    let header: &FileHeader64<Endianness> = program.elf_header();
    if header.e_type(program.endian()) != ET_DYN {
        return refuse("is not position-independent");
    }
    Ok(())
}

/// The place of a byte in a file: the section that holds it, for a program.
pub(crate) fn place(bytes: &[u8], offset: usize) -> Option<String> {
    let program = ElfFile64::<Endianness>::parse(bytes).ok()?;
    let offset = offset as u64;
    let holds = |section: &object::read::elf::ElfSection64<'_, '_, Endianness>| {
        section.file_range().is_some_and(|(start, size)| (start..start + size).contains(&offset))
    };
    let section = program.sections().find(holds)?;
    let (start, _) = section.file_range()?;
    Some(format!("{} + {:#x}", section.name().ok()?, offset - start))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: this test's own program, which is linked with the C library of the machine. Guarantees: it is not taken
    /// for a static one, and a byte of its code is found in its section.
    #[test]
    fn a_program_that_needs_a_loader_is_not_static() {
        let path = std::env::current_exe().unwrap();
        let refusal = check_static_pie(&path).unwrap_err().to_string();
        assert!(refusal.ends_with("is not static: it asks for a loader"), "{refusal}");
        let bytes = fs::read(&path).unwrap();
        let program = ElfFile64::<Endianness>::parse(bytes.as_slice()).unwrap();
        let (start, _) = program.section_by_name(".text").unwrap().file_range().unwrap();
        assert_eq!(place(&bytes, start as usize + 16).unwrap(), ".text + 0x10");
        assert_eq!(place(b"text", 1), None);
    }
}
