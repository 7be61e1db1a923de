//! The graph of modules: which file uses an item that another file declares.
//!
//! The paths of `use` declarations, expressions, types and patterns are resolved to the file that
//! declares the item, through re-exports. What only tests use (`#[cfg(test)]`) does not count, and
//! neither do `mod` declarations, re-exports and the arguments of macros.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use syn::visit::Visit;
use syn::{Attribute, Item, ItemUse, UseTree, Visibility};

/// The modules of a crate that are files.
pub(crate) struct Modules {
    by_path: BTreeMap<Vec<String>, Module>,
}

struct Module {
    file: PathBuf,
    /// Paths as written, without a leading `crate`, `self` or `super`.
    paths: Vec<Vec<String>>,
    /// Re-exported names, and what they stand for.
    reexports: HashMap<String, Vec<String>>,
}

impl Modules {
    /// Reads the crate whose sources are below `root`; `files` holds their paths and texts.
    pub(crate) fn read(root: &Path, files: &[(PathBuf, String)]) -> Self {
        let names: Vec<_> = files.iter().filter_map(|(file, _)| module_name(root, file)).collect();
        let known: BTreeSet<_> = names.iter().cloned().collect();
        let mut by_path = BTreeMap::new();
        for (file, text) in files {
            let Some(name) = module_name(root, file) else { continue };
            let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let mut reader =
                Reader { name: &name, known: &known, paths: Vec::new(), reexports: HashMap::new() };
            reader.visit_file(&parsed);
            let Reader { paths, reexports, .. } = reader;
            by_path.insert(name.clone(), Module { file: file.clone(), paths, reexports });
        }
        Self { by_path }
    }

    /// The edges: a file, and a file that declares something it uses.
    pub(crate) fn uses(&self) -> BTreeSet<(&Path, &Path)> {
        let mut edges = BTreeSet::new();
        for module in self.by_path.values() {
            for path in &module.paths {
                let declares = &self.by_path[&self.resolve(path, 0)];
                if declares.file != module.file {
                    edges.insert((module.file.as_path(), declares.file.as_path()));
                }
            }
        }
        edges
    }

    /// The module that declares the item of this path.
    fn resolve(&self, path: &[String], depth: usize) -> Vec<String> {
        assert!(depth < 10, "{path:?} is re-exported in a circle");
        let mut module = Vec::new();
        for (at, name) in path.iter().enumerate() {
            module.push(name.clone());
            if self.by_path.contains_key(&module) {
                continue;
            }
            module.pop();
            if let Some(target) = self.by_path.get(&module).and_then(|it| it.reexports.get(name)) {
                let path: Vec<_> = target.iter().chain(&path[at + 1..]).cloned().collect();
                return self.resolve(&path, depth + 1);
            }
            break;
        }
        module
    }
}

/// The path of the module in this file; `None` for tests and for the binary's root.
fn module_name(root: &Path, file: &Path) -> Option<Vec<String>> {
    let below = file.strip_prefix(root).ok()?.with_extension("");
    let mut name: Vec<String> = below.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if name.iter().any(|part| part == "tests") || name == ["main"] {
        return None;
    }
    if name.last().is_some_and(|last| last == "mod" || last == "lib") {
        name.pop();
    }
    Some(name)
}

/// Collects the paths in one file.
struct Reader<'m> {
    name: &'m [String],
    known: &'m BTreeSet<Vec<String>>,
    paths: Vec<Vec<String>>,
    reexports: HashMap<String, Vec<String>>,
}

impl Reader<'_> {
    /// The path from the root of the crate; `None` for a path into another crate, or a local name.
    fn absolute(&self, path: &[String]) -> Option<Vec<String>> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" => Some([self.name, rest].concat()),
            "super" => {
                let mut base = self.name;
                let mut rest = path;
                while let [first, others @ ..] = rest
                    && first == "super"
                {
                    base = base.split_last()?.1;
                    rest = others;
                }
                Some([base, rest].concat())
            }
            child => {
                let module = [self.name, &[child.to_owned()]].concat();
                self.known.contains(&module).then(|| [self.name, path].concat())
            }
        }
    }

    fn read_tree(&mut self, tree: &UseTree, prefix: &mut Vec<String>, is_reexport: bool) {
        match tree {
            UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.read_tree(&path.tree, prefix, is_reexport);
                prefix.pop();
            }
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.read_tree(tree, prefix, is_reexport));
            }
            UseTree::Glob(_) => self.used(prefix, None, is_reexport),
            UseTree::Name(name) => self.leaf(prefix, &name.ident.to_string(), None, is_reexport),
            UseTree::Rename(name) => {
                let (ident, rename) = (name.ident.to_string(), name.rename.to_string());
                self.leaf(prefix, &ident, Some(rename), is_reexport);
            }
        }
    }

    fn leaf(&mut self, prefix: &mut Vec<String>, name: &str, rename: Option<String>, is_reexport: bool) {
        if name == "self" {
            return self.used(prefix, rename.or_else(|| prefix.last().cloned()), is_reexport);
        }
        prefix.push(name.to_owned());
        self.used(prefix, Some(rename.unwrap_or_else(|| name.to_owned())), is_reexport);
        prefix.pop();
    }

    fn used(&mut self, path: &[String], name: Option<String>, is_reexport: bool) {
        let Some(path) = self.absolute(path) else { return };
        match name {
            Some(name) if is_reexport => {
                self.reexports.insert(name, path);
            }
            _ => self.paths.push(path),
        }
    }
}

