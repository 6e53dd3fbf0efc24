//! The bill of materials of one program: CycloneDX 1.5, without anything that differs from build to build.

use crate::dist::inputs::{MUSL, RUST, ZIG};
use crate::dist::packages::Linked;
use crate::dist::place::{Arch, Program};
use crate::dist::toolchain::Libc;
use anyhow::{Context, Result};
use serde_json::{Value, json};

/// A package of the web page that the hub has inside.
pub(crate) struct PagePackage {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) licence: Option<String>,
}

/// What ships for the page: everything in the lock file that is not for development only.
pub(crate) fn page_packages(lock: &str) -> Result<Vec<PagePackage>> {
    let lock: Value = serde_json::from_str(lock).context("ui/package-lock.json is no JSON")?;
    let packages = lock["packages"].as_object().context("ui/package-lock.json lists no packages")?;
    let shipped = packages.iter().filter_map(|(path, package)| {
        let (_, name) = path.rsplit_once("node_modules/")?;
        let is_for_development = ["dev", "devOptional", "optional"].iter().any(|kind| package[kind] == true);
        let licence = package["license"].as_str().map(str::to_owned);
        let version = package["version"].as_str()?.to_owned();
        (!is_for_development).then(|| PagePackage { name: name.to_owned(), version, licence })
    });
    Ok(shipped.collect())
}

/// The bill as text.
pub(crate) fn bill(
    program: Program,
    arch: Arch,
    libc: &Libc,
    digest: &str,
    packages: &[Linked],
    page: &[PagePackage],
) -> Result<String> {
    let reference = |package: &Linked| format!("pkg:cargo/{}@{}", package.name, package.version);
    let component = |package: &Linked| {
        let mut component = json!({
            "type": if package.root { "application" } else { "library" },
            "bom-ref": reference(package),
            "name": package.name,
            "version": package.version,
            "scope": "required",
        });
        if let Some(licence) = &package.licence {
            // Some manifests still write "MIT/Apache-2.0", which SPDX spells with a word.
            component["licenses"] = json!([{ "expression": licence.replace('/', " OR ") }]);
        }
        if let Some(checksum) = &package.checksum {
            component["purl"] = reference(package).into();
            component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
        }
        component
    };
    let root = packages.iter().find(|package| package.root).context("the program is not in its own list")?;
    let mut main = component(root);
    main["hashes"] = json!([{ "alg": "SHA-256", "content": digest }]);
    main["properties"] = json!([{ "name": "lightship:architecture", "value": arch.name() }]);
    let mut components: Vec<Value> = packages.iter().filter(|package| !package.root).map(component).collect();
    components.extend(base(libc));
    if program == Program::Hub {
        components.extend(page.iter().map(|package| {
            let reference = format!("pkg:npm/{}@{}", package.name.replace('@', "%40"), package.version);
            let mut component = json!({
                "type": "library", "bom-ref": reference, "purl": reference, "name": package.name,
                "version": package.version, "scope": "required",
            });
            if let Some(licence) = &package.licence {
                component["licenses"] = json!([{ "expression": licence }]);
            }
            component
        }));
    }
    let dependencies = packages.iter().map(|package| {
        let needs = package.dependencies.iter().filter_map(|place| packages.get(*place)).map(reference);
        json!({ "ref": reference(package), "dependsOn": needs.collect::<Vec<_>>() })
    });
    let bill = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": main },
        "components": components,
        "dependencies": dependencies.collect::<Vec<_>>(),
    });
    serde_json::to_string_pretty(&bill).map(|text| text + "\n").context("the bill of materials is no JSON")
}

/// What every program has below its packages.
fn base(libc: &Libc) -> Vec<Value> {
    let component = |name: &str, version: &str, licence: &str| {
        let reference = format!("pkg:generic/{name}@{version}");
        json!({
            "type": "library", "bom-ref": reference, "purl": reference, "name": name, "version": version,
            "scope": "required", "licenses": [{ "expression": licence }],
        })
    };
    let mut base = vec![component("rust-std", RUST, "MIT OR Apache-2.0")];
    match libc {
        Libc::Musl { .. } => {
            base.push(component("musl", MUSL, "MIT"));
            base.push(component("zig-compiler-rt", ZIG, "MIT"));
        }
        // Its version is the machine's, so that what is built of it is not the same everywhere.
        Libc::Glibc => base.push(component("glibc", "of-the-building-machine", "LGPL-2.1-or-later")),
    }
    base
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// Scenario: a lock file with a package of the page, a scoped one, and tools. Guarantees: the tools are left out.
    #[test]
    fn tools_do_not_ship_with_the_page() {
        let lock = r#"{"packages": {
            "": {"name": "page", "version": "0.1.0"},
            "node_modules/@scope/one": {"version": "1.0.0", "license": "MIT"},
            "node_modules/two": {"version": "2.0.0"},
            "node_modules/tool": {"version": "3.0.0", "dev": true},
            "node_modules/tool/node_modules/native": {"version": "3.0.0", "dev": true, "optional": true}
        }}"#;
        let names: Vec<_> = page_packages(lock).unwrap().into_iter().map(|package| package.name).collect();
        assert_eq!(names, ["@scope/one", "two"]);
    }

    /// Scenario: a program with one dependency. Guarantees: the bill is read and found valid by CycloneDX's own library,
    /// and names the dependency with its digest.
    #[test]
    fn the_bill_is_valid() {
        let package = |name: &str, checksum: Option<&str>, dependencies: Vec<usize>, root: bool| Linked {
            name: name.to_owned(),
            version: "1.2.3".to_owned(),
            licence: Some("MIT/Apache-2.0".to_owned()),
            checksum: checksum.map(str::to_owned),
            directory: PathBuf::new(),
            dependencies,
            root,
        };
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let packages = [package("lightship-hub", None, vec![1], true), package("other", Some(digest), vec![], false)];
        let page =
            [PagePackage { name: "@a/b".to_owned(), version: "2.11.4".to_owned(), licence: Some("MIT".to_owned()) }];
        let text = bill(Program::Hub, Arch::X86_64, &Libc::Glibc, digest, &packages, &page).unwrap();
        let read = cyclonedx_bom::prelude::Bom::parse_from_json(text.as_bytes()).unwrap();
        let found =
            cyclonedx_bom::prelude::Validate::validate_version(&read, cyclonedx_bom::prelude::SpecVersion::V1_5);
        assert!(found.passed(), "{found:?}\n{text}");
        assert!(text.contains("pkg:cargo/other@1.2.3") && text.contains("pkg:npm/%40a/b@2.11.4"), "{text}");
    }
}
