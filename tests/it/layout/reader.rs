//! What one file of Rust says outside its tests: the paths it names, the items it defines, its functions.

use proc_macro2::{TokenStream, TokenTree};
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{
    Attribute, File, ImplItem, Item, ItemMod, ItemUse, Macro, Meta, MetaList, Path, Signature, Token, TraitItem,
    UseTree, Visibility,
};

/// A path as it is written, and the module in which it is written.
#[derive(Debug)]
pub struct Mention {
    pub scope: Vec<String>,
    /// `crate`, `super` and `self` included. A leading `::` is a first segment of its own.
    pub path: Vec<String>,
    pub line: usize,
    pub place: Place,
}

/// Where a path stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Use,
    /// In a `pub use`, of whatever visibility.
    Reexport,
    Code,
}

/// A name that a `use` gives to a path; `*` for all names in it.
#[derive(Clone, Debug)]
pub struct Import {
    pub name: String,
    pub path: Vec<String>,
}

/// What a module holds: the one of a file, or one written inside it.
#[derive(Debug, Default)]
pub struct Module {
    pub name: Vec<String>,
    pub items: Vec<String>,
    pub imports: Vec<Import>,
}

#[derive(Debug)]
pub struct Function {
    pub name: String,
    /// Of the line with `fn` on it.
    pub line: usize,
    /// From that line to the closing brace.
    pub lines: usize,
}

#[derive(Debug, Default)]
pub struct Reading {
    /// The module of the file is the first.
    pub modules: Vec<Module>,
    /// Modules that are files of their own.
    pub children: Vec<Vec<String>>,
    pub mentions: Vec<Mention>,
    pub functions: Vec<Function>,
}

/// Reads the file that is the module `name`; `None` where it isn't Rust.
pub fn read(name: &[String], text: &str) -> Option<Reading> {
    let file: File = syn::parse_file(text).ok()?;
    let mut reader = Reader::default();
    if !is_test(&file.attrs) {
        reader.module(name.to_vec(), &file.items);
    }
    Some(reader.reading)
}

#[derive(Default)]
struct Reader {
    reading: Reading,
    /// Of the module being read, in `reading.modules`.
    module: usize,
}

impl Reader {
    fn module(&mut self, name: Vec<String>, items: &[Item]) {
        let outer = std::mem::replace(&mut self.module, self.reading.modules.len());
        let items_named = items.iter().filter(|item| !is_test(attributes(item))).filter_map(name_of).collect();
        self.reading.modules.push(Module { name, items: items_named, imports: Vec::new() });
        for item in items {
            self.visit_item(item);
        }
        self.module = outer;
    }

    fn scope(&self) -> Vec<String> {
        self.reading.modules[self.module].name.clone()
    }

    fn mention(&mut self, path: Vec<String>, line: usize, place: Place) {
        let scope = self.scope();
        self.reading.mentions.push(Mention { scope, path, line, place });
    }

    fn use_tree(&mut self, before: &[String], tree: &UseTree, place: Place) {
        let mut path = before.to_vec();
        let (name, line) = match tree {
            UseTree::Path(part) => {
                path.push(part.ident.to_string());
                return self.use_tree(&path, &part.tree, place);
            }
            UseTree::Group(group) => {
                return group.items.iter().for_each(|item| self.use_tree(before, item, place));
            }
            UseTree::Name(name) if name.ident == "self" => {
                (before.last().cloned().unwrap_or_default(), name.ident.span().start().line)
            }
            UseTree::Name(name) => {
                path.push(name.ident.to_string());
                (name.ident.to_string(), name.ident.span().start().line)
            }
            UseTree::Rename(renamed) => {
                if renamed.ident != "self" {
                    path.push(renamed.ident.to_string());
                }
                (renamed.rename.to_string(), renamed.ident.span().start().line)
            }
            UseTree::Glob(glob) => ("*".to_owned(), glob.star_token.spans[0].start().line),
        };
        self.reading.modules[self.module].imports.push(Import { name, path: path.clone() });
        self.mention(path, line, place);
    }

