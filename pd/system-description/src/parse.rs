//! From XML to [`System`].
//!
//! Takes the elements and attributes of Microkit 2.3's manual, chapter "System Description File", and refuses everything
//! else with its line: a misspelt `budget` must not become the default of no throttling.

use std::fmt;
use std::path::{Path, PathBuf};

use roxmltree::{Document, Node};

use crate::model::{
    Access, Capability, CapabilityKind, Channel, Domain, DomainKind, End, Interrupt, Map, Region, System,
};

/// Microkit's default page, and the smallest.
const DEFAULT_PAGE_BYTES: u64 = 4096;

/// Microkit's default stack (its manual, `protection_domain`).
const DEFAULT_STACK_BYTES: u64 = 8 * 1024;

/// A place in the description that cannot be read, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The file.
    pub file: PathBuf,
    /// The line in it; 0 where the file as a whole is meant.
    pub line: u32,
    /// What is wrong there.
    pub problem: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.file.display(), self.line, self.problem)
    }
}

impl std::error::Error for ParseError {}

impl System {
    /// Reads the description in `text`; `file` is only named in errors.
    ///
    /// # Errors
    /// The first place that cannot be read.
    pub fn parse(file: &Path, text: &str) -> Result<Self, ParseError> {
        let document = Document::parse(text).map_err(|error| ParseError {
            file: file.to_path_buf(),
            line: error.pos().row,
            problem: format!("not well-formed XML: {error}"),
        })?;
        let reader = Reader { file, document: &document };
        reader.system()
    }

    /// Reads the description in `file`.
    ///
    /// # Errors
    /// The file cannot be read, or the first place in it that cannot.
    pub fn load(file: &Path) -> Result<Self, ParseError> {
        let text = std::fs::read_to_string(file).map_err(|error| ParseError {
            file: file.to_path_buf(),
            line: 0,
            problem: format!("cannot be read: {error}"),
        })?;
        Self::parse(file, &text)
    }
}

type Parsed<T> = Result<T, ParseError>;

struct Reader<'a> {
    file: &'a Path,
    document: &'a Document<'a>,
}

impl<'a> Reader<'a> {
    fn system(&self) -> Parsed<System> {
        let root = self.document.root_element();
        if root.tag_name().name() != "system" {
            return Err(self.error(root, format!("<{}> where <system> should be", root.tag_name().name())));
        }
        self.only_attributes(root, &[])?;
        let mut system =
            System { file: self.file.to_path_buf(), regions: Vec::new(), domains: Vec::new(), channels: Vec::new() };
        for element in elements(root) {
            match element.tag_name().name() {
                "memory_region" => system.regions.push(self.region(element)?),
                "protection_domain" => self.protection_domain(element, None, &mut system.domains)?,
                "channel" => system.channels.push(self.channel(element)?),
                _ => return Err(self.unknown_element(element)),
            }
        }
        Ok(system)
    }

    fn region(&self, node: Node<'a, 'a>) -> Parsed<Region> {
        self.only_attributes(node, &["name", "size", "page_size", "phys_addr", "prefill_path"])?;
        let page_bytes = self.optional_number(node, "page_size")?.unwrap_or(DEFAULT_PAGE_BYTES);
        let size_bytes = self.number(node, "size")?;
        if size_bytes == 0 || page_bytes == 0 || size_bytes % page_bytes != 0 {
            return Err(
                self.error(node, format!("size {size_bytes:#x} is no multiple of the page size {page_bytes:#x}"))
            );
        }
        Ok(Region {
            name: self.text(node, "name")?,
            size_bytes,
            page_bytes,
            physical_address: self.optional_number(node, "phys_addr")?,
            prefill: optional_text(node, "prefill_path"),
            line: self.line(node),
        })
    }

