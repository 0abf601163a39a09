//! The boards that an image can be built for, and what differs between them outside of `pd/boards`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use pd_gpio_driver::device::header_pin;

/// A board, by the Microkit SDK's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Board {
    /// QEMU's `virt` machine.
    QemuVirtAarch64,
    /// Raspberry Pi 4 with 1 GB.
    Rpi4b1Gb,
    /// Raspberry Pi 4 with 2 GB: the one that QEMU models.
    Rpi4b2Gb,
    /// Raspberry Pi 4 with 4 GB.
    Rpi4b4Gb,
    /// Raspberry Pi 4 with 8 GB.
    Rpi4b8Gb,
}

impl Board {
    /// Every board.
    pub const ALL: [Self; 5] = [Self::QemuVirtAarch64, Self::Rpi4b1Gb, Self::Rpi4b2Gb, Self::Rpi4b4Gb, Self::Rpi4b8Gb];

    /// The Microkit SDK's name of it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::QemuVirtAarch64 => "qemu_virt_aarch64",
            Self::Rpi4b1Gb => "rpi4b_1gb",
            Self::Rpi4b2Gb => "rpi4b_2gb",
            Self::Rpi4b4Gb => "rpi4b_4gb",
            Self::Rpi4b8Gb => "rpi4b_8gb",
        }
    }

    /// Whether it is a Raspberry Pi 4, of whatever size.
    #[must_use]
    pub const fn is_raspberry_pi(self) -> bool {
        !matches!(self, Self::QemuVirtAarch64)
    }

    /// What the board adds to `system.xml`, relative to the repository's root.
    #[must_use]
    pub fn part(self) -> PathBuf {
        PathBuf::from(if self.is_raspberry_pi() { "pd/boards/rpi4b.xml" } else { "pd/boards/qemu_virt_aarch64.xml" })
    }

    /// The demo's policy for it, relative to the repository's root.
    #[must_use]
    pub fn demo_policy(self) -> PathBuf {
        PathBuf::from(if self.is_raspberry_pi() { "qemu/demo-policy-rpi4b.toml" } else { "qemu/demo-policy.toml" })
    }
}

/// In front of a line's number in the labels of a Raspberry Pi's header.
const HEADER_LABEL: &str = "GPIO";

impl Board {
    /// Whether a policy for this board may name `line` and call it `label`.
    ///
    /// # Errors
    /// The system itself uses the line, or the label is another line's; in words.
    pub fn check_line(self, label: &str, line: u8) -> Result<(), String> {
        if !self.is_raspberry_pi() {
            return Ok(());
        }
        header_pin(line).map_err(|refused| refused.to_string())?;
        let labelled = label.strip_prefix(HEADER_LABEL).and_then(|number| number.parse::<u8>().ok());
        match labelled.filter(|&labelled| labelled != line) {
            Some(other) => Err(format!("{label} is line {other}'s label on the header")),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Board {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// There is no board of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownBoard;

impl fmt::Display for UnknownBoard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "there is no such board; there are {}", Board::ALL.map(Board::name).join(", "))
    }
}

impl std::error::Error for UnknownBoard {}

impl FromStr for Board {
    type Err = UnknownBoard;

    fn from_str(name: &str) -> Result<Self, UnknownBoard> {
        Self::ALL.into_iter().find(|board| board.name() == name).ok_or(UnknownBoard)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use pd_system_description::{Description, policy::Policy};

    use super::*;

    #[test]
    fn a_board_is_found_by_its_name() {
        for board in Board::ALL {
            assert_eq!(board.name().parse(), Ok(board));
        }
        let error = "rpi5".parse::<Board>().expect_err("not yet");
        assert!(error.to_string().contains("rpi4b_8gb"), "{error}");
    }

    #[test]
    fn every_board_has_its_part_and_a_sound_policy() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for board in Board::ALL {
            let description = Description::load(&root.join("system.xml"), &root.join(board.part())).expect("joins");
            let system = description.system().expect("parses");
            let policy = Policy::load(&root.join(board.demo_policy())).expect("sound");
            policy.region_bytes(&system).expect("fits");
            for line in &policy.board.lines {
                assert_eq!(board.check_line(&line.label, line.line), Ok(()));
            }
        }
    }

    #[test]
    fn a_policy_cannot_name_what_the_system_uses() {
        let refused = |label, line| Board::Rpi4b4Gb.check_line(label, line).expect_err("refused");
        assert!(refused("CONSOLE", 14).contains("the serial console's transmit line"));
        assert!(refused("WIFI", 34).contains("the board's own"));
        assert!(refused("GPIO18", 17).contains("GPIO18 is line 18's label"));
        assert_eq!(Board::QemuVirtAarch64.check_line("GPIO18", 14), Ok(()));
    }
}
