//! What is in the image: packages, SDK, crates and files, with versions, hashes and licences.
//!
//! The form is CycloneDX 1.5 in JSON, which scanners for known weaknesses read. It has no time and no serial number: the
//! same image has the same bill. Its few objects are written here; the crates for this format bring an XML writer, a
//! validator and their dependencies along. Licences are what the packages themselves say.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use qemu::board::Board;
use qemu::sdk::{Sdk, VERSION};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{card::BootFile, packages::Origin, sha256_hex};

/// The target whose dependencies count: conditions in manifests only tell operating systems and processors apart, and
/// protection domains have no operating system.
const TARGET: &str = "aarch64-unknown-none";

/// The bill for an image with these parts, as JSON.
#[must_use]
pub fn bill(board: Board, parts: Vec<Value>, files: &[BootFile]) -> String {
    let mut components = parts;
    let mut sorted: Vec<&BootFile> = files.iter().collect();
    sorted.sort_by_key(|file| file.name.to_lowercase());
    components.extend(sorted.into_iter().map(file));
    let bill = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": {
            "type": "firmware",
            "bom-ref": "atoll",
            "name": format!("Atoll for {board}"),
            "version": env!("CARGO_PKG_VERSION"),
            "licenses": [{ "expression": env!("CARGO_PKG_LICENSE") }],
        } },
        "components": components,
    });
    format!("{bill:#}\n")
}

/// A file of the boot partition.
fn file(file: &BootFile) -> Value {
    json!({
        "type": "file",
        "bom-ref": format!("file:{}", file.name),
        "name": file.name,
        "hashes": hashes(&sha256_hex(&file.content)),
        "properties": [{ "name": "atoll:size_bytes", "value": file.content.len().to_string() }],
    })
}

fn hashes(sha256: &str) -> Value {
    json!([{ "alg": "SHA-256", "content": sha256 }])
}

/// A Debian package.
#[must_use]
pub fn debian(origin: &Origin) -> Value {
    let package = &origin.package;
    // The package URL specification wants these two escaped in a version.
    let version = package.version.replace('+', "%2B").replace(':', "%3A");
    let address = format!("pkg:deb/debian/{}@{version}?arch={}", package.name, package.architecture);
    let licences: Vec<Value> =
        licences(&origin.copyright).into_iter().map(|name| json!({ "license": { "name": name } })).collect();
    json!({
        "type": "library",
        "bom-ref": address,
        "purl": address,
        "name": package.name,
        "version": package.version,
        "hashes": hashes(&package.sha256),
        "licenses": licences,
    })
}

/// The short names of licences in Debian's machine-readable copyright format; without that, the licences that it refers to
/// in Debian's collection; without one, that it has to be read.
fn licences(copyright: &str) -> Vec<String> {
    let stated = copyright.lines().filter_map(|line| line.strip_prefix("License:")).map(str::trim);
    let mut named: BTreeSet<&str> = stated.collect();
    if named.is_empty() {
        let referred = copyright.split("/usr/share/common-licenses/").skip(1);
        let ends = |character: char| !(character.is_ascii_alphanumeric() || "-.".contains(character));
        named.extend(referred.filter_map(|rest| rest.split(ends).next()).map(|name| name.trim_end_matches('.')));
    }
    let mut named: Vec<String> = named.into_iter().filter(|name| !name.is_empty()).map(str::to_owned).collect();
    if named.is_empty() {
        named.push("see the package's copyright file".to_owned());
    }
    named
}

/// The Microkit SDK's tool, and the seL4 kernel with what starts it.
///
/// # Errors
/// A file of the SDK cannot be read.
pub fn sdk(sdk: &Sdk, board: Board, configuration: &str) -> Result<Vec<Value>> {
    let elf = sdk.root().join("board").join(board.name()).join(configuration).join("elf");
    // What the SDK's LICENSE.md says: the kernel is GPL-2.0-only, everything else BSD-2-Clause.
    let parts = [
        ("microkit", sdk.tool(), "application", "BSD-2-Clause"),
        ("microkit-loader", elf.join("loader.elf"), "firmware", "BSD-2-Clause"),
        ("microkit-initialiser", elf.join("initialiser.elf"), "firmware", "BSD-2-Clause"),
        ("microkit-monitor", elf.join("monitor.elf"), "firmware", "BSD-2-Clause"),
        ("sel4", elf.join("sel4.elf"), "operating-system", "GPL-2.0-only"),
    ];
    parts
        .iter()
        .map(|(name, path, kind, licence)| {
            let content = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            Ok(json!({
                "type": kind,
                "bom-ref": format!("microkit-sdk:{name}"),
                "name": name,
                "version": format!("microkit-sdk-{VERSION}"),
                "description": format!("from the Microkit SDK {VERSION}, {board}, {configuration}"),
                "hashes": hashes(&sha256_hex(&content)),
                "licenses": [{ "license": { "id": licence } }],
            }))
        })
        .collect()
}

