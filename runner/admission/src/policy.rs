//! The board policy as admission reads it: what a container may ask for, in the board's own names.
//!
//! The region is part of the boot image and trusted as far as that is; a region that cannot be read means that nothing is
//! deployed, not that everything is.

use alloc::{format, string::String, vec, vec::Vec};
use core::fmt;

use runner_container::{
    Endpoint,
    rights::{self, Right, WrongRight},
};
use runner_interfaces::{
    grants::{CellGrants, MAX_LINES},
    i2c::ADDRESSES,
    policy::{BoardDevice, BoardLimits, BoardLine, BoardPolicy, POLICY_MAGIC, POLICY_NAMES_OFFSET_BYTES},
};
use sha2::{Digest, Sha256};
use shared_ring::{SharedMemory, SharedValues};
use shared_ring_messages::{ErrorCode, Grant};

use crate::failure::{Failure, Quoted, duration};

/// Why the policy cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PolicyError {
    /// The region does not begin as a policy of this version does.
    NotAPolicy,
    /// The names behind the limits are cut off or damaged.
    Names,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotAPolicy => "the image holds no board policy that this node can read; nothing can be deployed",
            Self::Names => "the names in the image's board policy are damaged; nothing can be deployed",
        })
    }
}

/// What a container asked for and may have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rights {
    pub(crate) grants: CellGrants,
    /// As a person types them.
    pub(crate) texts: Vec<String>,
}

/// Rights as a request names them.
fn named(texts: &[String]) -> Result<Vec<Grant>, WrongRight> {
    let rights = rights::Rights::of(texts)?;
    Ok(rights.rights().into_iter().filter_map(grant).collect())
}

fn grant(right: Right) -> Option<Grant> {
    match right {
        Right::GpioOutput { line, .. } => Some(Grant::GpioOutput(line)),
        Right::GpioInput { line } => Some(Grant::GpioInput(line)),
        Right::GpioEdges { line, .. } => Some(Grant::GpioEdges(line)),
        Right::Timers { minimum_period_ns, .. } => Some(Grant::Timer { minimum_period_ns }),
        Right::I2c { first, last } => Some(Grant::I2c { first, last }),
        _ => None,
    }
}

/// Limits and names.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    /// SHA-256 of the region as it lies in the image.
    pub(crate) sha256: [u8; 32],
    pub(crate) limits: BoardLimits,
    pub(crate) board: BoardPolicy,
}

impl Policy {
    pub(crate) fn read<M: SharedMemory>(region: &M) -> Result<Self, PolicyError> {
        let limits: BoardLimits = region.read_value(0).map_err(|_| PolicyError::NotAPolicy)?;
        if limits.magic != POLICY_MAGIC {
            return Err(PolicyError::NotAPolicy);
        }
        let length = usize::try_from(limits.names_bytes).map_err(|_| PolicyError::Names)?;
        if length > region.size_bytes().saturating_sub(POLICY_NAMES_OFFSET_BYTES) {
            return Err(PolicyError::Names);
        }
        let mut names = vec![0; length];
        region.read(POLICY_NAMES_OFFSET_BYTES, &mut names).map_err(|_| PolicyError::Names)?;
        let board: BoardPolicy = postcard::from_bytes(&names).map_err(|_| PolicyError::Names)?;
        let is_unknown = |device: &BoardDevice| device.last >= ADDRESSES || device.first > device.last;
        if board.lines.iter().any(|line| line.line >= MAX_LINES) || board.devices.iter().any(is_unknown) {
            return Err(PolicyError::Names);
        }
        Ok(Self { sha256: digest(region)?, limits, board })
    }

