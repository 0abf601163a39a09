//! The crates' layering, as docs/architecture.md draws it: nothing above a line is imported from below it.

use std::{collections::BTreeMap, process::Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process;

/// Our crates with their layer; a crate may depend on crates of lower layers only.
///
/// Crates of one layer do not know each other: no domain's logic depends on another's, only on `runner-interfaces`.
const LAYERS: &[(&str, u32)] = &[
    ("shared-ring", 0),
    ("shared-ring-messages", 0),
    ("runner-interfaces", 1),
    ("runner-container", 1),
    ("runner-schedule", 1),
    ("distribution", 1),
    ("wasm-toolchain", 1),
    ("runner-tokens", 2),
    ("key-files", 3),
    ("runner-executor", 3),
    ("runner-admission", 3),
    ("runner-warden", 3),
    ("pd-exchange-driver", 3),
    ("pd-gpio-driver", 3),
    ("pd-i2c-driver", 3),
    ("pd-timer-driver", 3),
    ("pd-vmm-machine", 3),
    ("guest-linux-agent", 5),
    ("pd-system-description", 4),
    ("pd-host", 5),
    ("qemu", 5),
    ("fuzz", 6),
    ("sd-card", 6),
    ("xtask", 7),
];

/// What the layers that run in protection domains may depend on besides ours: each is code that a domain trusts.
/// Normal dependencies only; tests may use what they like.
const TRUSTED: &[(&str, &[&str])] = &[
    ("shared-ring", &["zerocopy", "portable-atomic", "loom"]),
    ("shared-ring-messages", &["cobs", "crc", "postcard", "serde"]),
    ("runner-interfaces", &["postcard", "serde", "zerocopy"]),
    ("runner-container", &["minicbor"]),
    ("runner-schedule", &[]),
    ("runner-tokens", &["ed25519-dalek", "minicbor", "sha2"]),
    ("runner-executor", &["wasmi", "wasmi_core", "wasmparser", "fastrand", "simdutf8", "postcard", "zerocopy"]),
    ("runner-admission", &["sha2", "wasmparser", "postcard", "serde", "zerocopy", "log"]),
    ("runner-warden", &["zerocopy", "log"]),
    ("pd-exchange-driver", &[]),
    ("pd-gpio-driver", &["zerocopy", "log"]),
    ("pd-i2c-driver", &[]),
    ("pd-timer-driver", &["zerocopy", "log"]),
    ("pd-vmm-machine", &["bitflags", "zerocopy", "log", "vm-fdt", "smccc"]),
];

/// Checks the workspace; each violation is one line.
pub(crate) fn violations() -> Result<Vec<String>> {
    Ok(check(&dependencies()?))
}

/// Our packages with the names of their normal dependencies.
fn dependencies() -> Result<BTreeMap<String, Vec<String>>> {
    let output = process::cargo()
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", output.status);
    }
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata printed no JSON")?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    Ok(packages.iter().map(|package| (text(&package["name"]), normal_dependencies(package))).collect())
}

fn normal_dependencies(package: &Value) -> Vec<String> {
    let all = package["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().filter(|dependency| dependency["kind"].is_null()).map(|dependency| text(&dependency["name"])).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn check(packages: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let layer = |name: &str| LAYERS.iter().find(|(known, _)| *known == name).map(|(_, layer)| *layer);
    let mut found = Vec::new();
    for (package, dependencies) in packages {
        let Some(own) = layer(package) else {
            found.push(format!("{package} has no layer: add it to ci/xtask/src/layers.rs and docs/architecture.md"));
            continue;
        };
        for dependency in dependencies {
            match layer(dependency) {
                Some(other) if other >= own && dependency != "shared-ring" => {
                    found.push(format!("{package} (layer {own}) depends on {dependency} (layer {other})"));
                }
                None if !is_trusted(package, dependency) => {
                    found.push(format!("{package} runs in a domain and may not depend on {dependency}"));
                }
                _ => {}
            }
        }
    }
    found
}

/// Packages that have no list of their own run on a host and may depend on anything.
fn is_trusted(package: &str, dependency: &str) -> bool {
    TRUSTED.iter().find(|(known, _)| *known == package).is_none_or(|(_, allowed)| allowed.contains(&dependency))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packages(list: &[(&str, &[&str])]) -> BTreeMap<String, Vec<String>> {
        list.iter().map(|(name, of)| ((*name).to_owned(), of.iter().map(|d| (*d).to_owned()).collect())).collect()
    }

    #[test]
    fn downwards_is_allowed_and_nothing_else() {
        assert_eq!(check(&packages(&[("runner-executor", &["runner-interfaces", "wasmi"])])), Vec::<String>::new());
        assert_eq!(check(&packages(&[("runner-executor", &["runner-warden"])])).len(), 1);
        assert_eq!(check(&packages(&[("runner-interfaces", &["runner-executor"])])).len(), 1);
    }

    #[test]
    fn a_domain_trusts_only_what_is_listed() {
        assert_eq!(check(&packages(&[("runner-warden", &["anyhow"])])).len(), 1);
        assert_eq!(check(&packages(&[("xtask", &["anyhow"])])), Vec::<String>::new());
    }

    #[test]
    fn an_unknown_crate_is_named() {
        assert!(check(&packages(&[("surprise", &[])]))[0].contains("surprise"));
    }
}
