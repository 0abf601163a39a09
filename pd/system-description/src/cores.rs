//! Which domain is on which core, where the kernel runs on several.
//!
//! `system.xml` names no core, so it is the same description for a kernel on one core and for one on [`CORES`]; the second is
//! derived from it here, by role alone ([`Role::core`], [`Role::budget_factor`]). docs/decisions/0010-cores.md says why the domains are divided so.

use std::ops::Range;

use roxmltree::{Document, Node};

use crate::parse::{ParseError, parse_number};
use crate::role::Role;
use crate::{Description, DomainKind, System};

/// Cores of every board in the multi-core configurations of the Microkit SDK (`smp_cores` in its build_sdk.py).
pub const CORES: u8 = 4;

/// The core that takes the devices' interrupts: seL4 starts there and routes them to where it started.
pub const FIRST_CORE: u8 = 0;

/// Cores that run cells and nothing else.
const CELL_CORES: usize = CORES as usize - 1;

impl Role {
    /// Where it runs if there are [`CORES`]: cells and classes on all but the first core, by turns; everybody else on the first.
    #[allow(clippy::cast_possible_truncation, reason = "below the number of cores")]
    pub const fn core(self) -> u8 {
        match self {
            Self::Cell(number) | Self::Class(number) => FIRST_CORE + 1 + (number % CELL_CORES) as u8,
            Self::Tick
            | Self::Grid
            | Self::Timer
            | Self::Gpio
            | Self::I2c
            | Self::Exchange
            | Self::Warden
            | Self::Admission
            | Self::Vmm
            | Self::Linux => FIRST_CORE,
        }
    }

    /// How many times the stated budget it has if there are [`CORES`]. The ways through the kernel are longer there, and the ticks'
    /// domains, which take them each millisecond, have budgets for the short ones; without cells their core has room.
    pub const fn budget_factor(self) -> u64 {
        match self {
            Self::Tick | Self::Grid => 2,
            _ => 1,
        }
    }
}

impl System {
    /// Whether anybody is on another core than the first.
    pub fn is_multi_core(&self) -> bool {
        self.domains.iter().any(|domain| domain.core != FIRST_CORE)
    }

    /// Where `role` belongs in this system.
    pub fn core_of(&self, role: Role) -> u8 {
        if self.is_multi_core() { role.core() } else { FIRST_CORE }
    }
}

/// A place in a text, and what is to be there.
type Change = (Range<usize>, String);

impl Description {
    /// The same description for [`CORES`] cores: each protection domain says `cpu`, and some have larger budgets
    /// ([`Role::budget_factor`]). A virtual machine is where the domain around it is.
    ///
    /// # Errors
    /// A domain says `cpu` already, or is of no role.
    pub fn on_cores(&self) -> Result<Self, ParseError> {
        let system = self.system()?;
        let protection = |domain: &&crate::Domain| domain.kind == DomainKind::Protection;
        if let Some(placed) = system.domains.iter().filter(protection).find(|domain| domain.core != FIRST_CORE) {
            return Err(self.error(placed.line, format!("`{}` says on which core it is", placed.name)));
        }
        let mut changes = self.changes()?;
        changes.sort_by_key(|(place, _)| place.start);
        let mut text = self.text().to_owned();
        for (place, new) in changes.into_iter().rev() {
            text.replace_range(place, &new);
        }
        Ok(self.with_text(text))
    }

    /// What is put where in the text.
    fn changes(&self) -> Result<Vec<Change>, ParseError> {
        let document = Document::parse(self.text())
            .map_err(|error| self.error(error.pos().row, format!("not well-formed XML: {error}")))?;
        let mut changes = Vec::new();
        for domain in document.descendants().filter(|node| node.has_tag_name("protection_domain")) {
            self.change(&document, domain, &mut changes)?;
        }
        Ok(changes)
    }

