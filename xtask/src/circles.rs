//! Rules about the files of one crate: none of them form a circle, and a type's methods stand where the type does.
//!
//! A file uses another one when a path of its code leads there, through reexports too. What is compiled for tests only does not
//! count, and a module may always use those that it lies in: it is a part of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use syn::visit::{self, Visit};
use syn::{Attribute, File, Item, ItemImpl, ItemUse, Type, UseTree};

use crate::floors::packages;
use crate::tools::root;

/// The path of a module inside its crate; the crate's own is empty.
type ModulePath = Vec<String>;

/// Looks at every crate of the workspace.
pub(crate) fn check(metadata: &Value) -> Result<()> {
    let root = root()?;
    let mut faults = Vec::new();
    for package in packages(metadata) {
        for target in package["targets"].as_array().into_iter().flatten() {
            let is_main = target["kind"].as_array().into_iter().flatten().any(|kind| kind == "lib" || kind == "bin");
            let Some(file) = target["src_path"].as_str().filter(|_| is_main) else { continue };
            let krate = Crate::read(Path::new(file))?;
            let shown = |path: &Path| path.strip_prefix(&root).unwrap_or(path).display().to_string();
            faults.extend(krate.circles().iter().map(|circle| {
                let files: Vec<String> = circle.iter().map(|path| shown(&krate.modules[*path].file)).collect();
                format!("a circle of files: {}", files.join(", "))
            }));
            faults.extend(krate.strays().into_iter().map(|(name, path, home)| {
                let (here, home) = (shown(&krate.modules[path].file), shown(&krate.modules[home].file));
                format!("{here}: methods of {name}, which stands in {home}: put them there or below, or make a type of their own")
            }));
        }
    }
    let known = std::fs::read_to_string(root.join(KNOWN)).with_context(|| format!("cannot read {KNOWN}"))?;
    let known: BTreeSet<&str> = known.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let new: Vec<&str> = faults.iter().map(String::as_str).filter(|fault| !known.contains(fault)).collect();
    let mended: Vec<&str> = known.into_iter().filter(|line| !faults.iter().any(|fault| fault == line)).collect();
    if !new.is_empty() {
        bail!("{} faults inside crates:\n{}", new.len(), new.join("\n"));
    }
    if !mended.is_empty() {
        bail!("these faults are mended: take them out of {KNOWN}:\n{}", mended.join("\n"));
    }
    Ok(())
}

/// The faults that are known and not mended yet; each line is one.
const KNOWN: &str = "xtask/known-faults.txt";

#[derive(Debug, Default)]
struct Module {
    file: PathBuf,
    /// What its code names, as absolute paths.
    named: BTreeSet<Vec<String>>,
    /// What can be named through it, and where that is.
    imported: BTreeMap<String, Vec<String>>,
    /// Types that stand here.
    types: BTreeSet<String>,
    /// Types that get methods here, by the path that they are named by.
    methods: BTreeSet<Vec<String>>,
}

#[derive(Debug, Default)]
struct Crate {
    modules: BTreeMap<ModulePath, Module>,
}

impl Crate {
    fn read(file: &Path) -> Result<Self> {
        let mut krate = Self::default();
        let directory = file.parent().context("a file lies in a directory")?;
        krate.read_module(&[], file, directory)?;
        krate.name_children();
        Ok(krate)
    }

    /// Reads a module's file, and those of its children, which lie in `directory`.
    fn read_module(&mut self, path: &[String], file: &Path, directory: &Path) -> Result<()> {
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let parsed = syn::parse_file(&text).with_context(|| format!("cannot parse {}", file.display()))?;
        self.modules.insert(path.to_vec(), Module { file: file.to_owned(), ..Module::default() });
        for child in children(&parsed) {
            let (flat, folder) = (directory.join(format!("{child}.rs")), directory.join(&child));
            let file = if flat.is_file() { flat } else { folder.join("mod.rs") };
            self.read_module(&[path, &[child]].concat(), &file, &folder)?;
        }
        self.add(path, &parsed);
        Ok(())
    }

    fn add(&mut self, path: &[String], parsed: &File) {
        let mut reader = Reader { here: path, module: Module::default() };
        reader.visit_file(parsed);
        let Module { named, imported, types, methods, .. } = reader.module;
        if let Some(module) = self.modules.get_mut(path) {
            (module.named, module.imported, module.types, module.methods) = (named, imported, types, methods);
        }
    }

    /// Makes paths that begin with the name of a child or of an import absolute.
    fn name_children(&mut self) {
        let known: BTreeSet<ModulePath> = self.modules.keys().cloned().collect();
        for (here, module) in &mut self.modules {
            let absolute = |path: &Vec<String>| match path.split_first() {
                Some((first, rest)) if first == "crate" => rest.to_vec(),
                Some((first, rest)) => match module.imported.get(first) {
                    Some(target) => [target.clone(), rest.to_vec()].concat(),
                    None => [here.clone(), path.clone()].concat(),
                },
                None => Vec::new(),
            };
            let own = |path: &Vec<String>| {
                let target = absolute(path);
                path.first().is_some_and(|first| first == "crate")
                    || module.imported.contains_key(path.first().map_or("", String::as_str))
                    || known.contains(&target[..=here.len().min(target.len() - 1)])
            };
            let named = module.named.iter().filter(|path| own(path)).map(absolute).collect();
            let methods = module.methods.iter().map(absolute).collect();
            (module.named, module.methods) = (named, methods);
        }
    }