    fn protection_domain(&self, node: Node<'a, 'a>, parent: Option<&str>, domains: &mut Vec<Domain>) -> Parsed<()> {
        self.only_attributes(
            node,
            &["name", "priority", "budget", "period", "passive", "stack_size", "smc", "cpu", "fpu", "id", "setvar_id"],
        )?;
        let mut domain = self.domain(node, DomainKind::Protection, parent)?;
        let mut inner = Vec::new();
        for element in elements(node) {
            match element.tag_name().name() {
                "program_image" => domain.image = Some(self.image(element)?),
                "map" => domain.maps.push(self.map(element)?),
                "irq" => domain.interrupts.push(self.interrupt(element)?),
                "protection_domain" => self.protection_domain(element, Some(&domain.name), &mut inner)?,
                "virtual_machine" => inner.push(self.virtual_machine(element, &domain.name, domain.core)?),
                // Symbols with physical addresses: nothing that this reader's users need.
                "setvar" => {}
                "cspace" => domain.capabilities.append(&mut self.capabilities(element)?),
                // Which, nobody needs to know: a rule refuses them all.
                "ioport" => domain.capabilities.push(Capability {
                    kind: CapabilityKind::Other,
                    domain: String::new(),
                    slot: 0,
                    line: self.line(element),
                }),
                _ => return Err(self.unknown_element(element)),
            }
        }
        if domain.image.is_none() {
            return Err(self.error(node, format!("`{}` has no <program_image>", domain.name)));
        }
        domains.push(domain);
        domains.append(&mut inner);
        Ok(())
    }

    /// `core` is that of the domain around it, which Microkit gives its processor too unless told otherwise.
    fn virtual_machine(&self, node: Node<'a, 'a>, parent: &str, core: u8) -> Parsed<Domain> {
        self.only_attributes(node, &["name", "priority", "budget", "period"])?;
        let mut machine = self.domain(node, DomainKind::VirtualMachine, Some(parent))?;
        machine.core = core;
        for element in elements(node) {
            match element.tag_name().name() {
                "vcpu" => {
                    self.only_attributes(element, &["id", "setvar_id", "cpu"])?;
                    machine.core = self.optional_small_number(element, "cpu")?.unwrap_or(core);
                }
                "map" => machine.maps.push(self.map(element)?),
                _ => return Err(self.unknown_element(element)),
            }
        }
        Ok(machine)
    }

    /// What both kinds of domain say of themselves.
    fn domain(&self, node: Node<'a, 'a>, kind: DomainKind, parent: Option<&str>) -> Parsed<Domain> {
        let priority = match self.optional_number(node, "priority")?.unwrap_or(0) {
            priority @ 0..=254 => u8::try_from(priority).expect("at the most 254"),
            priority => return Err(self.error(node, format!("priority {priority} is not within 0 to 254"))),
        };
        Ok(Domain {
            name: self.text(node, "name")?,
            kind,
            parent: parent.map(str::to_owned),
            child_id: self.optional_small_number(node, "id")?,
            child_symbol: optional_text(node, "setvar_id"),
            priority,
            budget_us: self.optional_number(node, "budget")?,
            period_us: self.optional_number(node, "period")?,
            core: self.optional_small_number(node, "cpu")?.unwrap_or(0),
            passive: self.flag(node, "passive", false)?,
            stack_bytes: self.optional_number(node, "stack_size")?.unwrap_or(DEFAULT_STACK_BYTES),
            secure_monitor_calls: self.flag(node, "smc", false)?,
            capabilities: Vec::new(),
            image: None,
            maps: Vec::new(),
            interrupts: Vec::new(),
            line: self.line(node),
        })
    }

    fn capabilities(&self, node: Node<'a, 'a>) -> Parsed<Vec<Capability>> {
        self.only_attributes(node, &[])?;
        elements(node).map(|element| self.capability(element)).collect()
    }

    fn capability(&self, node: Node<'a, 'a>) -> Parsed<Capability> {
        self.only_attributes(node, &["slot", "pd"])?;
        let kind = match node.tag_name().name() {
            "cap_sc" => CapabilityKind::SchedulingContext,
            "cap_tcb" => CapabilityKind::Thread,
            _ => CapabilityKind::Other,
        };
        Ok(Capability { kind, domain: self.text(node, "pd")?, slot: self.number(node, "slot")?, line: self.line(node) })
    }

    fn image(&self, node: Node<'a, 'a>) -> Parsed<String> {
        self.only_attributes(node, &["path", "path_for_symbols"])?;
        self.text(node, "path")
    }