    /// What `asked` comes to, or which of it is not allowed and what is.
    pub(crate) fn resolve(&self, asked: &[Grant]) -> Result<Rights, Failure> {
        let mut grants = CellGrants {
            minimum_period_ns: self.board.default_minimum_period_ns.max(self.limits.ceiling.minimum_period_ns),
            timers: self.board.default_timers.min(self.limits.ceiling.timers),
            active_low_lines: self.limits.ceiling.active_low_lines,
            ..CellGrants::default()
        };
        for grant in asked {
            match grant {
                Grant::GpioOutput(label) => {
                    grants.output_lines |= self.line(label, "out", |line| line.output)?;
                }
                Grant::GpioInput(label) => {
                    grants.input_lines |= self.line(label, "in", |line| line.input)?;
                }
                Grant::GpioEdges(label) => {
                    let bit = self.line(label, "edge", |line| line.edges)?;
                    grants.input_lines |= bit;
                    grants.edge_lines |= bit;
                }
                Grant::Timer { minimum_period_ns } => {
                    self.check_period(*minimum_period_ns)?;
                    grants.minimum_period_ns = grants.minimum_period_ns.min(*minimum_period_ns);
                    grants.timers = self.limits.ceiling.timers;
                }
                Grant::I2c { first, last } => {
                    let [low, high] = self.addresses(*first, *last)?;
                    grants.i2c_addresses[0] |= low;
                    grants.i2c_addresses[1] |= high;
                }
            }
        }
        // The warden would cut it down in silence; the person who asked should hear of it.
        if grants.intersection(self.limits.ceiling) != grants {
            return Err(Failure::new(
                ErrorCode::NotAllowed,
                "the board's policy allows by name what its ceiling forbids",
            ));
        }
        Ok(Rights { texts: self.texts(&grants), grants })
    }

    /// What a signed container may have: what both its manifest and the owner name. Either may name only what the board allows.
    pub(crate) fn resolve_signed(&self, asked: &[String], granted: &[String]) -> Result<Rights, Failure> {
        let asked = named(asked).map_err(|wrong| Failure::new(ErrorCode::InvalidManifest, wrong))?;
        let granted = named(granted).map_err(|wrong| Failure::new(ErrorCode::NotSigned, wrong))?;
        let granted = self.resolve(&granted)?.grants;
        let both = self.resolve(&asked)?.grants.intersection(granted);
        Ok(Rights { texts: self.texts(&both), grants: both })
    }

    /// The labels with their numbers, for the container's configuration.
    pub(crate) fn labels(&self) -> Vec<(String, u8)> {
        self.board.lines.iter().map(|line| (line.label.clone(), line.line)).collect()
    }

    fn line(&self, label: &str, direction: &str, allowed: fn(&BoardLine) -> bool) -> Result<u64, Failure> {
        let refused = |why: String| {
            let asked = format!("gpio:{label}:{direction}");
            Failure::new(ErrorCode::NotAllowed, format!("{}: {why}", Quoted(&asked)))
        };
        let Some(line) = self.board.lines.iter().find(|line| line.label == label) else {
            return Err(refused(format!("the board has no such line; it has {}", self.offer())));
        };
        if !allowed(line) {
            let instead = match directions(line).join(", ") {
                none if none.is_empty() => String::from("nothing"),
                some => some,
            };
            return Err(refused(format!("the board allows {instead} on that line")));
        }
        Ok(1 << line.line)
    }

    /// Whether the board has every line that a manifest's endpoints name.
    pub(crate) fn check_endpoints(&self, endpoints: &[Endpoint]) -> Result<(), Failure> {
        let is_known = |endpoint: &&Endpoint| self.board.lines.iter().any(|line| line.label == endpoint.line);
        match endpoints.iter().find(|endpoint| !is_known(endpoint)) {
            None => Ok(()),
            Some(Endpoint { number, line }) => {
                let offer = self.offer();
                let detail = format!("endpoint {number}: the board has no line {}; it has {offer}", Quoted(line));
                Err(Failure::new(ErrorCode::InvalidManifest, detail))
            }
        }
    }

