//! The little that the rules read from a Cargo.toml and that `cargo metadata` leaves out.

/// Whether the manifest takes its lints from the workspace.
pub(crate) fn inherits_lints(manifest: &str) -> bool {
    let mut in_lints = false;
    for line in manifest.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.starts_with('[') {
            in_lints = line == "[lints]";
        } else if in_lints && line.split_whitespace().collect::<String>() == "workspace=true" {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lints_are_inherited_only_by_the_line_below_lints() {
        assert!(inherits_lints("[package]\nname = \"a\"\n\n[lints] # all of them\nworkspace  = true\n"));
        assert!(!inherits_lints("[lints]\n[lints.rust]\nworkspace = true\n"));
        assert!(!inherits_lints("[dependencies.serde]\nworkspace = true\n"));
        assert!(!inherits_lints("[lints]\n# workspace = true\n"));
    }
}
