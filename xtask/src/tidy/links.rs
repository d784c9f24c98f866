//! Links between pages lead somewhere.

use std::path::{Component, Path, PathBuf};

use crate::check::Violation;
use crate::source::Source;

/// Every link of a page that leads to no file or folder of the workspace. Links to other places are not followed.
pub(super) fn check(page: &Source, sources: &[Source]) -> Vec<Violation> {
    let folder = page.path.parent().unwrap_or(Path::new(""));
    let mut broken = Vec::new();
    for (number, line) in page.text.lines().enumerate() {
        for target in targets(line) {
            let path = target.split('#').next().unwrap_or_default();
            if path.is_empty() || path.contains("://") || path.starts_with("mailto:") {
                continue;
            }
            let wanted = plain(&folder.join(path));
            if !sources.iter().any(|source| source.path.starts_with(&wanted)) {
                let what = format!("line {}: the link to {path} leads nowhere", number + 1);
                broken.push(Violation::new(page.path.display().to_string(), what));
            }
        }
    }
    broken
}

fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
}

/// The path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(text: &str) -> Vec<String> {
        let source = |path: &str, text: &str| Source { path: path.into(), text: text.to_owned() };
        let sources = [source("README.md", ""), source("core/src/lib.rs", ""), source("docs/a.md", "")];
        check(&source("docs/b.md", text), &sources).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn links_to_files_folders_sections_and_other_sites_are_fine() {
        let text = "[a](a.md) [b](../README.md#x) [c](../core) [d](#here) [e](https://dcb.events)";
        assert_eq!(broken(text), Vec::<String>::new());
    }

    #[test]
    fn a_link_that_leads_nowhere_is_named_with_its_line() {
        let broken = broken("fine\n[a](a.md) and [b](c.md) and [d](README.md)");
        assert_eq!(broken.len(), 2);
        assert!(broken[0].contains("line 2") && broken[0].contains("c.md"), "{broken:?}");
    }
}