    /// The module to which a path leads, through reexports, and what of the path is left there.
    fn resolve(&self, path: &[String]) -> (ModulePath, Vec<String>) {
        let mut path = path.to_vec();
        for _ in 0..8 {
            let depth = (0..=path.len()).rev().find(|depth| self.modules.contains_key(&path[..*depth])).unwrap_or(0);
            let (module, rest) = path.split_at(depth);
            let through = rest.first().and_then(|name| self.modules[module].imported.get(name));
            match through {
                Some(target) if *target != path => path = [target.clone(), rest[1..].to_vec()].concat(),
                _ => return (module.to_vec(), rest.to_vec()),
            }
        }
        (Vec::new(), Vec::new())
    }

    fn edges(&self) -> BTreeMap<&ModulePath, BTreeSet<&ModulePath>> {
        let mut edges = BTreeMap::new();
        for (here, module) in &self.modules {
            let targets =
                module.named.iter().map(|path| self.resolve(path).0).filter(|target| !here.starts_with(target));
            let targets: BTreeSet<_> =
                targets.filter_map(|target| self.modules.get_key_value(&target).map(|(path, _)| path)).collect();
            edges.insert(here, targets);
        }
        edges
    }

    /// The modules that use one another, group by group.
    fn circles(&self) -> Vec<Vec<&ModulePath>> {
        let edges = self.edges();
        let reach = |from: &ModulePath| {
            let mut reached: BTreeSet<&ModulePath> = BTreeSet::new();
            let mut open: Vec<&ModulePath> = edges[from].iter().copied().collect();
            while let Some(next) = open.pop() {
                if reached.insert(next) {
                    open.extend(&edges[next]);
                    // Who uses a module uses what lies in it; who lies in it is a part of it.
                    open.extend(
                        self.modules
                            .keys()
                            .filter(|path| path.len() == next.len() + 1 && path.starts_with(next))
                            .filter(|_| !next.is_empty()),
                    );
                }
            }
            reached
        };
        let reached: BTreeMap<&ModulePath, BTreeSet<&ModulePath>> =
            self.modules.keys().map(|path| (path, reach(path))).collect();
        let mut seen = BTreeSet::new();
        let mut circles = Vec::new();
        for path in self.modules.keys() {
            let circle: Vec<&ModulePath> = self
                .modules
                .keys()
                .filter(|other| reached[path].contains(other) && reached[*other].contains(path))
                .collect();
            if circle.len() > 1 && circle.iter().all(|one| seen.insert(*one)) {
                circles.push(circle);
            }
        }
        circles
    }

    /// Methods of a type in a module that does not lie in the type's own: the type, where they are, where it stands.
    fn strays(&self) -> Vec<(String, &ModulePath, &ModulePath)> {
        let mut strays = Vec::new();
        for (here, module) in &self.modules {
            for path in &module.methods {
                let (home, rest) = self.resolve(path);
                let [name] = rest.as_slice() else { continue };
                let Some((home, owner)) = self.modules.get_key_value(&home) else { continue };
                if owner.types.contains(name) && !here.starts_with(home) {
                    strays.push((name.clone(), here, home));
                }
            }
        }
        strays
    }
}

/// Whether something is compiled for tests only.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes
        .iter()
        .any(|one| one.path().is_ident("cfg") && one.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test")))
}

fn children(file: &File) -> Vec<String> {
    let modules = file.items.iter().filter_map(|item| match item {
        Item::Mod(module) if module.content.is_none() && !is_test(&module.attrs) => Some(module.ident.to_string()),
        _ => None,
    });
    modules.collect()
}

/// Reads what one file names.
struct Reader<'a> {
    here: &'a [String],
    module: Module,
}