    fn map(&self, node: Node<'a, 'a>) -> Parsed<Map> {
        self.only_attributes(
            node,
            &["mr", "vaddr", "perms", "cached", "setvar_vaddr", "setvar_size", "setvar_prefill_size"],
        )?;
        Ok(Map {
            region: self.text(node, "mr")?,
            address: self.number(node, "vaddr")?,
            access: self.access(node)?,
            address_symbol: optional_text(node, "setvar_vaddr"),
            size_symbol: optional_text(node, "setvar_size").or_else(|| optional_text(node, "setvar_prefill_size")),
            line: self.line(node),
        })
    }

    /// `perms`; Microkit's default is `rw`.
    fn access(&self, node: Node<'a, 'a>) -> Parsed<Access> {
        let letters = node.attribute("perms").unwrap_or("rw");
        let known = !letters.is_empty() && letters.chars().all(|letter| "rwx".contains(letter));
        let repeated = letters.chars().any(|letter| letters.matches(letter).count() > 1);
        let access =
            Access { read: letters.contains('r'), write: letters.contains('w'), execute: letters.contains('x') };
        if !known || repeated || !access.read {
            return Err(self.error(node, format!("perms=\"{letters}\" is not `r` with or without `w` and `x`")));
        }
        Ok(access)
    }

    fn interrupt(&self, node: Node<'a, 'a>) -> Parsed<Interrupt> {
        self.only_attributes(node, &["irq", "id", "trigger", "setvar_id"])?;
        let number = self.number(node, "irq")?;
        Ok(Interrupt {
            number: u32::try_from(number).map_err(|_| self.error(node, format!("there is no interrupt {number}")))?,
            id: self.channel_number(node)?,
            symbol: optional_text(node, "setvar_id"),
            line: self.line(node),
        })
    }

    fn channel(&self, node: Node<'a, 'a>) -> Parsed<Channel> {
        self.only_attributes(node, &[])?;
        let ends = elements(node).map(|element| self.end(element)).collect::<Parsed<Vec<_>>>()?;
        let found = ends.len();
        let ends = <[End; 2]>::try_from(ends)
            .map_err(|_| self.error(node, format!("a channel has two ends, this one {found}")))?;
        Ok(Channel { ends, line: self.line(node) })
    }

    fn end(&self, node: Node<'a, 'a>) -> Parsed<End> {
        if node.tag_name().name() != "end" {
            return Err(self.unknown_element(node));
        }
        self.only_attributes(node, &["pd", "id", "pp", "notify", "setvar_id"])?;
        Ok(End {
            domain: self.text(node, "pd")?,
            id: self.channel_number(node)?,
            may_call: self.flag(node, "pp", false)?,
            may_notify: self.flag(node, "notify", true)?,
            symbol: optional_text(node, "setvar_id"),
            line: self.line(node),
        })
    }

    fn channel_number(&self, node: Node<'a, 'a>) -> Parsed<u8> {
        let number = self.number(node, "id")?;
        u8::try_from(number)
            .ok()
            .filter(|&number| number < runner_interfaces::kernel::Channel::LIMIT)
            .ok_or_else(|| self.error(node, format!("channel numbers are 0 to 61, not {number}")))
    }

    fn text(&self, node: Node<'a, 'a>, name: &str) -> Parsed<String> {
        match node.attribute(name) {
            Some(value) if !value.is_empty() => Ok(value.to_owned()),
            _ => Err(self.error(node, format!("<{}> states no `{name}`", node.tag_name().name()))),
        }
    }

    fn number(&self, node: Node<'a, 'a>, name: &str) -> Parsed<u64> {
        self.optional_number(node, name)?
            .ok_or_else(|| self.error(node, format!("<{}> states no `{name}`", node.tag_name().name())))
    }

    fn optional_number(&self, node: Node<'a, 'a>, name: &str) -> Parsed<Option<u64>> {
        let Some(text) = node.attribute(name) else { return Ok(None) };
        parse_number(text).map(Some).ok_or_else(|| self.error(node, format!("{name}=\"{text}\" is no number")))
    }

    fn optional_small_number(&self, node: Node<'a, 'a>, name: &str) -> Parsed<Option<u8>> {
        self.optional_number(node, name)?
            .map(|number| {
                u8::try_from(number).map_err(|_| self.error(node, format!("{name}=\"{number}\" is too large")))
            })
            .transpose()
    }