    /// The mask of a range, all of whose addresses may be asked for.
    fn addresses(&self, first: u8, last: u8) -> Result<[u64; 2], Failure> {
        let is_allowed = |address: u8| {
            let mut devices = self.board.devices.iter().filter(|device| device.allowed);
            devices.any(|device| (device.first..=device.last).contains(&address))
        };
        let asked = address_text(first, last);
        let refused = |why: String| Failure::new(ErrorCode::NotAllowed, format!("{}: {why}", Quoted(&asked)));
        if first > last || last >= ADDRESSES {
            return Err(refused(format!("addresses are 0x00 to {:#04x}, the lower one first", ADDRESSES - 1)));
        }
        match (first..=last).find(|address| !is_allowed(*address)) {
            None => Ok(CellGrants::i2c_range(first, last)),
            Some(address) => {
                let allowed = self.board.devices.iter().filter(|device| device.allowed);
                let offers: Vec<String> = allowed
                    .map(|device| format!("{} ({})", address_text(device.first, device.last), device.label))
                    .collect();
                let offer = if offers.is_empty() { String::from("none") } else { offers.join(", ") };
                Err(refused(format!("the board does not allow {address:#04x} at its I2C bus; it allows {offer}")))
            }
        }
    }

    fn check_period(&self, asked_ns: u64) -> Result<(), Failure> {
        let shortest_ns = self.limits.ceiling.minimum_period_ns;
        if asked_ns < shortest_ns || asked_ns == 0 {
            let detail =
                format!("`timer:{}`: the board allows no period below {}", duration(asked_ns), duration(shortest_ns));
            return Err(Failure::new(ErrorCode::NotAllowed, detail));
        }
        Ok(())
    }

    fn offer(&self) -> String {
        let lines = self.board.lines.iter().filter(|line| !directions(line).is_empty());
        let offers: Vec<String> =
            lines.map(|line| format!("{} ({})", line.label, directions(line).join(", "))).collect();
        if offers.is_empty() { String::from("none that may be used") } else { offers.join(", ") }
    }

    fn texts(&self, grants: &CellGrants) -> Vec<String> {
        let mut texts = Vec::new();
        for line in &self.board.lines {
            let mut add = |lines, direction| {
                if CellGrants::allows(lines, line.line) {
                    texts.push(format!("gpio:{}:{direction}", line.label));
                }
            };
            add(grants.output_lines, "out");
            add(grants.input_lines & !grants.edge_lines, "in");
            add(grants.edge_lines, "edge");
        }
        texts.extend(ranges(grants.i2c_addresses).map(|(first, last)| address_text(first, last)));
        if grants.timers > 0 {
            texts.push(format!("timer:{}", duration(grants.minimum_period_ns)));
        }
        texts
    }
}

fn digest<M: SharedMemory>(region: &M) -> Result<[u8; 32], PolicyError> {
    const PIECE_BYTES: usize = 256;
    let mut hasher = Sha256::new();
    for position in (0..region.size_bytes()).step_by(PIECE_BYTES) {
        let mut piece = [0; PIECE_BYTES];
        let piece = &mut piece[..PIECE_BYTES.min(region.size_bytes() - position)];
        region.read(position, piece).map_err(|_| PolicyError::NotAPolicy)?;
        hasher.update(piece);
    }
    Ok(hasher.finalize().into())
}

/// A right at the I2C bus, as a person types it.
fn address_text(first: u8, last: u8) -> String {
    if first == last { format!("i2c:{first:#04x}") } else { format!("i2c:{first:#04x}-{last:#04x}") }
}

/// The addresses of a mask, those that follow each other together: first and last.
fn ranges(addresses: [u64; 2]) -> impl Iterator<Item = (u8, u8)> {
    let is_in = move |address: u8| CellGrants::allows_address(addresses, address);
    let begins = (0..ADDRESSES).filter(move |address| is_in(*address) && (*address == 0 || !is_in(*address - 1)));
    begins.map(move |first| (first, (first..ADDRESSES).take_while(|address| is_in(*address)).last().unwrap_or(first)))
}

/// What the policy allows on a line, in the words of a grant.
pub(crate) fn directions(line: &BoardLine) -> Vec<&'static str> {
    [(line.output, "out"), (line.input, "in"), (line.edges, "edge")]
        .into_iter()
        .filter_map(|(allowed, direction)| allowed.then_some(direction))
        .collect()
}

