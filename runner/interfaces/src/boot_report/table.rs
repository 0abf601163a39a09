//! The table that a person sees at the console: one line a domain, and whether all are well.

use core::fmt;

use super::{Finding, Text};

/// How a domain stands, as far as anybody can tell from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has said nothing: it never ran.
    Silent,
    /// It began, and has not come to the end of its start.
    Starting,
    /// It runs, and says this of itself.
    Running(Text),
    /// It does not run, or not as it should, and says why.
    Failed(Text),
    /// What it wrote is no report.
    Unreadable,
}

impl Standing {
    /// It runs and found itself well.
    pub const fn is_well(&self) -> bool {
        matches!(self, Self::Running(_))
    }

    /// Waiting longer may tell more.
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::Silent | Self::Starting)
    }

    /// One word.
    const fn word(&self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Starting => "starting",
            Self::Running(_) => "ok",
            Self::Failed(_) => "FAILED",
            Self::Unreadable => "garbled",
        }
    }
}

impl From<Finding> for Standing {
    fn from(finding: Finding) -> Self {
        match finding {
            Finding::Well(text) => Self::Running(text),
            Finding::Wrong(reason) => Self::Failed(reason),
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.word();
        match self {
            Self::Silent => write!(formatter, "{word:WORD_COLUMNS$} it never ran"),
            Self::Starting => {
                write!(formatter, "{word:WORD_COLUMNS$} it began and did not come to the end of its start")
            }
            Self::Unreadable => write!(formatter, "{word:WORD_COLUMNS$} what it wrote is no report"),
            Self::Running(text) | Self::Failed(text) => write!(formatter, "{word:WORD_COLUMNS$} {text}"),
        }
    }
}

/// The longest domain name, `admission`, and a little.
const NAME_COLUMNS: usize = 10;

/// The longest of [`Standing::word`].
const WORD_COLUMNS: usize = 8;

/// Names that the last line has room for: more domains than `system.xml` can have with [`crate::MAX_CELLS`] cells.
const NAMES_LIMIT: usize = 16;

/// Writes one domain's line, of which [`write_table`] makes its table.
///
/// # Errors
/// Those of `output`.
pub fn write_row<O: fmt::Write>(output: &mut O, name: &str, standing: &Standing) -> fmt::Result {
    writeln!(output, "atoll: {name:NAME_COLUMNS$} {standing}")
}

/// Writes the table of `domains`, each line beginning with `atoll:` and ending with a newline, plain ASCII.
///
/// # Errors
/// Those of `output`.
pub fn write_table<'a, O: fmt::Write>(
    output: &mut O,
    domains: impl IntoIterator<Item = (&'a str, Standing)>,
) -> fmt::Result {
    let mut total = 0_usize;
    let mut ill = [""; NAMES_LIMIT];
    let mut ill_count = 0_usize;
    for (name, standing) in domains {
        write_row(output, name, &standing)?;
        total += 1;
        if !standing.is_well() {
            if let Some(place) = ill.get_mut(ill_count) {
                *place = name;
            }
            ill_count += 1;
        }
    }
    if ill_count == 0 {
        return writeln!(output, "atoll: {total} domains, all well");
    }
    let verb = if ill_count == 1 { "is" } else { "are" };
    write!(output, "atoll: {ill_count} of {total} domains {verb} not well:")?;
    for (place, name) in ill.iter().take(ill_count).enumerate() {
        write!(output, "{} {name}", if place == 0 { "" } else { "," })?;
    }
    writeln!(output, "{}", if ill_count > NAMES_LIMIT { ", ..." } else { "" })
}
