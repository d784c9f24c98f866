//! What the checks need to know of the workspace, out of `cargo metadata`.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// The packages of the workspace.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    pub(crate) packages: Vec<Package>,
}

/// One package.
#[derive(Clone, Debug, Default)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// The folder, relative to the workspace.
    pub(crate) folder: PathBuf,
    pub(crate) edition: String,
    /// The root file of its library, relative to the workspace.
    pub(crate) library: Option<PathBuf>,
    pub(crate) dependencies: Vec<Dependency>,
}

/// One line of a package's dependencies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dependency {
    /// The name of the package, whatever it is called in the code.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) features: Vec<String>,
}

/// What a dependency is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    Build,
    Dev,
}

impl Workspace {
    /// Reads what `cargo metadata --no-deps` printed.
    pub(crate) fn from_metadata(metadata: &Value) -> Result<Self, String> {
        let root = Path::new(text(metadata, "workspace_root")?);
        let packages = list(metadata, "packages")?.iter().map(|package| Package::from_metadata(package, root));
        Ok(Self { packages: packages.collect::<Result<_, _>>()? })
    }
}

impl Package {
    fn from_metadata(package: &Value, root: &Path) -> Result<Self, String> {
        let manifest = relative(text(package, "manifest_path")?, root)?;
        let mut library = None;
        for target in list(package, "targets")? {
            if list(target, "kind")?.iter().any(|kind| matches!(kind.as_str(), Some("lib" | "proc-macro"))) {
                library = Some(relative(text(target, "src_path")?, root)?);
            }
        }
        Ok(Self {
            name: text(package, "name")?.to_owned(),
            folder: manifest.parent().map(Path::to_path_buf).unwrap_or_default(),
            edition: text(package, "edition")?.to_owned(),
            library,
            dependencies: list(package, "dependencies")?
                .iter()
                .map(Dependency::from_metadata)
                .collect::<Result<_, _>>()?,
        })
    }

    /// The manifest, relative to the workspace.
    pub(crate) fn manifest(&self) -> PathBuf {
        self.folder.join("Cargo.toml")
    }
}

impl Dependency {
    fn from_metadata(dependency: &Value) -> Result<Self, String> {
        let kind = match &dependency["kind"] {
            Value::Null => Kind::Normal,
            Value::String(kind) if kind == "build" => Kind::Build,
            Value::String(kind) if kind == "dev" => Kind::Dev,
            other => return Err(format!("cargo metadata names a kind of dependency that is unknown here: {other}")),
        };
        let features = list(dependency, "features")?.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        Ok(Self { name: text(dependency, "name")?.to_owned(), kind, features })
    }
}

fn text<'a>(value: &'a Value, field: &str) -> Result<&'a str, String> {
    value[field].as_str().ok_or_else(|| format!("cargo metadata has no `{field}` where one was expected"))
}

fn list<'a>(value: &'a Value, field: &str) -> Result<&'a [Value], String> {
    let list = value[field].as_array().ok_or_else(|| format!("cargo metadata has no list `{field}`"))?;
    Ok(list.as_slice())
}

fn relative(path: &str, root: &Path) -> Result<PathBuf, String> {
    let inside = Path::new(path).strip_prefix(root).map_err(|_| format!("{path} lies outside {}", root.display()))?;
    Ok(inside.to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn metadata(kind: Value) -> Value {
        json!({
            "workspace_root": "/home/me/factum",
            "packages": [{
                "name": "factum-ops",
                "edition": "2024",
                "manifest_path": "/home/me/factum/ops/Cargo.toml",
                "targets": [
                    { "kind": ["lib"], "src_path": "/home/me/factum/ops/src/lib.rs" },
                    { "kind": ["test"], "src_path": "/home/me/factum/ops/tests/replay.rs" },
                ],
                "dependencies": [{ "name": "factum", "rename": "f", "kind": kind, "features": ["sync"] }],
            }],
        })
    }

    #[test]
    fn packages_are_read_with_their_folder_library_and_dependencies() {
        let workspace = Workspace::from_metadata(&metadata(json!("dev"))).unwrap();
        let package = &workspace.packages[0];
        assert_eq!(package.folder, Path::new("ops"));
        assert_eq!(package.manifest(), Path::new("ops/Cargo.toml"));
        assert_eq!(package.library.as_deref(), Some(Path::new("ops/src/lib.rs")));
        let expected = Dependency { name: "factum".to_owned(), kind: Kind::Dev, features: vec!["sync".to_owned()] };
        assert_eq!(package.dependencies, [expected]);
    }

    #[test]
    fn every_kind_of_dependency_is_known_and_another_is_an_error() {
        let kind = |kind| Workspace::from_metadata(&metadata(kind)).map(|w| w.packages[0].dependencies[0].kind);
        assert_eq!(kind(Value::Null), Ok(Kind::Normal));
        assert_eq!(kind(json!("build")), Ok(Kind::Build));
        assert!(kind(json!("artifact")).is_err());
    }

    #[test]
    fn what_is_not_cargo_metadata_is_an_error() {
        assert!(Workspace::from_metadata(&json!({})).is_err());
    }
}
