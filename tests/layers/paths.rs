//! The paths that a file names, and the names that it defines and imports.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree, Visibility};

/// What one module, inline or not, defines and names.
#[derive(Debug, Default)]
pub(crate) struct Module {
    /// From the crate's root: `["net", "pool"]`.
    pub(crate) path: Vec<String>,
    pub(crate) file: String,
    pub(crate) is_test: bool,
    /// Names of items, child modules included.
    pub(crate) defined: Vec<String>,
    /// Names and the paths that they stand for.
    pub(crate) imported: Vec<(String, Vec<String>)>,
    /// Paths of which everything is imported.
    pub(crate) globs: Vec<Vec<String>>,
    /// All paths that are named, imports included.
    pub(crate) named: Vec<Vec<String>>,
}

/// The modules of a file: the file's own and the inline ones.
pub(crate) fn modules(
    file: &str,
    path: Vec<String>,
    is_test: bool,
    code: &syn::File,
) -> Vec<Module> {
    let mut found = Vec::new();
    read_module(file, path, is_test, &code.items, &mut found);
    found
}

fn read_module(
    file: &str,
    path: Vec<String>,
    is_test: bool,
    items: &[Item],
    found: &mut Vec<Module>,
) {
    let mut module = Module {
        path,
        file: file.to_owned(),
        is_test,
        ..Module::default()
    };
    for item in items {
        if has_cfg(attributes(item), "doc") {
            continue;
        }
        module.defined.extend(name(item));
        if let Item::Mod(syn::ItemMod {
            ident,
            attrs,
            content: Some((_, items)),
            ..
        }) = item
        {
            let path = [module.path.clone(), vec![ident.to_string()]].concat();
            let is_test = is_test || has_cfg(attrs, "test");
            read_module(file, path, is_test, items, found);
        } else {
            module.visit_item(item);
        }
    }
    found.push(module);
}

/// Whether there is `#[cfg(WORD)]`, or one that needs it.
fn has_cfg(attributes: &[Attribute], word: &str) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && matches!(&attribute.meta, syn::Meta::List(list) if requires(&list.tokens, word))
    })
}

fn requires(tokens: &TokenStream, word: &str) -> bool {
    let text = tokens.to_string();
    text == word || text.starts_with("all") && text.split([' ', '(', ')', ',']).any(|w| w == word)
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Use(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        _ => &[],
    }
}

fn name(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Mod(item) => &item.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}

impl Visit<'_> for Module {
    fn visit_item_use(&mut self, item: &syn::ItemUse) {
        self.import(Vec::new(), &item.tree);
    }

    fn visit_path(&mut self, path: &syn::Path) {
        let segments = path.segments.iter().map(|part| part.ident.to_string());
        self.named.push(segments.collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &syn::Macro) {
        self.read_tokens(call.tokens.clone());
    }

    fn visit_attribute(&mut self, _: &Attribute) {}

    fn visit_visibility(&mut self, _: &Visibility) {}
}

impl Module {
    fn import(&mut self, mut path: Vec<String>, tree: &UseTree) {
        match tree {
            UseTree::Path(tree) => {
                path.push(tree.ident.to_string());
                self.import(path, &tree.tree);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(path.clone(), tree);
                }
            }
            UseTree::Glob(_) => {
                self.named.push(path.clone());
                self.globs.push(path);
            }
            UseTree::Name(name) => self.import_as(path, name.ident.to_string(), None),
            UseTree::Rename(name) => {
                self.import_as(path, name.ident.to_string(), Some(name.rename.to_string()));
            }
        }
    }

    fn import_as(&mut self, mut path: Vec<String>, name: String, alias: Option<String>) {
        if name != "self" {
            path.push(name);
        }
        let Some(last) = path.last().cloned() else {
            return;
        };
        self.named.push(path.clone());
        self.imported.push((alias.unwrap_or(last), path));
    }

    /// Paths in the tokens of a macro: names with `::` between them.
    fn read_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(name) if colons == 2 && !path.is_empty() => {
                    path.push(name.to_string());
                }
                TokenTree::Ident(name) => {
                    self.named
                        .push(std::mem::replace(&mut path, vec![name.to_string()]));
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => {
                    colons += 1;
                    continue;
                }
                // `pub(crate)` uses nothing.
                TokenTree::Group(_) if path == ["pub"] => path.clear(),
                TokenTree::Group(group) => {
                    // A list of imports within a macro: the names after it have this beginning.
                    let is_list = colons == 2 && group.delimiter() == Delimiter::Brace;
                    if !is_list {
                        self.named.push(std::mem::take(&mut path));
                    }
                    self.read_tokens(group.stream());
                }
                _ => self.named.push(std::mem::take(&mut path)),
            }
            colons = 0;
        }
        self.named.push(path);
    }
}

#[test]
fn paths_are_found_in_imports_code_and_macros() {
    let code = "use crate::a::{self, b::C as D, e::*};
        fn f(x: super::g::H) -> bool { matches!(x, crate::i::J::K if self::l::m()) }
        #[cfg(test)] mod tests { use super::*; }
        #[cfg(doc)] use crate::Doc;";
    let code = syn::parse_file(code).unwrap();
    let modules = modules("x.rs", vec!["x".to_owned()], false, &code);
    let [tests, x] = &modules[..] else {
        panic!("{modules:?}");
    };
    assert!(tests.is_test && !x.is_test);
    assert_eq!(tests.path, ["x", "tests"]);
    let named: Vec<String> = x.named.iter().map(|path| path.join("::")).collect();
    for path in [
        "crate::a",
        "crate::a::b::C",
        "crate::a::e",
        "super::g::H",
        "crate::i::J::K",
        "self::l::m",
    ] {
        assert!(named.iter().any(|name| name == path), "{path}: {named:?}");
    }
    assert!(!named.iter().any(|name| name.contains("Doc")), "{named:?}");
    let imported: Vec<&str> = x.imported.iter().map(|(name, _)| &**name).collect();
    assert_eq!(imported, ["a", "D"]);
}
