//! Images that are no product: for tests, and for a measurement.
//!
//! What differs from a product is applied after the description was held to the rules, which refuse it, and lands in folders of
//! its own: neither the description nor a product's image can come to hold any of it.

use anyhow::{Result, ensure};
use pd_system_description::System;

/// The cell that a test takes over.
const TAKEN_OVER: &str = "cell1";

/// The program that it runs then, in `pd/`.
const HOSTILE_PROGRAM: &str = "hostile-cell";

/// What kind of image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Variant {
    /// What people boot.
    #[default]
    Product,
    /// `cell1` is a program that attacks everybody whom it can reach.
    HostileCell,
    /// What people boot, with the policy and the keys of a test.
    SignedOnly,
    /// `gpio` looks at no rights, so that the cost of looking can be measured.
    UncheckedAccess,
    /// What people boot, with a guest that carries more files ([`crate::guest::Overlay`]): for a machine that nobody types at.
    Scripted,
    /// The same with a policy for measurements of time.
    Eight,
}

impl Variant {
    /// What its folders are called behind the name of a product's.
    pub(super) const fn suffix(self) -> &'static str {
        match self {
            Self::Product => "",
            Self::HostileCell => "-hostile-cell",
            Self::SignedOnly => "-signed-only",
            Self::UncheckedAccess => "-unchecked-access",
            Self::Scripted => "-scripted",
            Self::Eight => "-eight",
        }
    }

    /// Programs of `pd/` that no product's build compiles.
    pub(super) const NO_PRODUCTS: &[&str] = &[HOSTILE_PROGRAM];

    /// The package that is compiled for it alone, and with which flags of the compiler beside a product's.
    pub(super) const fn own_program(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Product | Self::SignedOnly | Self::Scripted | Self::Eight => None,
            Self::HostileCell => Some((HOSTILE_PROGRAM, "")),
            Self::UncheckedAccess => Some(("gpio", "--cfg atoll_unchecked_access")),
        }
    }

    /// Puts its program in the place of the product's, in what the image builder reads.
    pub(super) fn put_in(self, system: &mut System) {
        let taken_over = system.domains.iter_mut().find(|domain| domain.name == TAKEN_OVER);
        if let (Self::HostileCell, Some(domain)) = (self, taken_over) {
            domain.image = Some(format!("{HOSTILE_PROGRAM}.elf"));
        }
    }

    /// The same in what the Microkit tool reads.
    pub(super) fn apply(self, text: &str) -> Result<String> {
        if self != Self::HostileCell {
            return Ok(text.to_owned());
        }
        let old = "<program_image path=\"cell.elf\" />";
        let domain = text.find(&format!("<protection_domain name=\"{TAKEN_OVER}\""));
        let place = domain.and_then(|domain| Some(domain + text[domain..].find(old)?));
        ensure!(place.is_some(), "the system has no `{TAKEN_OVER}` that runs cell.elf");
        let place = place.unwrap_or_default();
        Ok(format!("{}<program_image path=\"{HOSTILE_PROGRAM}.elf\" />{}", &text[..place], &text[place + old.len()..]))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use pd_system_description::{
        Description,
        rules::{Rule, check},
    };

    use super::*;

    fn description() -> Description {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        Description::load(&root.join("system.xml"), &root.join("pd/boards/qemu_virt_aarch64.xml")).unwrap()
    }

    fn images(system: &System) -> Vec<(String, String)> {
        let all = system.domains.iter();
        all.filter_map(|domain| Some((domain.name.clone(), domain.image.clone()?))).collect()
    }

    #[test]
    fn a_product_has_nothing_of_the_others() {
        let description = description();
        let product = Variant::default();
        let mut system = description.system().unwrap();
        product.put_in(&mut system);
        assert_eq!(system, description.system().unwrap());
        assert_eq!(product.apply(description.text()).unwrap(), description.text());
        assert_eq!((product.own_program(), product.suffix()), (None, ""));
        assert!(Variant::NO_PRODUCTS.contains(&HOSTILE_PROGRAM));
    }

    #[test]
    fn both_readers_find_the_same_cell_taken_over_and_the_rules_refuse_it() {
        let description = description();
        let mut system = description.system().unwrap();
        let sound = images(&system);
        Variant::HostileCell.put_in(&mut system);
        let text = Variant::HostileCell.apply(description.text()).unwrap();
        let read = System::parse(Path::new("system.xml"), &text).unwrap();
        assert_eq!(images(&read), images(&system));
        let changed: Vec<_> = images(&system).into_iter().filter(|one| !sound.contains(one)).collect();
        assert_eq!(changed, [(TAKEN_OVER.to_owned(), "hostile-cell.elf".to_owned())]);
        let broken: Vec<Rule> = check(&system).into_iter().map(|violation| violation.rule).collect();
        assert_eq!(broken, [Rule::Programs], "it can come into no description");
    }

    /// The measurement's build is asked for here and nowhere else: no manifest and no configuration of cargo knows it but to say
    /// that there is such a thing.
    #[test]
    fn nothing_but_the_measurement_switches_the_check_off() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut folders = vec![root.clone()];
        let mut found = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).unwrap().map(Result::unwrap) {
                let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
                if entry.file_type().unwrap().is_dir() {
                    if !matches!(name.as_str(), "target" | ".git") {
                        folders.push(path);
                    }
                } else if matches!(
                    path.extension().and_then(|it| it.to_str()),
                    Some("rs" | "toml" | "sh" | "yml" | "yaml")
                ) {
                    let text = std::fs::read_to_string(&path).unwrap_or_default();
                    if text.contains("atoll_unchecked_access") {
                        found.push(path.strip_prefix(&root).unwrap().to_string_lossy().into_owned());
                    }
                }
            }
        }
        found.sort();
        assert_eq!(found, ["Cargo.toml", "pd/gpio/driver/src/server.rs", "qemu/src/boot_image/variant.rs"]);
        let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
        let mentions: Vec<&str> = manifest.lines().filter(|line| line.contains("atoll_unchecked_access")).collect();
        assert!(mentions.iter().all(|line| line.starts_with("# ") || line.contains("check-cfg")), "{mentions:?}");
    }
}
