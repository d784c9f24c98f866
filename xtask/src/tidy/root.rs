//! What the root file of a library holds: docs, attributes, modules and re-exports, and which lints it denies.

use crate::check::Violation;
use crate::source::{Source, code};
use crate::workspace::Package;

const DENIED: [&str; 3] = ["clippy::unwrap_used", "clippy::expect_used", "clippy::await_holding_lock"];
const DENIED_IN_STORES: &str = "clippy::cast_possible_truncation";

pub(super) fn check(package: &Package, source: &Source) -> Vec<Violation> {
    let code = code(&source.text);
    let place = source.path.display().to_string();
    let mut denied = DENIED.to_vec();
    if package.folder.to_string_lossy().starts_with("store-") {
        denied.push(DENIED_IN_STORES);
    }
    let (attributes, items) = split(&code);
    let missing: Vec<_> = denied.into_iter().filter(|lint| !denies(&attributes, lint)).collect();
    let mut broken = Vec::new();
    if !missing.is_empty() {
        let what = format!("add #![cfg_attr(not(test), deny({}))]", missing.join(", "));
        broken.push(Violation::new(&place, what));
    }
    for item in items.into_iter().filter(|item| !is_allowed(item)) {
        let head: String = item.split_whitespace().take(4).collect::<Vec<_>>().join(" ");
        let what = format!("holds `{head} ...`; a library's root holds docs, modules and re-exports only");
        broken.push(Violation::new(&place, what));
    }
    broken
}

fn denies(attributes: &[&str], lint: &str) -> bool {
    let words = |text: &str| {
        text.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').map(str::to_owned).collect::<Vec<_>>()
    };
    attributes.iter().any(|attribute| {
        attribute.starts_with("#!")
            && attribute
                .find("deny")
                .or_else(|| attribute.find("forbid"))
                .is_some_and(|at| words(&attribute[at..]).iter().any(|word| word == lint))
    })
}

/// The attributes and the items of a file, in their order.
fn split(code: &str) -> (Vec<&str>, Vec<&str>) {
    let (mut attributes, mut items) = (Vec::new(), Vec::new());
    let mut rest = code.trim_start();
    while !rest.is_empty() {
        let is_attribute = rest.starts_with("#[") || rest.starts_with("#![");
        let len = if is_attribute { to_close(rest) } else { item_len(rest) };
        let (piece, after) = rest.split_at(len);
        if is_attribute {
            attributes.push(piece)
        } else {
            items.push(piece.trim_end())
        }
        rest = after.trim_start();
    }
    (attributes, items)
}

/// To the bracket that closes the first one.
fn to_close(text: &str) -> usize {
    end_at(text, |c, depth| depth == 0 && matches!(c, ')' | ']' | '}'))
}

/// To the semicolon or the closing brace that ends an item; a `use` ends with its semicolon alone.
fn item_len(item: &str) -> usize {
    let is_use = item.split_whitespace().take(2).any(|word| word == "use");
    end_at(item, |c, depth| depth == 0 && (c == ';' || (c == '}' && !is_use)))
}

fn end_at(text: &str, ends: impl Fn(char, usize) -> bool) -> usize {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if ends(c, depth) {
            return at + c.len_utf8();
        }
    }
    text.len()
}

fn is_allowed(item: &str) -> bool {
    let words: Vec<_> = item.split_whitespace().take(2).collect();
    match words.as_slice() {
        ["mod", _] => item.ends_with(';'),
        ["pub", "mod"] => item.ends_with(';'),
        ["pub", "use"] => true,
        ["macro_rules!", ..] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENY: &str =
        "#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::await_holding_lock))]\n";

    fn broken_in(folder: &str, text: &str) -> Vec<String> {
        let package = Package { folder: folder.into(), ..Package::default() };
        let source = Source { path: "src/lib.rs".into(), text: text.to_owned() };
        check(&package, &source).iter().map(ToString::to_string).collect()
    }

    fn broken(items: &str) -> Vec<String> {
        broken_in("core", &format!("//! Docs.\n{DENY}{items}"))
    }

    #[test]
    fn docs_attributes_modules_reexports_and_macros_are_allowed() {
        let items = "mod a;\npub mod b;\n/// Docs; { here.\n#[cfg(feature = \"x\")]\npub use a::{B, c::{D, E}};\n\
                     #[macro_export]\nmacro_rules! m { ($a:expr) => { fn f() { $a; } }; }\npub use b::*;\n";
        assert_eq!(broken(items), Vec::<String>::new());
    }

    #[test]
    fn anything_else_is_named() {
        for item in [
            "pub fn helper() {}",
            "pub struct A { b: u8 }",
            "use std::fmt;",
            "pub(crate) use a::B;",
            "mod tests { fn a() {} }",
            "impl A { }",
            "const A: u8 = 1;",
        ] {
            let broken = broken(&format!("mod a;\n{item}\npub use a::A;\n"));
            let head = item.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
            assert!(broken.len() == 1 && broken[0].contains(&head), "{item}: {broken:?}");
        }
    }

    #[test]
    fn a_lint_that_is_not_denied_is_named() {
        for lint in DENIED {
            let text = DENY.replace(lint, "clippy::other");
            let broken = broken_in("core", &text);
            assert!(broken.len() == 1 && broken[0].contains(lint), "{lint}: {broken:?}");
        }
        assert_eq!(broken_in("core", "mod a;").len(), 1);
        assert_eq!(broken_in("core", &format!("// {DENY}mod a;")).len(), 1, "a comment denies nothing");
        assert_eq!(broken_in("core", &DENY.replace("deny", "warn")).len(), 1, "a warning denies nothing");
    }

    #[test]
    fn stores_deny_casts_that_may_cut_too() {
        let broken = broken_in("store-sqlite", DENY);
        assert!(broken.len() == 1 && broken[0].contains(DENIED_IN_STORES), "{broken:?}");
        let denied = DENY.replace("await_holding_lock", "await_holding_lock, clippy::cast_possible_truncation");
        assert_eq!(broken_in("store-sqlite", &denied), Vec::<String>::new());
    }
}
