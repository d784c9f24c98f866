//! What ARCHITECTURE.md names is there: files, tests, and for each invariant a source that names it.

use std::path::Path;

use crate::check::Violation;
use crate::source::Source;

const PAGE: &str = "ARCHITECTURE.md";

/// Everything that the page names and that is gone.
pub(super) fn check(sources: &[Source]) -> Vec<Violation> {
    let Some(page) = sources.iter().find(|source| source.path == Path::new(PAGE)) else {
        return vec![Violation::new(PAGE, "is missing")];
    };
    let missing = page.text.lines().enumerate().flat_map(|(number, line)| {
        let is_invariant = line.starts_with("### `");
        let what = quoted(line).filter_map(move |name| missing(name, is_invariant, sources));
        what.map(move |what| Violation::new(PAGE, format!("line {}: {what}", number + 1)))
    });
    missing.collect()
}

/// What stands between backticks.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

fn missing(name: &str, is_invariant: bool, sources: &[Source]) -> Option<String> {
    if is_invariant {
        let named = sources.iter().any(|source| source.is("rs") && source.text.contains(name));
        return (!named).then(|| format!("no source names the invariant {name}; name it in the test that proves it"));
    }
    if (name.ends_with(".rs") || name.ends_with(".sql")) && name.contains('/') {
        let there = sources.iter().any(|source| source.path == Path::new(name));
        return (!there).then(|| format!("there is no file {name}"));
    }
    let (area, check) = name.rsplit_once("::")?;
    if area.chars().any(char::is_uppercase) || check.chars().any(|c| !c.is_alphanumeric() && c != '_') {
        return None;
    }
    let function = format!("fn {check}(");
    let module = format!("{}.rs", name.replace("::", "/"));
    let there = sources.iter().any(|source| source.path.ends_with(&module) || source.text.contains(&function));
    (!there).then(|| format!("there is no test or module {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(text: &str) -> Vec<String> {
        let source = |path: &str, text: &str| Source { path: path.into(), text: text.to_owned() };
        let sources = [
            source(PAGE, text),
            source("conformance/src/events/keys.rs", "//! `one-outcome`\npub(crate) async fn racing(fixture: &F) {}"),
        ];
        check(&sources).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_there_may_be_named() {
        let text = "### `one-outcome`\n`events::keys`, `events::keys::racing`, `At::Version` in \
                    `conformance/src/events/keys.rs`, `lib.rs`";
        assert_eq!(broken(text), Vec::<String>::new());
    }

    #[test]
    fn a_test_a_module_a_file_and_an_invariant_that_are_gone_are_told_with_their_line() {
        for gone in ["`events::keys::raced`", "`events::limits`", "`core/src/gone.rs`"] {
            let broken = broken(&format!("fine\n{gone}"));
            assert!(broken.len() == 1 && broken[0].contains("line 2"), "{gone}: {broken:?}");
        }
        assert_eq!(broken("### `complete-order`").len(), 1);
    }

    #[test]
    fn the_page_itself_must_be_there() {
        assert_eq!(check(&[]).len(), 1);
    }
}
