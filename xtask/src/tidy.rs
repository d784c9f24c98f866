//! The house rules that a program can check. There is no list of exceptions: a rule holds for every file or is none.

mod architecture;
mod links;
mod root;

use std::path::Path;

use crate::check::Violation;
use crate::manifest;
use crate::source::{Source, code};
use crate::workspace::Workspace;

const MAX_LINES: usize = 400;
const MAX_README: usize = 200;
const EDITION: &str = "2024";

/// What marks unfinished work, put together here so that this file keeps the rule.
const UNFINISHED: [&str; 5] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("to", "do!"),
    concat!("unimplemen", "ted!"),
];

/// Every rule that is broken, file by file.
pub(crate) fn check(workspace: &Workspace, sources: &[Source]) -> Vec<Violation> {
    let mut broken = Vec::new();
    for source in sources {
        let place = source.path.display().to_string();
        let rules = [length(source), unfinished(source), skipped(source)];
        broken.extend(rules.into_iter().flatten().map(|what| Violation::new(&place, what)));
        if source.is("md") {
            broken.extend(links::check(source, sources));
        }
    }
    if find(sources, Path::new("README.md")).is_none() {
        broken.push(Violation::new("README.md", "is missing"));
    }
    broken.extend(architecture::check(sources));
    for package in &workspace.packages {
        let path = package.manifest();
        let place = path.display().to_string();
        if package.edition != EDITION {
            broken.push(Violation::new(&place, format!("edition {} instead of {EDITION}", package.edition)));
        }
        if !find(sources, &path).is_some_and(|source| manifest::inherits_lints(&source.text)) {
            broken.push(Violation::new(&place, "does not inherit the lints: add [lints] workspace = true"));
        }
        if let Some(source) = package.library.as_deref().and_then(|library| find(sources, library)) {
            broken.extend(root::check(package, source));
        }
    }
    broken
}

fn find<'a>(sources: &'a [Source], path: &Path) -> Option<&'a Source> {
    sources.iter().find(|source| source.path == path)
}

fn length(source: &Source) -> Option<String> {
    let most = match source.path.to_str() {
        Some("README.md") => MAX_README,
        _ if source.is("rs") => MAX_LINES,
        _ => return None,
    };
    let lines = source.text.lines().count();
    (lines > most).then(|| format!("{lines} lines, at most {most} are allowed; split it where its parts meet least"))
}

fn unfinished(source: &Source) -> Option<String> {
    if !source.is("rs") && !source.is("sql") {
        return None;
    }
    for (number, line) in source.text.lines().enumerate() {
        if let Some(word) = UNFINISHED.iter().find(|word| contains_word(line, word)) {
            return Some(format!("line {}: {word}; finish it, or write down what is missing in an issue", number + 1));
        }
    }
    None
}

fn contains_word(line: &str, word: &str) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        let after = line[at + word.len()..].chars().next();
        !is_part(line[..at].chars().next_back()) && (word.ends_with('!') || !is_part(after))
    })
}

/// An example that is neither compiled nor run, or a test that is not run.
fn skipped(source: &Source) -> Option<String> {
    let word = concat!("ign", "ore");
    if source.is("rs") && code(&source.text).contains(&format!("#[{word}")) {
        return Some("a test is ignored; make it run, or remove it".to_owned());
    }
    let is_example = |line: &str| match line.split_once("```") {
        Some((before, info)) => !before.contains('"') && info.split(',').any(|tag| tag.trim() == word),
        None => false,
    };
    let line = source.text.lines().position(is_example)?;
    Some(format!("line {}: an example is ignored; make it run", line + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Package;

    fn source(path: &str, text: impl Into<String>) -> Source {
        Source { path: path.into(), text: text.into() }
    }

    fn readme() -> Source {
        source("README.md", "# Factum\n")
    }

    fn broken(mut sources: Vec<Source>) -> Vec<String> {
        sources.push(source("ARCHITECTURE.md", ""));
        check(&Workspace::default(), &sources).iter().map(ToString::to_string).collect()
    }

    fn only(broken: Vec<String>, what: &str) {
        assert!(broken.len() == 1 && broken[0].contains(what), "{what}: {broken:?}");
    }

    #[test]
    fn a_rust_file_has_at_most_400_lines() {
        assert!(broken(vec![readme(), source("a.rs", "\n".repeat(400))]).is_empty());
        only(broken(vec![readme(), source("a.rs", "\n".repeat(401))]), "a.rs: 401 lines");
        assert!(broken(vec![readme(), source("a.sql", "\n".repeat(401))]).is_empty());
    }

    #[test]
    fn the_readme_is_there_and_has_at_most_200_lines() {
        assert!(broken(vec![source("README.md", "\n".repeat(200))]).is_empty());
        only(broken(vec![source("README.md", "\n".repeat(201))]), "README.md: 201 lines");
        only(broken(vec![source("core/README.md", "")]), "README.md: is missing");
    }

    #[test]
    fn unfinished_work_is_found_in_code_and_comments_of_rust_and_sql() {
        for word in UNFINISHED {
            for path in ["a.rs", "a.sql"] {
                only(broken(vec![readme(), source(path, format!("fine\n  -- {word}: later"))]), "line 2");
            }
        }
        let fine = format!("{}S {}_list my_{}", UNFINISHED[0], UNFINISHED[0], UNFINISHED[3]);
        assert!(broken(vec![readme(), source("a.rs", fine)]).is_empty());
    }

    #[test]
    fn ignored_examples_and_tests_are_found() {
        let word = concat!("ign", "ore");
        only(broken(vec![readme(), source("a.rs", format!("//! ```{word}\n//! x\n"))]), "line 1");
        only(broken(vec![readme(), source("docs/a.md", format!("\n```rust,{word}\nx\n"))]), "line 2");
        only(broken(vec![readme(), source("a.rs", format!("#[{word} = \"slow\"]\nfn a() {{}}"))]), "a test is ignored");
        assert!(broken(vec![readme(), source("a.rs", format!("// {word}\n//! ```\n//! {word}()\n"))]).is_empty());
    }

    fn member(edition: &str, manifest: &str) -> Vec<String> {
        let package = Package {
            name: "xtask".to_owned(),
            folder: "xtask".into(),
            edition: edition.to_owned(),
            ..Package::default()
        };
        let sources = [readme(), source("ARCHITECTURE.md", ""), source("xtask/Cargo.toml", manifest)];
        check(&Workspace { packages: vec![package] }, &sources).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_member_has_the_edition_and_inherits_the_lints() {
        let inherits = "[lints]\nworkspace = true\n";
        assert!(member("2024", inherits).is_empty());
        only(member("2021", inherits), "edition 2021");
        only(member("2024", "[lints.rust]\nunsafe_code = \"forbid\"\n"), "does not inherit the lints");
    }
}