#[cfg(test)]
mod tests {
    use shared_ring::HeapMemory;

    use super::*;

    fn line(label: &str, line: u8, directions: &str) -> BoardLine {
        let has = |direction| directions.contains(direction);
        BoardLine { label: label.into(), line, output: has("out"), input: has("in"), edges: has("edge") }
    }

    fn device(label: &str, first: u8, last: u8, allowed: bool) -> BoardDevice {
        BoardDevice { label: label.into(), first, last, allowed }
    }

    fn policy() -> Policy {
        Policy {
            sha256: [0; 32],
            limits: BoardLimits {
                ceiling: CellGrants {
                    output_lines: 0b0_0011,
                    input_lines: 0b0_1000,
                    edge_lines: 0b0_1000,
                    active_low_lines: 0,
                    minimum_period_ns: 1_000_000,
                    i2c_addresses: CellGrants::i2c_range(0x40, 0x50),
                    timers: 7,
                    generation: 0,
                },
                ..BoardLimits::default()
            },
            board: BoardPolicy {
                board: "bench".into(),
                lines: vec![
                    line("LED", 0, "out"),
                    line("BUTTON", 3, "in edge"),
                    line("VALVE", 6, ""),
                    line("ODD", 9, "out"),
                ],
                default_minimum_period_ns: 10_000_000,
                default_timers: 2,
                devices: vec![
                    device("sensors", 0x40, 0x4f, true),
                    device("charger", 0x6b, 0x6b, false),
                    device("odd", 0x50, 0x51, true),
                ],
                allow_unsigned: true,
            },
        }
    }

    #[test]
    fn who_asks_for_nothing_gets_the_default() {
        let rights = policy().resolve(&[]).unwrap();
        let default = CellGrants { minimum_period_ns: 10_000_000, timers: 2, ..CellGrants::default() };
        assert_eq!(rights, Rights { grants: default, texts: vec!["timer:10ms".into()] });
    }

    #[test]
    fn who_asks_gets_what_the_board_allows() {
        let asked = [
            Grant::GpioOutput("LED".into()),
            Grant::GpioEdges("BUTTON".into()),
            Grant::Timer { minimum_period_ns: 2_000_000 },
        ];
        let rights = policy().resolve(&asked).unwrap();
        assert_eq!((rights.grants.output_lines, rights.grants.input_lines, rights.grants.edge_lines), (1, 8, 8));
        assert_eq!((rights.grants.minimum_period_ns, rights.grants.timers), (2_000_000, 7));
        assert_eq!(rights.texts, ["gpio:LED:out", "gpio:BUTTON:edge", "timer:2ms"]);
        assert_eq!(policy().resolve(&[Grant::GpioInput("BUTTON".into())]).unwrap().grants.edge_lines, 0);
    }

    #[test]
    fn addresses_are_granted_one_by_one_and_told_as_ranges() {
        let asked = [(0x48, 0x48), (0x41, 0x43), (0x44, 0x44), (0x4f, 0x50)];
        let asked = asked.map(|(first, last)| Grant::I2c { first, last });
        let rights = policy().resolve(&asked).unwrap();
        assert_eq!(rights.grants.i2c_addresses, [0, 0b1_1000_0001_0001_1110]);
        assert_eq!(rights.texts, ["i2c:0x41-0x44", "i2c:0x48", "i2c:0x4f-0x50", "timer:10ms"]);
        assert_eq!(ranges([u64::MAX; 2]).collect::<Vec<_>>(), [(0, 0x7f)]);
        assert_eq!(ranges([1, 1 << 63]).collect::<Vec<_>>(), [(0, 0), (0x7f, 0x7f)]);
    }