impl Reader<'_> {
    /// The path with `self` and `super` written out; `crate` leads every absolute one.
    fn written_out(&self, path: Vec<String>) -> Vec<String> {
        let ups = path.iter().take_while(|one| *one == "super").count();
        let own = path.first().is_some_and(|first| first == "self");
        if ups == 0 && !own {
            return path;
        }
        let base = &self.here[..self.here.len().saturating_sub(ups)];
        [&["crate".to_owned()], base, &path[ups.max(usize::from(own))..]].concat()
    }

    fn import(&mut self, tree: &UseTree, before: &[String]) {
        match tree {
            UseTree::Path(path) => self.import(&path.tree, &[before, &[path.ident.to_string()]].concat()),
            UseTree::Group(group) => group.items.iter().for_each(|item| self.import(item, before)),
            UseTree::Glob(_) => self.name(before.to_vec()),
            UseTree::Name(name) => self.import_as(before, &name.ident.to_string(), &name.ident.to_string()),
            UseTree::Rename(name) => self.import_as(before, &name.ident.to_string(), &name.rename.to_string()),
        }
    }

    fn import_as(&mut self, before: &[String], name: &str, alias: &str) {
        let (name, alias) = match name {
            "self" => (None, before.last().cloned().unwrap_or_default()),
            other => (Some(other.to_owned()), alias.to_owned()),
        };
        let path = self.written_out([before.to_vec(), name.into_iter().collect()].concat());
        match path.split_first() {
            Some((first, rest)) if first == "crate" => {
                self.module.imported.insert(alias, rest.to_vec());
            }
            // `pub use child::Name`
            Some(_) if path.len() > 1 => {
                self.module.imported.insert(alias, [self.here, &path].concat());
            }
            _ => {}
        }
        self.name(path);
    }

    fn name(&mut self, path: Vec<String>) {
        let path = self.written_out(path);
        if path.len() > 1 {
            self.module.named.insert(path);
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let (attributes, name) = match item {
            Item::Mod(one) => (&one.attrs, None),
            Item::Fn(one) => (&one.attrs, None),
            Item::Impl(one) => (&one.attrs, None),
            Item::Use(one) => (&one.attrs, None),
            Item::Struct(one) => (&one.attrs, Some(&one.ident)),
            Item::Enum(one) => (&one.attrs, Some(&one.ident)),
            _ => return visit::visit_item(self, item),
        };
        if is_test(attributes) {
            return;
        }
        self.module.types.extend(name.map(ToString::to_string));
        visit::visit_item(self, item);
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.import(&item.tree, &[]);
    }

    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        if let (None, Type::Path(path)) = (&item.trait_, &*item.self_ty) {
            let path = path.path.segments.iter().map(|one| one.ident.to_string()).collect();
            let path = self.written_out(path);
            self.module.methods.insert(path);
        }
        visit::visit_item_impl(self, item);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.name(path.segments.iter().map(|one| one.ident.to_string()).collect());
        visit::visit_path(self, path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn krate(files: &[(&str, &str)]) -> (tempfile::TempDir, Crate) {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let krate = Crate::read(&directory.path().join("lib.rs")).unwrap();
        (directory, krate)
    }

    /// Scenario: files use one another in one direction, children use their parents and siblings, tests use what they like. Guarantees:
    /// no circle, no stray method.
    #[test]
    fn files_in_one_direction_are_no_circle() {
        let (_kept, krate) = krate(&[
            ("lib.rs", "mod low; mod high; pub use high::High;"),
            ("low.rs", "pub struct Low; #[cfg(test)] mod tests { use crate::High; }"),
            ("high.rs", "mod part; use crate::low::Low; pub struct High(Low); impl High { fn a() { part::b(); } }"),
            ("high/part.rs", "use super::High; use crate::low; pub fn b() { low::x(); } impl High { fn c() {} }"),
        ]);
        assert_eq!(krate.circles(), Vec::<Vec<&ModulePath>>::new());
        assert!(krate.strays().is_empty(), "{:?}", krate.strays());
    }

    /// Scenario: two files use each other: by imports, through a reexport, by a whole path, through a child. Guarantees: each is a
    /// circle of its files.
    #[test]
    fn circles_are_found() {
        for (low, high, part) in [
            ("use crate::high::High;", "use crate::low::Low;", ""),
            ("use crate::High;", "use crate::Low;", ""),
            ("fn a() { crate::high::b(); }", "fn b() { super::low::a(); }", ""),
            ("use crate::high; fn a() { high::b(); }", "", "use crate::low::Low;"),
        ] {
            let (_kept, krate) = krate(&[
                ("lib.rs", "mod low; mod high; pub use high::High; pub use low::Low;"),
                ("low.rs", &format!("{low} pub struct Low;")),
                ("high.rs", &format!("{high} mod part; pub struct High;")),
                ("high/part.rs", part),
            ]);
            let circles = krate.circles();
            assert_eq!(circles.len(), 1, "{low} {high} {part}");
            assert!(circles[0].contains(&&vec!["low".to_owned()]), "{circles:?}");
        }
    }

    /// Scenario: methods of a type in a file beside its own. Guarantees: they are found, whatever name they go by; implementing a trait
    /// is none.
    #[test]
    fn stray_methods_are_found() {
        for stray in ["use crate::low::Low; impl Low {}", "use crate::Low; impl Low {}", "impl crate::low::Low {}"] {
            let (_kept, krate) = krate(&[
                ("lib.rs", "mod low; mod high; pub use low::Low;"),
                ("low.rs", "pub struct Low;"),
                ("high.rs", &format!("{stray} use crate::Low as Other; impl Clone for Other {{}}")),
            ]);
            let strays = krate.strays();
            assert_eq!(strays.len(), 1, "{stray}");
            assert_eq!(strays[0].0, "Low");
        }
    }
}
