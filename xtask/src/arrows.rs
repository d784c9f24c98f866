//! Who may know whom: "left knows right, never the other way".

use crate::check::Violation;
use crate::workspace::{Dependency, Kind, Package, Workspace};

/// What a package is in the house.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Core,
    /// The reference store, which tests elsewhere may use.
    Memory,
    /// Any other store.
    Store,
    Projections,
    Ops,
    Conformance,
    /// The Postgres server for tests and benchmarks: knows nobody of the house, and stores know it in tests only.
    Server,
    /// What stands outside of the library and that nothing in it knows: examples, benches, xtask.
    Outside,
}

/// Packages that only stores, and what stands outside, may use.
const DATABASES: [&str; 8] =
    ["rusqlite", "libsqlite3-sys", "sqlx", "tokio-postgres", "postgres", "deadpool-postgres", "diesel", "redb"];

/// The features of tokio that do not need its runtime.
const WITHOUT_RUNTIME: [&str; 2] = ["sync", "macros"];

/// Every arrow that points the wrong way.
pub(crate) fn check(workspace: &Workspace) -> Vec<Violation> {
    let mut broken = Vec::new();
    for package in &workspace.packages {
        let Some(part) = part(package) else {
            let what = format!("{} has no place in the house; give it one in xtask/src/arrows.rs", package.name);
            broken.push(Violation::new(package.manifest().display().to_string(), what));
            continue;
        };
        for dependency in &package.dependencies {
            if let Some(what) = wrong(workspace, package, part, dependency) {
                broken.push(Violation::new(package.manifest().display().to_string(), what));
            }
        }
    }
    broken
}

fn part(package: &Package) -> Option<Part> {
    let part = match package.name.as_str() {
        "factum" => Part::Core,
        "factum-memory" => Part::Memory,
        "factum-sqlite" | "factum-postgres" => Part::Store,
        "factum-projections" => Part::Projections,
        "factum-ops" => Part::Ops,
        "factum-conformance" => Part::Conformance,
        "factum-postgres-server" => Part::Server,
        _ if ["examples", "benches", "xtask"].iter().any(|outside| package.folder.starts_with(outside)) => {
            Part::Outside
        }
        _ => return None,
    };
    Some(part)
}

fn wrong(workspace: &Workspace, package: &Package, from: Part, dependency: &Dependency) -> Option<String> {
    let (knower, known) = (&package.name, &dependency.name);
    let Some(target) = workspace.packages.iter().find(|other| other.name == *known) else {
        return wrong_outside(from, package, dependency);
    };
    // A package without a place is reported on its own account.
    let to = part(target)?;
    if allowed(from, to) {
        return None;
    }
    if allowed_for_tests(from, to) {
        if dependency.kind == Kind::Dev {
            return None;
        }
        return Some(format!("{knower} may know {known} in its tests only: move it to [dev-dependencies]"));
    }
    Some(format!("{knower} must not know {known}: the arrow points the other way, see ARCHITECTURE.md"))
}

fn wrong_outside(from: Part, package: &Package, dependency: &Dependency) -> Option<String> {
    let knower = &package.name;
    let known = &dependency.name;
    let names_databases = matches!(from, Part::Store | Part::Server | Part::Outside);
    if !names_databases && DATABASES.contains(&known.as_str()) {
        return Some(format!("{knower} names a database, {known}: only stores do"));
    }
    if from == Part::Core && known == "tokio" && dependency.kind != Kind::Dev {
        let runtime = dependency.features.iter().find(|feature| !WITHOUT_RUNTIME.contains(&feature.as_str()))?;
        return Some(format!("{knower} has no runtime, and tokio's feature {runtime} brings one"));
    }
    None
}

/// `stores, projections, conformance -> core`, `ops -> projections -> core`, `examples, benches, xtask -> anything`.
fn allowed(from: Part, to: Part) -> bool {
    match (from, to) {
        (_, Part::Outside) => false,
        (Part::Outside, _) => true,
        (Part::Core | Part::Server, _) | (_, Part::Server) => false,
        (_, Part::Core) => true,
        (Part::Ops, Part::Projections) => true,
        _ => false,
    }
}

