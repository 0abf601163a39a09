//! `system.xml` and a board's part, put together.
//!
//! The architecture is written once, in `system.xml`; a file in `pd/boards` says what a board adds to it: where devices lie,
//! which interrupts they raise, and which program drives them. A board adds nothing else, so that no board can become an
//! architecture of its own. The result is a description as the Microkit tool reads it, and every line of it knows where it
//! came from.

use std::path::{Path, PathBuf};

use roxmltree::{Document, Node};

use crate::model::System;
use crate::parse::ParseError;

/// What a board may give to a domain.
const DOMAIN_PARTS: [&str; 3] = ["program_image", "map", "irq"];

/// The text of a description, and where its lines are from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    text: String,
    files: [PathBuf; 2],
    /// For each line of the text.
    lines: Vec<Line>,
}

/// Where a line is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Line {
    source: Source,
    number: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    System,
    Board,
}

/// A file's name and its text.
pub type Input<'a> = (&'a Path, &'a str);

/// Something of the board's that goes before the line of the system's text that begins at `at`.
struct Insertion<'a> {
    at: usize,
    text: &'a str,
    line: u32,
}

impl Description {
    /// Reads both files and joins them.
    ///
    /// # Errors
    /// As for [`Description::join`], or a file cannot be read.
    pub fn load(system: &Path, board: &Path) -> Result<Self, ParseError> {
        Self::join((system, &read(system)?), (board, &read(board)?))
    }

    /// Joins the system's text with the board's.
    ///
    /// # Errors
    /// One of the two is no XML, or the board adds what a board must not, or to a domain that the system does not have.
    pub fn join(system: Input<'_>, board: Input<'_>) -> Result<Self, ParseError> {
        let system_document = document(system)?;
        let board_document = document(board)?;
        let joint = Joint { system, system_document: &system_document, board, board_document: &board_document };
        let mut insertions = joint.insertions()?;
        // Stable: what goes to one place stays in the board's order.
        insertions.sort_by_key(|insertion| insertion.at);
        let mut joined = Self {
            text: String::with_capacity(system.1.len() + board.1.len()),
            files: [system.0.to_path_buf(), board.0.to_path_buf()],
            lines: Vec::new(),
        };
        let mut taken = 0;
        let mut number = 1;
        for Insertion { at, text, line } in insertions {
            number = joined.push(&system.1[taken..at], Source::System, number);
            joined.push(text, Source::Board, line);
            joined.text.push('\n');
            taken = at;
        }
        joined.push(&system.1[taken..], Source::System, number);
        Ok(joined)
    }

    /// Appends whole lines that begin at line `first` of their file; answers the number of the line after them.
    fn push(&mut self, text: &str, source: Source, first: u32) -> u32 {
        self.text.push_str(text);
        let mut number = first;
        for _ in text.lines() {
            self.lines.push(Line { source, number });
            number += 1;
        }
        number
    }

    /// The description as the Microkit tool reads it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The file and the line in it that line `line` of the text is from, as `file:line`.
    pub fn place(&self, line: u32) -> String {
        let (file, line) = self.origin(line);
        format!("{}:{line}", file.display())
    }

    /// Another text with the same lines.
    pub(crate) fn with_text(&self, text: String) -> Self {
        Self { text, ..self.clone() }
    }

    /// What is wrong on line `line` of the text, in the file that the line is from.
    pub(crate) fn error(&self, line: u32, problem: String) -> ParseError {
        let (file, line) = self.origin(line);
        ParseError { file: file.to_path_buf(), line, problem }
    }

    fn origin(&self, line: u32) -> (&Path, u32) {
        let [system, board] = &self.files;
        let known = usize::try_from(line).ok().and_then(|line| self.lines.get(line.checked_sub(1)?));
        match known {
            Some(Line { source: Source::System, number }) => (system, *number),
            Some(Line { source: Source::Board, number }) => (board, *number),
            None => (system, line),
        }
    }

    /// What the description says. Its lines are those of [`Description::text`].
    ///
    /// # Errors
    /// The first place that cannot be read, in the file that it stands in.
    pub fn system(&self) -> Result<System, ParseError> {
        let [system, _] = &self.files;
        System::parse(system, &self.text).map_err(|error| self.error(error.line, error.problem))
    }
}