    /// The core behind the domain's name, and its budget.
    fn change(
        &self,
        document: &Document<'_>,
        domain: Node<'_, '_>,
        changes: &mut Vec<Change>,
    ) -> Result<(), ParseError> {
        let line = document.text_pos_at(domain.range().start).row;
        let name = domain.attribute_node("name").ok_or_else(|| self.error(line, "a domain without a name".into()))?;
        let role = Role::of(name.value())
            .ok_or_else(|| self.error(line, format!("`{}` is the name of no role, so of no core", name.value())))?;
        let end = name.range().end;
        changes.push((end..end, format!(" cpu=\"{}\"", role.core())));
        let budget = domain.attribute_node("budget").filter(|_| role.budget_factor() != 1);
        if let Some(budget) = budget {
            let stated = parse_number(budget.value()).ok_or_else(|| self.error(line, "a budget is a number".into()))?;
            changes.push((budget.range_value(), stated.saturating_mul(role.budget_factor()).to_string()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const BOARD: &str = "<board/>";

    fn on_cores(domains: &str) -> Result<Description, String> {
        let system = format!("<system>\n<memory_region name=\"a\" size=\"0x1000\" />\n{domains}\n</system>");
        let joined = Description::join((Path::new("system.xml"), &system), (Path::new("board.xml"), BOARD)).unwrap();
        joined.on_cores().map_err(|error| error.to_string())
    }

    #[test]
    fn cells_and_classes_are_by_turns_on_all_cores_but_the_first() {
        assert_eq!([0, 1, 2, 3, 7].map(|cell| Role::Cell(cell).core()), [1, 2, 3, 1, 2]);
        assert_eq!([0, 1, 2, 3, 27].map(|class| Role::Class(class).core()), [1, 2, 3, 1, 1]);
        assert_eq!([Role::Warden, Role::Gpio, Role::Linux].map(Role::core), [0; 3]);
    }

    #[test]
    fn only_the_cores_are_added_and_every_line_stays_where_it_was() {
        let domains = "<protection_domain name=\"warden\" priority=\"240\"><program_image path=\"w\" />\n\
                       <protection_domain name=\"cell1\"><program_image path=\"c\" /></protection_domain></protection_domain>\n\
                       <protection_domain name=\"vmm\"><program_image path=\"v\" />\n\
                       <virtual_machine name=\"linux\"><vcpu id=\"0\" /></virtual_machine></protection_domain>";
        let spread = on_cores(domains).expect("sound");
        let expected = domains
            .replace("name=\"warden\"", "name=\"warden\" cpu=\"0\"")
            .replace("name=\"cell1\"", "name=\"cell1\" cpu=\"2\"")
            .replace("name=\"vmm\"", "name=\"vmm\" cpu=\"0\"");
        assert!(spread.text().contains(&expected), "{}", spread.text());
        assert_eq!(spread.place(4), "system.xml:4");
        let system = spread.system().expect("parses");
        let cores = system.domains.iter().map(|domain| (domain.name.as_str(), domain.core));
        assert_eq!(cores.collect::<Vec<_>>(), [("warden", 0), ("cell1", 2), ("vmm", 0), ("linux", 0)]);
        assert!(system.is_multi_core());
    }

    #[test]
    fn the_ticks_have_twice_their_budgets_and_nobody_else() {
        let domains = "<protection_domain name=\"grid\" budget=\"0x37\" period=\"900\"><program_image path=\"g\" /></protection_domain>\n\
                       <protection_domain name=\"gpio\" budget=\"200\" period=\"2000\"><program_image path=\"g\" /></protection_domain>";
        let system = on_cores(domains).expect("sound").system().expect("parses");
        let budgets = system.domains.iter().map(|domain| (domain.budget_us, domain.period_us, domain.core));
        assert_eq!(budgets.collect::<Vec<_>>(), [(Some(110), Some(900), 0), (Some(200), Some(2000), 0)]);
    }

    #[test]
    fn what_has_a_core_or_no_role_is_pointed_at() {
        let placed =
            on_cores("<protection_domain name=\"gpio\" cpu=\"1\"><program_image path=\"g\" /></protection_domain>");
        assert_eq!(placed.expect_err("placed"), "system.xml:3: `gpio` says on which core it is");
        let stranger = on_cores("<protection_domain name=\"spy\"><program_image path=\"s\" /></protection_domain>");
        assert!(stranger.expect_err("no role").starts_with("system.xml:3: `spy` is the name of no role"));
    }
}
