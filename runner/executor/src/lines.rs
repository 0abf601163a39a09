//! The GPIO lines that a container has open, behind handles that mean nothing outside it.
//!
//! A handle is an index into this table; a container that makes one up reaches at most another line that it opened itself.

/// Handles of one container. More lines than any board gives one container; it bounds what a container that never
/// closes anything can make the cell remember.
const MAX_OPEN_LINES: usize = 32;

/// What a line was opened as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Output,
    Input,
}

impl Direction {
    /// The resource's name in the WIT world.
    pub(crate) const fn resource(self) -> &'static str {
        match self {
            Self::Output => "output",
            Self::Input => "input",
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct OpenLine {
    line: u8,
    direction: Direction,
}

/// Open lines by handle. Handles count from 1: `wit-bindgen` takes 0 for none.
#[derive(Debug, Default)]
pub(crate) struct LineTable {
    entries: [Option<OpenLine>; MAX_OPEN_LINES],
}

impl LineTable {
    pub(crate) fn has_room(&self) -> bool {
        self.entries.iter().any(Option::is_none)
    }

    /// Whether the container has the line open already, in whichever direction.
    pub(crate) fn is_open(&self, line: u8) -> bool {
        self.entries.iter().flatten().any(|entry| entry.line == line)
    }

    /// The handle of a line that was opened; `None` where the table is full.
    pub(crate) fn insert(&mut self, line: u8, direction: Direction) -> Option<u32> {
        let (index, free) = self.entries.iter_mut().enumerate().find(|(_, entry)| entry.is_none())?;
        *free = Some(OpenLine { line, direction });
        u32::try_from(index + 1).ok()
    }

    /// The line behind a handle of that direction.
    pub(crate) fn get(&self, handle: u32, direction: Direction) -> Option<u8> {
        let entry = self.entries.get(index(handle)?)?.as_ref()?;
        (entry.direction == direction).then_some(entry.line)
    }

    /// The line behind a handle, whatever it was opened as.
    pub(crate) fn any(&self, handle: u32) -> Option<(u8, Direction)> {
        let entry = self.entries.get(index(handle)?)?.as_ref()?;
        Some((entry.line, entry.direction))
    }

    /// Forgets a handle and answers its line.
    pub(crate) fn remove(&mut self, handle: u32, direction: Direction) -> Option<u8> {
        let line = self.get(handle, direction)?;
        self.entries[index(handle)?] = None;
        Some(line)
    }

    /// Forgets any one handle and answers its line; `None` where none is open.
    pub(crate) fn take_any(&mut self) -> Option<u8> {
        self.entries.iter_mut().find_map(Option::take).map(|entry| entry.line)
    }
}

fn index(handle: u32) -> Option<usize> {
    usize::try_from(handle.checked_sub(1)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_keep_to_their_direction_and_their_table() {
        let mut table = LineTable::default();
        let handle = table.insert(5, Direction::Output).unwrap();
        assert_eq!(handle, 1);
        assert_eq!(table.get(handle, Direction::Output), Some(5));
        assert_eq!(table.get(handle, Direction::Input), None);
        for wrong in [0, 2, 33, u32::MAX] {
            assert_eq!(table.get(wrong, Direction::Output), None);
            assert_eq!(table.remove(wrong, Direction::Output), None);
        }
        assert!(table.is_open(5));
        assert_eq!(table.remove(handle, Direction::Output), Some(5));
        assert!(!table.is_open(5));
        assert_eq!(table.take_any(), None);
    }

    #[test]
    fn a_full_table_takes_no_more() {
        let mut table = LineTable::default();
        for line in 0..32 {
            assert!(table.has_room());
            table.insert(line, Direction::Input).unwrap();
        }
        assert!(!table.has_room());
        assert_eq!(table.insert(40, Direction::Input), None);
    }
}
