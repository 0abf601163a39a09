//! The GPIO lines that a container has open, behind handles.
//!
//! Who owns the lines knows nothing of handles; it knows the cell. So a line is open at most once, whatever the interface that
//! it was opened through.

use runner_interfaces::gpio::{Opened, Pull};

use crate::handles::Handles;

/// Handles of one container. More lines than any board gives one container; it bounds what a container that never
/// closes anything can make the cell remember.
const MAX_OPEN_LINES: usize = 32;

/// What a line was opened as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Output,
    Input,
}

/// The resource that a handle is of: an interface's own word for an open line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resource {
    /// As the WIT file has it.
    pub(crate) name: &'static str,
    pub(crate) direction: Direction,
}

/// An open line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpenLine {
    /// Its number at the owner.
    pub(crate) line: u8,
    pub(crate) resource: Resource,
    /// It is active while it is low: as the board says, until the container says otherwise.
    pub(crate) active_low: bool,
    /// What the container had it drawn to, where an interface tells that again.
    pub(crate) pull: Option<Pull>,
}

impl OpenLine {
    pub(crate) fn new(line: u8, resource: Resource, opened: Opened) -> Self {
        Self { line, resource, active_low: opened.active_low, pull: None }
    }

    /// Whether that level is the active one; and the level that is active where `level` is true.
    pub(crate) fn is_active(&self, level: bool) -> bool {
        level != self.active_low
    }
}

/// Open lines by handle.
#[derive(Debug, Default)]
pub(crate) struct LineTable {
    handles: Handles<OpenLine, MAX_OPEN_LINES>,
}

impl LineTable {
    pub(crate) fn has_room(&self) -> bool {
        self.handles.has_room()
    }

    /// Whether the container has the line open already, as whatever resource.
    pub(crate) fn is_open(&self, line: u8) -> bool {
        self.handles.held().any(|open| open.line == line)
    }

    /// The handle of a line that was opened; `None` where the table is full.
    pub(crate) fn insert(&mut self, open: OpenLine) -> Option<u32> {
        self.handles.insert(open)
    }

    /// The line behind a handle of that resource.
    pub(crate) fn get(&self, handle: u32, resource: Resource) -> Option<&OpenLine> {
        self.handles.get(handle).filter(|open| open.resource == resource)
    }

    /// The same, to change how the container takes it.
    pub(crate) fn get_mut(&mut self, handle: u32, resource: Resource) -> Option<&mut OpenLine> {
        self.handles.get_mut(handle).filter(|open| open.resource == resource)
    }

    /// Forgets a handle and answers its line.
    pub(crate) fn remove(&mut self, handle: u32, resource: Resource) -> Option<u8> {
        self.get(handle, resource)?;
        self.handles.remove(handle).map(|open| open.line)
    }

    /// Forgets any one handle and answers its line; `None` where none is open.
    pub(crate) fn take_any(&mut self) -> Option<u8> {
        self.handles.take_any().map(|open| open.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: Resource = Resource { name: "output", direction: Direction::Output };
    const INPUT: Resource = Resource { name: "input", direction: Direction::Input };

    fn open(line: u8, resource: Resource) -> OpenLine {
        OpenLine::new(line, resource, Opened::default())
    }

    #[test]
    fn handles_keep_to_their_resource_and_their_table() {
        let mut table = LineTable::default();
        let handle = table.insert(open(5, OUTPUT)).unwrap();
        assert_eq!(handle, 1);
        assert_eq!(table.get(handle, OUTPUT), Some(&open(5, OUTPUT)));
        assert_eq!(table.get(handle, INPUT), None);
        assert_eq!(table.remove(handle, INPUT), None);
        for wrong in [0, 2, 33, u32::MAX] {
            assert_eq!(table.get(wrong, OUTPUT), None);
            assert_eq!(table.remove(wrong, OUTPUT), None);
        }
        assert!(table.is_open(5));
        assert_eq!(table.remove(handle, OUTPUT), Some(5));
        assert!(!table.is_open(5));
        assert_eq!(table.take_any(), None);
    }

    #[test]
    fn a_full_table_takes_no_more() {
        let mut table = LineTable::default();
        for line in 0..32 {
            assert!(table.has_room());
            table.insert(open(line, INPUT)).unwrap();
        }
        assert!(!table.has_room());
        assert_eq!(table.insert(open(40, INPUT)), None);
    }

    #[test]
    fn a_line_is_active_at_one_level() {
        let high = open(1, OUTPUT);
        let low = OpenLine { active_low: true, ..high };
        assert!(high.is_active(true) && !high.is_active(false));
        assert!(!low.is_active(true) && low.is_active(false));
    }
}