    fn flag(&self, node: Node<'a, 'a>, name: &str, default: bool) -> Parsed<bool> {
        match node.attribute(name) {
            None => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(text) => Err(self.error(node, format!("{name}=\"{text}\" is neither \"true\" nor \"false\""))),
        }
    }

    fn only_attributes(&self, node: Node<'a, 'a>, known: &[&str]) -> Parsed<()> {
        match node.attributes().find(|attribute| !known.contains(&attribute.name())) {
            None => Ok(()),
            Some(attribute) => {
                let problem = format!("<{}> has no attribute `{}`", node.tag_name().name(), attribute.name());
                Err(self.error(node, problem))
            }
        }
    }

    fn unknown_element(&self, node: Node<'a, 'a>) -> ParseError {
        self.error(node, format!("<{}> does not belong here", node.tag_name().name()))
    }

    fn error(&self, node: Node<'a, 'a>, problem: String) -> ParseError {
        ParseError { file: self.file.to_path_buf(), line: self.line(node), problem }
    }

    fn line(&self, node: Node<'a, 'a>) -> u32 {
        self.document.text_pos_at(node.range().start).row
    }
}

fn elements<'a>(node: Node<'a, 'a>) -> impl Iterator<Item = Node<'a, 'a>> {
    node.children().filter(Node::is_element)
}

fn optional_text(node: Node<'_, '_>, name: &str) -> Option<String> {
    node.attribute(name).map(str::to_owned)
}

/// Decimal, or hexadecimal behind `0x`; underscores as in the Microkit tool.
pub(crate) fn parse_number(text: &str) -> Option<u64> {
    let digits = text.replace('_', "");
    match digits.strip_prefix("0x") {
        Some(hexadecimal) => u64::from_str_radix(hexadecimal, 16).ok(),
        None => digits.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(text: &str) -> String {
        System::parse(Path::new("test.xml"), text).expect_err("must be refused").to_string()
    }

    #[test]
    fn what_is_wrong_is_named_with_file_and_line() {
        let cases = [
            (
                "<system>\n<memory_region name=\"a\" size=\"0x800\" />\n</system>",
                "test.xml:2: size 0x800 is no multiple",
            ),
            ("<system>\n\n<memory_region name=\"a\" />\n</system>", "test.xml:3: <memory_region> states no `size`"),
            (
                "<system>\n<protection_domain name=\"a\" buget=\"1\" />\n</system>",
                "test.xml:2: <protection_domain> has no attribute `buget`",
            ),
            ("<system>\n<protection_domain name=\"a\" />\n</system>", "test.xml:2: `a` has no <program_image>"),
            ("<system>\n<protection_domain name=\"a\" priority=\"255\" />\n</system>", "test.xml:2: priority 255"),
            ("<system>\n<thread />\n</system>", "test.xml:2: <thread> does not belong here"),
            (
                "<system>\n<channel>\n<end pd=\"a\" id=\"1\" />\n</channel>\n</system>",
                "test.xml:2: a channel has two ends, this one 1",
            ),
            (
                "<system>\n<channel>\n<end pd=\"a\" id=\"62\" />\n</channel>\n</system>",
                "test.xml:3: channel numbers are 0 to 61",
            ),
            (
                "<system>\n<channel>\n<end pd=\"a\" id=\"0\" pp=\"yes\" />\n</channel>\n</system>",
                "test.xml:3: pp=\"yes\"",
            ),
            ("<system>\n<memory_region name=\"a\" size=\"4k\" />\n</system>", "test.xml:2: size=\"4k\" is no number"),
            ("<system>\n", "not well-formed"),
            ("<image />", "test.xml:1: <image> where <system> should be"),
        ];
        for (text, expected) in cases {
            let found = error_of(text);
            assert!(found.contains(expected), "{text:?}: {found}");
        }
    }

    #[test]
    fn mappings_that_make_no_sense_are_refused() {
        for perms in ["w", "rr", "rz", ""] {
            let text = format!(
                "<system><protection_domain name=\"a\"><program_image path=\"a.elf\" />\n\
                 <map mr=\"m\" vaddr=\"0x1000\" perms=\"{perms}\" /></protection_domain></system>"
            );
            assert!(error_of(&text).starts_with("test.xml:2: perms="), "{perms}");
        }
    }
}