/// `stores -> conformance, postgres-server`, and the reference store as something to run tests on.
fn allowed_for_tests(from: Part, to: Part) -> bool {
    match to {
        Part::Conformance => matches!(from, Part::Memory | Part::Store),
        Part::Memory => matches!(from, Part::Projections | Part::Conformance | Part::Ops),
        Part::Server => from == Part::Store,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUSE: [(&str, &str); 11] = [
        ("factum", "core"),
        ("factum-memory", "store-memory"),
        ("factum-sqlite", "store-sqlite"),
        ("factum-postgres", "store-postgres"),
        ("factum-projections", "projections"),
        ("factum-ops", "ops"),
        ("factum-conformance", "conformance"),
        ("factum-postgres-server", "postgres-server"),
        ("bank-account", "examples/bank-account"),
        ("factum-benches", "benches"),
        ("xtask", "xtask"),
    ];

    /// The house with one arrow.
    fn arrow(from: &str, to: &str, kind: Kind, features: &[&str]) -> Vec<String> {
        let mut workspace = Workspace::default();
        for (name, folder) in HOUSE {
            let mut package = Package { name: name.to_owned(), folder: folder.into(), ..Package::default() };
            if name == from {
                let features = features.iter().map(|feature| (*feature).to_owned()).collect();
                package.dependencies.push(Dependency { name: to.to_owned(), kind, features });
            }
            workspace.packages.push(package);
        }
        check(&workspace).iter().map(ToString::to_string).collect()
    }

    fn holds(from: &str, to: &str, kind: Kind) -> bool {
        arrow(from, to, kind, &[]).is_empty()
    }

    #[test]
    fn arrows_as_drawn_are_allowed_for_every_kind() {
        for kind in [Kind::Normal, Kind::Build, Kind::Dev] {
            for from in
                ["factum-memory", "factum-sqlite", "factum-postgres", "factum-projections", "factum-conformance"]
            {
                assert!(holds(from, "factum", kind), "{from}");
            }
            assert!(holds("factum-ops", "factum-projections", kind));
            for (to, _) in HOUSE.iter().take(8) {
                for from in ["bank-account", "factum-benches", "xtask"] {
                    assert!(holds(from, to, kind), "{from} -> {to}");
                }
            }
        }
    }

    #[test]
    fn core_knows_nobody() {
        for (to, _) in &HOUSE[1..] {
            for kind in [Kind::Normal, Kind::Build, Kind::Dev] {
                assert!(!holds("factum", to, kind), "{to}");
            }
        }
    }

    #[test]
    fn the_server_for_tests_knows_nobody_and_only_stores_and_what_stands_outside_know_it() {
        for (to, _) in HOUSE {
            assert!(!holds("factum-postgres-server", to, Kind::Dev), "{to}");
        }
        for from in ["factum", "factum-memory", "factum-projections", "factum-ops", "factum-conformance"] {
            assert!(!holds(from, "factum-postgres-server", Kind::Dev), "{from}");
        }
    }

    #[test]
    fn sibling_stores_never_know_each_other_not_even_in_tests() {
        let stores = ["factum-memory", "factum-sqlite", "factum-postgres"];
        for from in stores {
            for to in stores.into_iter().filter(|to| *to != from) {
                for kind in [Kind::Normal, Kind::Build, Kind::Dev] {
                    assert!(!holds(from, to, kind), "{from} -> {to}");
                }
            }
        }
    }

    #[test]
    fn nothing_knows_what_stands_outside() {
        for (from, _) in HOUSE {
            for outside in ["bank-account", "factum-benches", "xtask"] {
                assert!(!holds(from, outside, Kind::Dev), "{from} -> {outside}");
            }
        }
    }

    #[test]
    fn projections_and_ops_know_no_store_and_projections_not_ops() {
        for from in ["factum-projections", "factum-ops", "factum-conformance"] {
            assert!(!holds(from, "factum-sqlite", Kind::Dev), "{from}");
            assert!(!holds(from, "factum-memory", Kind::Normal), "{from}");
        }
        assert!(!holds("factum-projections", "factum-ops", Kind::Normal));
        assert!(!holds("factum-sqlite", "factum-projections", Kind::Normal));
    }

    #[test]
    fn test_arrows_are_refused_outside_of_tests_and_say_so() {
        for (from, to) in [
            ("factum-memory", "factum-conformance"),
            ("factum-sqlite", "factum-conformance"),
            ("factum-projections", "factum-memory"),
            ("factum-conformance", "factum-memory"),
            ("factum-ops", "factum-memory"),
            ("factum-postgres", "factum-postgres-server"),
        ] {
            assert!(holds(from, to, Kind::Dev), "{from} -> {to}");
            for kind in [Kind::Normal, Kind::Build] {
                let broken = arrow(from, to, kind, &[]);
                assert!(broken.len() == 1 && broken[0].contains("[dev-dependencies]"), "{broken:?}");
            }
        }
    }

    #[test]
    fn only_stores_and_what_stands_outside_name_a_database() {
        for (from, _) in HOUSE {
            let may = [
                "factum-sqlite",
                "factum-postgres",
                "factum-postgres-server",
                "bank-account",
                "factum-benches",
                "xtask",
            ]
            .contains(&from);
            assert_eq!(holds(from, "rusqlite", Kind::Normal), may, "{from}");
        }
    }

    #[test]
    fn core_uses_of_tokio_only_what_needs_no_runtime() {
        assert_eq!(arrow("factum", "tokio", Kind::Normal, &["sync"]), Vec::<String>::new());
        assert_eq!(arrow("factum", "tokio", Kind::Dev, &["rt", "time"]), Vec::<String>::new());
        let broken = arrow("factum", "tokio", Kind::Normal, &["sync", "rt"]);
        assert!(broken.len() == 1 && broken[0].contains("feature rt"), "{broken:?}");
    }

    #[test]
    fn a_package_that_the_drawing_does_not_hold_is_reported() {
        let stranger = Package { name: "factum-extra".to_owned(), folder: "extra".into(), ..Package::default() };
        let broken = check(&Workspace { packages: vec![stranger] });
        assert!(broken.len() == 1 && broken[0].to_string().contains("factum-extra"), "{broken:?}");
    }
}