fn read(file: &Path) -> Result<String, ParseError> {
    std::fs::read_to_string(file).map_err(|error| ParseError {
        file: file.to_path_buf(),
        line: 0,
        problem: format!("cannot be read: {error}"),
    })
}

fn document<'a>((file, text): Input<'a>) -> Result<Document<'a>, ParseError> {
    Document::parse(text).map_err(|error| ParseError {
        file: file.to_path_buf(),
        line: error.pos().row,
        problem: format!("not well-formed XML: {error}"),
    })
}

struct Joint<'a> {
    system: Input<'a>,
    system_document: &'a Document<'a>,
    board: Input<'a>,
    board_document: &'a Document<'a>,
}

impl<'a> Joint<'a> {
    fn insertions(&self) -> Result<Vec<Insertion<'a>>, ParseError> {
        let root = self.board_document.root_element();
        if root.tag_name().name() != "board" {
            return Err(self.refused(root, format!("<{}> where <board> should be", root.tag_name().name())));
        }
        let mut insertions = Vec::new();
        for element in elements(root) {
            match element.tag_name().name() {
                "memory_region" => insertions.push(self.region(element)?),
                "protection_domain" => self.domain(element, &mut insertions)?,
                name => return Err(self.refused(element, format!("<{name}> is the architecture's, not a board's"))),
            }
        }
        Ok(insertions)
    }

    /// A device goes before everything else.
    fn region(&self, region: Node<'a, 'a>) -> Result<Insertion<'a>, ParseError> {
        if !region.has_attribute("phys_addr") || region.has_attribute("prefill_path") {
            return Err(self
                .refused(region, "a board's memory regions are devices: with `phys_addr`, filled by no file".into()));
        }
        let first = elements(self.system_document.root_element()).next();
        let place = first.ok_or_else(|| self.refused(region, "the system has nothing to add to".into()))?;
        self.insertion(region, place.range().start)
    }

    /// What a domain gets goes to its end.
    fn domain(&self, addition: Node<'a, 'a>, insertions: &mut Vec<Insertion<'a>>) -> Result<(), ParseError> {
        let name = addition.attribute("name").unwrap_or_default();
        if let Some(other) = addition.attributes().find(|attribute| attribute.name() != "name") {
            let problem = format!("`{}` of `{name}` is the architecture's, not a board's", other.name());
            return Err(self.refused(addition, problem));
        }
        let found = self
            .system_document
            .descendants()
            .find(|node| node.has_tag_name("protection_domain") && node.attribute("name") == Some(name));
        let Some(domain) = found else {
            return Err(self.refused(addition, format!("the system has no domain `{name}`")));
        };
        let range = domain.range();
        let Some(end) = self.system.1[range.clone()].rfind("</").map(|offset| range.start + offset) else {
            return Err(self.refused(addition, format!("`{name}` has no closing tag in the system's file")));
        };
        for part in elements(addition) {
            if !DOMAIN_PARTS.contains(&part.tag_name().name()) {
                let problem = format!("<{}> of `{name}` is the architecture's, not a board's", part.tag_name().name());
                return Err(self.refused(part, problem));
            }
            insertions.push(self.insertion(part, end)?);
        }
        Ok(())
    }

    /// `node` of the board, before the line of the system's text that `before` is in.
    fn insertion(&self, node: Node<'a, 'a>, before: usize) -> Result<Insertion<'a>, ParseError> {
        let at = self.system.1[..before].rfind('\n').map_or(0, |newline| newline + 1);
        if !self.system.1[at..before].trim().is_empty() {
            return Err(self.refused(node, "it would go into the middle of a line of the system's file".into()));
        }
        let range = node.range();
        let text = self.board.1;
        let start = text[..range.start].rfind('\n').map_or(0, |newline| newline + 1);
        // With its indentation, where it has a line of its own.
        let start = if text[start..range.start].trim().is_empty() { start } else { range.start };
        Ok(Insertion { at, text: &text[start..range.end], line: self.line(node) })
    }

    fn refused(&self, node: Node<'a, 'a>, problem: String) -> ParseError {
        ParseError { file: self.board.0.to_path_buf(), line: self.line(node), problem }
    }

    fn line(&self, node: Node<'a, 'a>) -> u32 {
        self.board_document.text_pos_at(node.range().start).row
    }
}