/// The lock file of the protection domains, as far as it is of use here.
#[derive(Deserialize)]
struct CargoLock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

/// What `cargo metadata` prints, likewise.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Crate>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Crate {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    kind: Option<String>,
}

impl Crate {
    /// Macros run in the compiler and are not in the image.
    fn is_macro(&self) -> bool {
        self.targets.iter().any(|target| target.kind.iter().any(|kind| kind == "proc-macro"))
    }
}

/// The crates that the protection domains are made of: everything that is linked into one, from the registry, from git and
/// our own.
///
/// # Errors
/// Cargo cannot say: no network for a first download, or a lock file that is out of date.
pub fn crates(workspace: &Path) -> Result<Vec<Value>> {
    let folder = workspace.join("pd");
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--locked", "--format-version", "1", "--filter-platform", TARGET])
        .current_dir(&folder)
        .output()
        .context("cannot start cargo")?;
    ensure!(
        output.status.success(),
        "cargo metadata in {} failed: {}",
        folder.display(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let lock = folder.join("Cargo.lock");
    let lock = fs::read_to_string(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
    crates_of(&output.stdout, &lock)
}

fn crates_of(metadata: &[u8], lock: &str) -> Result<Vec<Value>> {
    let metadata: Metadata = serde_json::from_slice(metadata).context("cargo metadata is not as expected")?;
    let lock: CargoLock = toml::from_str(lock).context("Cargo.lock is not as expected")?;
    let checksums: BTreeMap<(&str, &str), &str> = lock
        .package
        .iter()
        .filter_map(|locked| Some(((locked.name.as_str(), locked.version.as_str()), locked.checksum.as_deref()?)))
        .collect();
    let linked = linked(&metadata);
    let mut found: Vec<&Crate> =
        metadata.packages.iter().filter(|package| linked.contains(package.id.as_str())).collect();
    found.sort_by(|one, other| (&one.name, &one.version, &one.id).cmp(&(&other.name, &other.version, &other.id)));
    Ok(found
        .into_iter()
        .map(|package| component(package, checksums.get(&(package.name.as_str(), package.version.as_str())).copied()))
        .collect())
}

/// Every crate that a member needs when it runs.
fn linked(metadata: &Metadata) -> BTreeSet<&str> {
    let macros: BTreeSet<&str> =
        metadata.packages.iter().filter(|package| package.is_macro()).map(|package| package.id.as_str()).collect();
    let nodes: BTreeMap<&str, &Node> = metadata.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let mut linked = BTreeSet::new();
    let mut left: Vec<&str> = metadata.workspace_members.iter().map(String::as_str).collect();
    while let Some(id) = left.pop() {
        if macros.contains(id) || !linked.insert(id) {
            continue;
        }
        let needed = nodes.get(id).map(|node| node.deps.as_slice()).unwrap_or_default();
        let runs = |dependency: &&Dependency| dependency.dep_kinds.iter().any(|kind| kind.kind.is_none());
        left.extend(needed.iter().filter(runs).map(|dependency| dependency.pkg.as_str()));
    }
    linked
}

fn component(package: &Crate, checksum: Option<&str>) -> Value {
    let Crate { name, version, source, .. } = package;
    let mut component = json!({ "type": "library", "name": name, "version": version });
    match source.as_deref() {
        Some(registry) if registry.starts_with("registry+") => {
            component["purl"] = json!(format!("pkg:cargo/{name}@{version}"));
            component["bom-ref"] = component["purl"].clone();
        }
        Some(git) => {
            component["bom-ref"] = json!(format!("{git}#{name}"));
            let address = git.trim_start_matches("git+");
            component["externalReferences"] = json!([{ "type": "vcs", "url": address }]);
        }
        None => component["bom-ref"] = json!(format!("atoll:{name}")),
    }
    if let Some(checksum) = checksum {
        component["hashes"] = hashes(checksum);
    }
    if let Some(licence) = &package.license {
        // Cargo's older way to write "or".
        component["licenses"] = json!([{ "expression": licence.replace('/', " OR ") }]);
    }
    component
}

#[cfg(test)]
mod tests {
    use qemu::guest::lock::Package;

    use super::*;

    #[test]
    fn a_package_has_its_escaped_address_and_its_licences() {
        let package = Package {
            name: "u-boot-rpi".to_owned(),
            version: "1:2023.01+dfsg-2".to_owned(),
            architecture: "arm64".to_owned(),
            sha256: "ab".repeat(32),
            size_bytes: 1,
            pool_path: "pool/x".to_owned(),
        };
        let copyright =
            "Files: *\nLicense: GPL-2+\n text\n\nFiles: a\nLicense: BSD\n\nLicense: GPL-2+\n text".to_owned();
        let value = debian(&Origin { package, copyright });
        assert_eq!(value["purl"], "pkg:deb/debian/u-boot-rpi@1%3A2023.01%2Bdfsg-2?arch=arm64");
        assert_eq!(value["licenses"][0]["license"]["name"], "BSD");
        assert_eq!(value["licenses"][1]["license"]["name"], "GPL-2+");
        assert_eq!(value["licenses"].as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn a_copyright_file_of_another_form_is_not_taken_for_no_licence() {
        assert_eq!(
            licences("see `/usr/share/common-licenses/GPL-2'.\n/usr/share/common-licenses/BSD.\n"),
            ["BSD", "GPL-2"]
        );
        assert_eq!(licences("Copyright by everybody"), ["see the package's copyright file"]);
    }

    /// A domain with a library, a macro that has a dependency of its own, a build and a test dependency.
    const METADATA: &str = r#"{
        "workspace_members": ["domain"],
        "packages": [
            {"id": "domain", "name": "pd-x", "version": "0.1.0", "license": "MIT", "source": null, "targets": [{"kind": ["bin"]}]},
            {"id": "library", "name": "library", "version": "1.2.3", "license": "MIT/Apache-2.0",
             "source": "registry+https://github.com/rust-lang/crates.io-index", "targets": [{"kind": ["lib"]}]},
            {"id": "git", "name": "sel4", "version": "0.1.0", "license": "BSD-2-Clause",
             "source": "git+https://example.org/sel4?rev=1#1", "targets": [{"kind": ["lib"]}]},
            {"id": "macro", "name": "derive", "version": "1.0.0", "license": "MIT", "source": null, "targets": [{"kind": ["proc-macro"]}]},
            {"id": "syn", "name": "syn", "version": "2.0.0", "license": "MIT", "source": null, "targets": [{"kind": ["lib"]}]},
            {"id": "test", "name": "test", "version": "1.0.0", "license": "MIT", "source": null, "targets": [{"kind": ["lib"]}]}
        ],
        "resolve": {"nodes": [
            {"id": "domain", "deps": [
                {"pkg": "library", "dep_kinds": [{"kind": null}]},
                {"pkg": "macro", "dep_kinds": [{"kind": null}]},
                {"pkg": "test", "dep_kinds": [{"kind": "dev"}, {"kind": "build"}]}]},
            {"id": "library", "deps": [{"pkg": "git", "dep_kinds": [{"kind": null}]}]},
            {"id": "git", "deps": []},
            {"id": "macro", "deps": [{"pkg": "syn", "dep_kinds": [{"kind": null}]}]},
            {"id": "syn", "deps": []},
            {"id": "test", "deps": []}
        ]}
    }"#;

    const LOCK: &str = "version = 4\n[[package]]\nname = \"library\"\nversion = \"1.2.3\"\nchecksum = \"cd\"\n";

    #[test]
    fn only_what_is_linked_is_listed() {
        let found = crates_of(METADATA.as_bytes(), LOCK).expect("readable");
        let names: Vec<&str> = found.iter().filter_map(|component| component["name"].as_str()).collect();
        assert_eq!(names, ["library", "pd-x", "sel4"]);
        assert_eq!(found[0]["hashes"][0]["content"], "cd");
        assert_eq!(found[0]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(found[2]["externalReferences"][0]["url"], "https://example.org/sel4?rev=1#1");
    }

    #[test]
    fn the_bill_names_every_file_by_its_hash() {
        let files = [BootFile::new("b", "abc"), BootFile::new("A", "")];
        let bill: Value = serde_json::from_str(&bill(Board::Rpi4b2Gb, Vec::new(), &files)).expect("JSON");
        assert_eq!(bill["components"][0]["name"], "A");
        let hash = &bill["components"][1]["hashes"][0]["content"];
        // FIPS 180-2, appendix B.1: the digest of "abc".
        assert_eq!(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