    /// Tokens that nobody has parsed: the arguments of a macro or an attribute.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut line = 0;
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Ident(name) => {
                    if colons != 2 || path.is_empty() {
                        self.written(&mut path, line);
                        line = name.span().start().line;
                    }
                    path.push(name.to_string());
                    colons = 0;
                }
                TokenTree::Group(group) => {
                    self.written(&mut path, line);
                    self.tokens(group.stream());
                    colons = 0;
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {
                    self.written(&mut path, line);
                    colons = 0;
                }
            }
        }
        self.written(&mut path, line);
    }

    fn written(&mut self, path: &mut Vec<String>, line: usize) {
        let path = std::mem::take(path);
        if path.len() > 1 {
            self.mention(path, line, Place::Code);
        }
    }

    fn function(&mut self, signature: &Signature, block: &syn::Block) {
        let line = signature.fn_token.span.start().line;
        let end = block.brace_token.span.close().end().line;
        self.reading.functions.push(Function { name: signature.ident.to_string(), line, lines: end + 1 - line });
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_test(attributes(item)) {
            return;
        }
        if let Item::Fn(function) = item {
            self.function(&function.sig, &function.block);
        }
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        let mut name = self.scope();
        name.push(module.ident.to_string());
        match &module.content {
            Some((_, items)) => self.module(name, items),
            None => self.reading.children.push(name),
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let place = if matches!(item.vis, Visibility::Inherited) { Place::Use } else { Place::Reexport };
        let before = if item.leading_colon.is_some() { vec!["::".to_owned()] } else { Vec::new() };
        self.use_tree(&before, &item.tree, place);
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes = match item {
            ImplItem::Const(item) => &item.attrs,
            ImplItem::Fn(item) => &item.attrs,
            ImplItem::Type(item) => &item.attrs,
            ImplItem::Macro(item) => &item.attrs,
            _ => return,
        };
        if is_test(attributes) {
            return;
        }
        if let ImplItem::Fn(function) = item {
            self.function(&function.sig, &function.block);
        }
        visit::visit_impl_item(self, item);
    }

    fn visit_trait_item(&mut self, item: &'ast TraitItem) {
        if let TraitItem::Fn(function) = item
            && let Some(block) = &function.default
        {
            self.function(&function.sig, block);
        }
        visit::visit_trait_item(self, item);
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if !is_test(&field.attrs) {
            visit::visit_field(self, field);
        }
    }

    fn visit_field_value(&mut self, field: &'ast syn::FieldValue) {
        if !is_test(&field.attrs) {
            visit::visit_field_value(self, field);
        }
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        if !is_test(&variant.attrs) {
            visit::visit_variant(self, variant);
        }
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        if !is_test(&arm.attrs) {
            visit::visit_arm(self, arm);
        }
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        if !is_test(&local.attrs) {
            visit::visit_local(self, local);
        }
    }

    // `pub(super)` and `pub(in crate::bus)` name a module without importing anything of it.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_path(&mut self, path: &'ast Path) {
        if let Some(first) = path.segments.first() {
            let leading = path.leading_colon.as_ref().map(|_| "::".to_owned());
            let named =
                leading.into_iter().chain(path.segments.iter().map(|segment| segment.ident.to_string())).collect();
            self.mention(named, first.ident.span().start().line, Place::Code);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast Macro) {
        self.visit_path(&called.path);
        self.tokens(called.tokens.clone());
    }

    fn visit_meta_list(&mut self, list: &'ast MetaList) {
        self.tokens(list.tokens.clone());
    }
}

/// Whether an item with these attributes is there in tests only.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg") && attribute.parse_args::<Meta>().is_ok_and(|meta| asks_for_test(&meta))
    })
}

fn asks_for_test(meta: &Meta) -> bool {
    match meta {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if list.path.is_ident("all") => list
            .parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
            .is_ok_and(|all| all.iter().any(asks_for_test)),
        _ => false,
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// The name that an item has in its module. Modules are found by their own names.
fn name_of(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::TraitAlias(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(text: &str) -> Reading {
        read(&["room".to_owned(), "file".to_owned()], text).unwrap()
    }

    fn paths(reading: &Reading) -> Vec<String> {
        reading.mentions.iter().map(|mention| mention.path.join("::")).collect()
    }

    #[test]
    fn a_grouped_use_names_each_of_its_paths() {
        let read = reading("use crate::bus::{self, Bus, key::{Entry as KeyEntry, Revision}, watch::*};");
        let expected = [
            "crate::bus",
            "crate::bus::Bus",
            "crate::bus::key::Entry",
            "crate::bus::key::Revision",
            "crate::bus::watch",
        ];
        assert_eq!(paths(&read), expected);
        let names: Vec<&str> = read.modules[0].imports.iter().map(|import| import.name.as_str()).collect();
        assert_eq!(names, ["bus", "Bus", "KeyEntry", "Revision", "*"]);
    }

    #[test]
    fn a_test_module_in_the_middle_hides_nothing_after_it() {
        let read = reading(
            "#[cfg(test)]\nmod tests {\n    use crate::cli::Cli;\n}\n#[cfg(test)]\nmod more;\nfn after() -> crate::engine::Run {\n    one()\n}\n",
        );
        assert_eq!(paths(&read), ["crate::engine::Run", "one"]);
        assert_eq!((read.functions[0].line, read.functions[0].lines), (7, 3));
        assert!(read.children.is_empty());
    }

    #[test]
    fn paths_are_read_in_types_expressions_attributes_and_arguments_of_macros() {
        let read = reading(
            "#[derive(serde::Serialize)]\nstruct A(Vec<super::B>);\nfn f() {\n    println!(\"{}\", metrics::total(crate::c::D));\n}\n",
        );
        assert_eq!(paths(&read), ["serde::Serialize", "Vec", "super::B", "println", "metrics::total", "crate::c::D"]);
        let line = read.mentions.iter().find(|mention| mention.path[0] == "metrics").unwrap().line;
        assert_eq!(line, 4);
    }

    #[test]
    fn a_visibility_and_a_test_function_of_an_impl_name_nothing() {
        let read =
            reading("pub(in crate::bus) struct A;\nimpl A {\n    #[cfg(test)]\n    fn new() -> crate::cli::B {}\n}\n");
        assert_eq!(paths(&read), ["A"]);
        assert!(read.functions.is_empty());
    }

    #[test]
    fn a_reexport_is_told_from_an_import() {
        let read = reading("pub(crate) use a::A;\nuse b::B;\n");
        let places: Vec<Place> = read.mentions.iter().map(|mention| mention.place).collect();
        assert_eq!(places, [Place::Reexport, Place::Use]);
    }
}