fn elements<'a>(node: Node<'a, 'a>) -> impl Iterator<Item = Node<'a, 'a>> {
    node.children().filter(Node::is_element)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYSTEM: &str = "<system>\n    <memory_region name=\"a\" size=\"0x1000\" />\n    <protection_domain name=\"gpio\">\n        \
                          <map mr=\"a\" vaddr=\"0x1000\" />\n    </protection_domain>\n    <channel />\n</system>\n";

    fn join(board: &str) -> Result<Description, String> {
        Description::join((Path::new("system.xml"), SYSTEM), (Path::new("board.xml"), board))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_board_gives_devices_and_programs() {
        let board = "<board>\n    <!-- one -->\n    <memory_region name=\"r\" size=\"0x1000\" phys_addr=\"0x9000\" />\n    \
                     <protection_domain name=\"gpio\">\n        <program_image path=\"g.elf\" />\n        <irq irq=\"39\" \
                     id=\"1\" />\n    </protection_domain>\n</board>\n";
        let joined = join(board).expect("sound");
        let expected = "<system>\n    <memory_region name=\"r\" size=\"0x1000\" phys_addr=\"0x9000\" />\n    <memory_region name=\"a\" \
                        size=\"0x1000\" />\n    <protection_domain name=\"gpio\">\n        <map mr=\"a\" vaddr=\"0x1000\" />\n        \
                        <program_image path=\"g.elf\" />\n        <irq irq=\"39\" id=\"1\" />\n    </protection_domain>\n    \
                        <channel />\n</system>\n";
        assert_eq!(joined.text(), expected);
        let places: Vec<String> = (1..=9).map(|line| joined.place(line)).collect();
        let expected = [
            "system.xml:1",
            "board.xml:3",
            "system.xml:2",
            "system.xml:3",
            "system.xml:4",
            "board.xml:5",
            "board.xml:6",
            "system.xml:5",
            "system.xml:6",
        ];
        assert_eq!(places, expected);
    }

    #[test]
    fn what_cannot_be_read_is_pointed_at_in_its_own_file() {
        let board = "<board>\n<protection_domain name=\"gpio\">\n<program_image path=\"g.elf\" />\n<irq irq=\"x\" id=\"1\" \
                     />\n</protection_domain>\n</board>";
        let error = join(board).expect("joins").system().expect_err("x is no number");
        assert_eq!(error.to_string(), "board.xml:4: irq=\"x\" is no number");
        let error = join("<board/>").expect("joins").system().expect_err("the system's own fault");
        assert!(error.to_string().starts_with("system.xml:3: `gpio` has no <program_image>"), "{error}");
    }

    #[test]
    fn a_board_is_no_architecture() {
        let cases = [
            ("<system/>", "board.xml:1: <system> where <board> should be"),
            ("<board>\n<channel/></board>", "board.xml:2: <channel> is the architecture's"),
            (
                "<board>\n<memory_region name=\"b\" size=\"0x1000\"/></board>",
                "board.xml:2: a board's memory regions are devices",
            ),
            ("<board>\n<protection_domain name=\"spy\"/></board>", "board.xml:2: the system has no domain `spy`"),
            (
                "<board>\n<protection_domain name=\"gpio\" priority=\"1\"/></board>",
                "board.xml:2: `priority` of `gpio` is the architecture's",
            ),
            (
                "<board>\n<protection_domain name=\"gpio\">\n<virtual_machine/></protection_domain></board>",
                "board.xml:3: <virtual_machine> of `gpio` is the architecture's",
            ),
            ("<board>", "board.xml:1: not well-formed"),
        ];
        for (board, expected) in cases {
            let found = join(board).expect_err(board);
            assert!(found.starts_with(expected), "{board}: {found}");
        }
    }
}
