//! The files that the rules are about, and what of a Rust file is code.

use std::io;
use std::path::{Path, PathBuf};

/// A file of the workspace.
#[derive(Debug)]
pub(crate) struct Source {
    /// Relative to the workspace.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn is(&self, extension: &str) -> bool {
        self.path.extension().is_some_and(|it| it == extension)
    }
}

/// Every Rust, SQL, Markdown, TOML and YAML file below a folder, in the order of their paths; build folders and hidden
/// ones are left out.
pub(crate) fn below(root: &Path) -> io::Result<Vec<Source>> {
    let mut sources = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                if name != "target" && !name.to_string_lossy().starts_with('.') {
                    folders.push(path);
                }
            } else if path
                .extension()
                .is_some_and(|it| ["rs", "sql", "md", "toml", "yml"].iter().any(|known| it == *known))
            {
                let text = std::fs::read_to_string(&path)
                    .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
                let path = path.strip_prefix(root).unwrap_or(&path).to_path_buf();
                sources.push(Source { path, text });
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sources)
}

/// The text of a Rust file with comments left out and the contents of literals blanked.
pub(crate) fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let len = if let Some(len) = comment(rest) {
            len
        } else if let Some(len) = literal(rest) {
            out.push_str("\"\"");
            len
        } else {
            let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let len = word.max(first.len_utf8());
            out.push_str(&rest[..len]);
            len
        };
        rest = &rest[len..];
    }
    out
}

/// The length of the comment that begins here.
fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if !rest.starts_with("/*") {
        return None;
    }
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    Some(rest.len())
}

/// The length of the string or character that begins here, its prefix and its hashes with it.
fn literal(rest: &str) -> Option<usize> {
    let prefix = ["br", "cr", "b", "c", "r", ""].into_iter().find(|prefix| {
        let after = rest
            .strip_prefix(prefix)
            .map(|after| if prefix.ends_with('r') { after.trim_start_matches('#') } else { after });
        after.is_some_and(|after| after.starts_with('"') || (*prefix != "r" && after.starts_with('\'')))
    })?;
    let after = &rest[prefix.len()..];
    if prefix.ends_with('r') {
        let hashes = after.len() - after.trim_start_matches('#').len();
        let body = prefix.len() + hashes + 1;
        let end = format!("\"{}", &after[..hashes]);
        return Some(rest.get(body..)?.find(&end).map_or(rest.len(), |at| body + at + end.len()));
    }
    let quote = after.chars().next()?;
    let body = prefix.len() + 1;
    if quote == '\'' && !is_char(&rest[body..]) {
        return None;
    }
    let mut escaped = false;
    for (at, c) in rest[body..].char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return Some(body + at + 1),
            _ => {}
        }
    }
    Some(rest.len())
}

/// Whether what follows a single quote is a character and not a lifetime.
fn is_char(after: &str) -> bool {
    let mut chars = after.chars();
    match chars.next() {
        Some('\\') => true,
        Some(_) => chars.next() == Some('\''),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_vanish_and_literals_lose_their_content() {
        assert_eq!(code("a(); // b\nc();"), "a(); \nc();");
        assert_eq!(code("f(\"x \\\" { y\") + r#\"a\"b\"# + b\"c\""), "f(\"\") + \"\" + \"\"");
        assert_eq!(code("match c { '{' => 1, '\\'' => 2, '\"' => 3 }"), "match c { \"\" => 1, \"\" => 2, \"\" => 3 }");
        assert_eq!(code("a /* b /* c */ d */ e"), "a  e");
    }

    #[test]
    fn lifetimes_and_names_that_end_like_a_prefix_are_code() {
        assert_eq!(code("fn f<'a>(x: &'a str) -> &'a str"), "fn f<'a>(x: &'a str) -> &'a str");
        assert_eq!(code("for_r(b, r, br) + crab\"\""), "for_r(b, r, br) + crab\"\"");
        assert_eq!(code("r#type"), "r#type");
    }

    #[test]
    fn what_does_not_end_is_read_to_the_end() {
        assert_eq!(code("a \"b"), "a \"\"");
        assert_eq!(code("a r#\"b\""), "a \"\"");
        assert_eq!(code("a /* b"), "a ");
    }

    #[test]
    fn sources_are_found_below_a_folder_but_not_in_target() {
        let found = below(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        assert!(found.iter().any(|source| source.path == Path::new("src/source.rs") && source.is("rs")));
        assert!(found.iter().any(|source| source.path == Path::new("Cargo.toml") && source.text.contains("xtask")));
    }
}