    #[test]
    fn what_is_not_allowed_is_named_with_what_is() {
        let cases = [
            (Grant::GpioOutput("BUTTON".into()), "`gpio:BUTTON:out`: the board allows in, edge on that line"),
            (Grant::GpioOutput("VALVE".into()), "`gpio:VALVE:out`: the board allows nothing on that line"),
            (
                Grant::GpioInput("LAMP".into()),
                "`gpio:LAMP:in`: the board has no such line; it has LED (out), BUTTON (in, edge), ODD (out)",
            ),
            (Grant::Timer { minimum_period_ns: 999_999 }, "`timer:999999ns`: the board allows no period below 1ms"),
            (
                Grant::I2c { first: 0x6b, last: 0x6b },
                "`i2c:0x6b`: the board does not allow 0x6b at its I2C bus; it allows i2c:0x40-0x4f (sensors), i2c:0x50-0x51 (odd)",
            ),
            (
                Grant::I2c { first: 0x4e, last: 0x53 },
                "`i2c:0x4e-0x53`: the board does not allow 0x52 at its I2C bus; it allows i2c:0x40-0x4f (sensors), i2c:0x50-0x51 (odd)",
            ),
            (
                Grant::I2c { first: 0x41, last: 0x40 },
                "`i2c:0x41-0x40`: addresses are 0x00 to 0x7f, the lower one first",
            ),
            (
                Grant::I2c { first: 0x40, last: 0x80 },
                "`i2c:0x40-0x80`: addresses are 0x00 to 0x7f, the lower one first",
            ),
            (Grant::I2c { first: 0x51, last: 0x51 }, "the board's policy allows by name what its ceiling forbids"),
            (Grant::GpioOutput("ODD".into()), "the board's policy allows by name what its ceiling forbids"),
        ];
        for (grant, detail) in cases {
            let failure = policy().resolve(&[grant]).unwrap_err();
            assert_eq!((failure.code, failure.detail.as_str()), (ErrorCode::NotAllowed, detail));
        }
    }

    #[test]
    fn a_region_is_read_or_refused_whole() {
        let Policy { limits, board, .. } = policy();
        let names = postcard::to_allocvec(&board).unwrap();
        let region = HeapMemory::new(1024);
        assert_eq!(Policy::read(&region).unwrap_err(), PolicyError::NotAPolicy);
        let names_bytes = u32::try_from(names.len()).unwrap();
        region.write_value(0, &BoardLimits { magic: POLICY_MAGIC, names_bytes, ..limits }).unwrap();
        region.write(POLICY_NAMES_OFFSET_BYTES, &names).unwrap();
        assert_eq!(Policy::read(&region).unwrap().board, board);
        for names_bytes in [0, names_bytes - 1, 1024, u32::MAX] {
            region.write_value(0, &BoardLimits { magic: POLICY_MAGIC, names_bytes, ..limits }).unwrap();
            assert_eq!(Policy::read(&region).unwrap_err(), PolicyError::Names);
        }
        assert_eq!(Policy::read(&HeapMemory::new(8)).unwrap_err(), PolicyError::NotAPolicy);
    }

    fn policy_of(limits: BoardLimits, board: &BoardPolicy) -> Result<Policy, PolicyError> {
        let names = postcard::to_allocvec(board).unwrap();
        let region = HeapMemory::new(1024);
        let names_bytes = u32::try_from(names.len()).unwrap();
        region.write_value(0, &BoardLimits { magic: POLICY_MAGIC, names_bytes, ..limits }).unwrap();
        region.write(POLICY_NAMES_OFFSET_BYTES, &names).unwrap();
        Policy::read(&region)
    }

    #[test]
    fn a_line_that_no_mask_has_a_bit_for_is_refused() {
        let Policy { limits, mut board, .. } = policy();
        board.lines.push(line("FAR", MAX_LINES, "out"));
        assert_eq!(policy_of(limits, &board).unwrap_err(), PolicyError::Names);
        board.lines.pop();
        assert!(policy_of(limits, &board).is_ok());
        board.devices.push(device("far", 0x7f, 0x80, false));
        assert_eq!(policy_of(limits, &board).unwrap_err(), PolicyError::Names);
    }
}