impl<'a> Visit<'a> for Reader<'_> {
    fn visit_item(&mut self, item: &'a Item) {
        let attributes: &[Attribute] = match item {
            Item::Mod(it) => &it.attrs,
            Item::Fn(it) => &it.attrs,
            Item::Impl(it) => &it.attrs,
            Item::Use(it) => &it.attrs,
            Item::Const(it) => &it.attrs,
            _ => &[],
        };
        let is_test = |attribute: &Attribute| {
            attribute.path().is_ident("cfg")
                && attribute.parse_args::<syn::Path>().is_ok_and(|only| only.is_ident("test"))
        };
        if !attributes.iter().any(is_test) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'a ItemUse) {
        let is_reexport = !matches!(item.vis, Visibility::Inherited);
        self.read_tree(&item.tree, &mut Vec::new(), is_reexport);
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if names.len() > 1 {
            self.used(&names, None, false);
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_visibility(&mut self, _: &'a Visibility) {}

    fn visit_attribute(&mut self, _: &'a Attribute) {}
}

/// The circles: for each, the files that reach each other, and the edges among them.
pub(crate) fn circles<'e>(edges: &BTreeSet<(&'e Path, &'e Path)>) -> Vec<BTreeSet<(&'e Path, &'e Path)>> {
    let mut next: BTreeMap<&Path, Vec<&Path>> = BTreeMap::new();
    for (from, to) in edges {
        next.entry(from).or_default().push(to);
    }
    let reached = |from: &'e Path| {
        let mut seen = BTreeSet::new();
        let mut open: Vec<&Path> = next.get(from).cloned().unwrap_or_default();
        while let Some(file) = open.pop() {
            if seen.insert(file) {
                open.extend(next.get(file).into_iter().flatten());
            }
        }
        seen
    };
    let reach: BTreeMap<&Path, BTreeSet<&Path>> = next.keys().map(|file| (*file, reached(file))).collect();
    let both = |a: &Path, b: &Path| reach[a].contains(b) && reach.get(b).is_some_and(|it| it.contains(a));
    let mut found: BTreeMap<Vec<&Path>, BTreeSet<(&Path, &Path)>> = BTreeMap::new();
    for (from, to) in edges.iter().filter(|(from, to)| both(from, to)) {
        let members = reach[from].iter().copied().filter(|other| both(from, other)).collect();
        found.entry(members).or_default().insert((*from, *to));
    }
    found.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uses(files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<_> =
            files.iter().map(|(file, text)| (PathBuf::from(file), (*text).to_owned())).collect();
        let modules = Modules::read(Path::new("src"), &files);
        modules.uses().iter().map(|(from, to)| format!("{} {}", from.display(), to.display())).collect()
    }

    #[test]
    fn a_path_leads_to_the_file_that_declares_its_item() {
        let files = [
            ("src/lib.rs", "mod a; mod b; pub use a::inner::Deep;"),
            ("src/a/mod.rs", "mod inner; pub(crate) use inner::Deep; pub struct Flat;"),
            ("src/a/inner.rs", "use super::Flat; pub struct Deep;"),
            (
                "src/b.rs",
                "fn f() -> crate::a::Deep { crate::Deep::new() }\n#[cfg(test)] mod tests { use crate::a::Flat; }",
            ),
        ];
        assert_eq!(uses(&files), ["src/a/inner.rs src/a/mod.rs", "src/b.rs src/a/inner.rs"]);
    }

    #[test]
    fn a_circle_is_found_whatever_its_length() {
        let edges = [("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("d", "e"), ("e", "d"), ("e", "f")];
        let edges = edges.iter().map(|(from, to)| (Path::new(*from), Path::new(*to))).collect();
        let sizes: Vec<_> = circles(&edges).iter().map(BTreeSet::len).collect();
        assert_eq!(sizes, [3, 2]);
    }
}
