//! The board policy as admission reads it: what a container may ask for, in the board's own names.
//!
//! The region is part of the boot image and trusted as far as that is; a region that cannot be read means that nothing is
//! deployed, not that everything is.

use alloc::{
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};
use core::fmt;

use runner_container::{
    Direction, Endpoint, Urgency,
    rights::{self, Right, WrongRight, bytes_text},
};
use runner_interfaces::{
    grants::{CellGrants, LineRates, MAX_LINES},
    i2c::ADDRESSES,
    policy::{BoardDevice, BoardLimits, BoardLine, BoardPolicy, POLICY_MAGIC, POLICY_NAMES_OFFSET_BYTES},
};
use sha2::{Digest, Sha256};
use shared_ring::{SharedMemory, SharedValues};
use shared_ring_messages::ErrorCode;

use crate::{
    channels::End,
    failure::{Failure, Quoted, duration},
    schedulability::{PPM_OF_A_PERCENT, share_ppm},
};

/// Why the policy cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PolicyError {
    /// The region does not begin as a policy of this version does.
    NotAPolicy,
    /// The names behind the limits are cut off or damaged.
    Names,
    /// What the node costs is nothing that can be computed with.
    Time,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotAPolicy => "the image holds no board policy that this node can read; nothing can be deployed",
            Self::Names => "the names in the image's board policy are damaged; nothing can be deployed",
            Self::Time => "the costs in the image's board policy cannot be computed with; nothing can be deployed",
        })
    }
}

/// What a container asked for and may have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rights {
    pub(crate) grants: CellGrants,
    pub(crate) rates: LineRates,
    /// With everything stated that there is a default for.
    pub(crate) set: rights::Rights,
    /// The same as a person types them, ascending.
    pub(crate) texts: Vec<String>,
    /// What another party allows, where one has a say.
    pub(crate) limit: Option<rights::Rights>,
}

impl Rights {
    /// Linear memory, in bytes: what the manifest asks for, where that is less than the right; 0 leaves it to the right.
    pub(crate) fn memory_limit_bytes(&self, asked: u32) -> u32 {
        let most = self.set.memory_bytes().and_then(|bytes| u32::try_from(bytes).ok()).unwrap_or(u32::MAX);
        if asked == 0 { most } else { asked.min(most) }
    }

    /// The module may have so many bytes.
    pub(crate) fn check_module(&self, bytes: u32) -> Result<(), Failure> {
        match self.set.module_bytes() {
            Some(most) if u64::from(bytes) > most => {
                let right = bytes_text(most);
                let detail = format!("the module has {bytes} bytes; its right is `module:{right}`");
                Err(Failure::new(ErrorCode::ModuleSize, detail))
            }
            _ => Ok(()),
        }
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
        if board.time.as_ref().is_some_and(|time| !time.is_sound()) {
            return Err(PolicyError::Time);
        }
        Ok(Self { sha256: digest(region)?, limits, board })
    }

    /// What `asked` comes to, or which of it is not allowed and what is.
    pub(crate) fn resolve(&self, asked: &[String]) -> Result<Rights, Failure> {
        self.allow(&rights::Rights::of(asked).map_err(not_understood)?)
    }

    /// The same for a set.
    pub(crate) fn allow(&self, asked: &rights::Rights) -> Result<Rights, Failure> {
        let set = self.filled_in(asked);
        let mut allowed = Rights {
            grants: CellGrants { active_low_lines: self.limits.ceiling.active_low_lines, ..CellGrants::default() },
            ..Rights::default()
        };
        for right in set.rights() {
            self.add(&mut allowed, &right)?;
        }
        // The warden would cut it down in silence; the person who asked should hear of it.
        if allowed.grants.intersection(self.limits.ceiling) != allowed.grants {
            return Err(Failure::new(
                ErrorCode::NotAllowed,
                "the board's policy allows by name what its ceiling forbids",
            ));
        }
        Ok(Rights { texts: set.texts(), set, ..allowed })
    }

    /// The set with all that the board has a default for. Two parties' sets are filled in before what both allow is looked
    /// for: what one of them does not state is the default, and not what the other would like.
    pub(crate) fn filled_in(&self, asked: &rights::Rights) -> rights::Rights {
        asked.filled_in(&self.defaults())
    }

    /// What a container gets that asks for nothing, and the rates of lines that it asks for without one.
    fn defaults(&self) -> rights::Rights {
        let board = &self.board;
        let mut list = vec![
            Right::Memory(board.default_memory_bytes),
            Right::Module(board.default_module_bytes),
            Right::LogRate(board.default_log_per_second),
        ];
        let timers = board.default_timers.min(self.limits.ceiling.timers);
        if timers > 0 {
            let minimum_period_ns = board.default_minimum_period_ns.max(self.limits.ceiling.minimum_period_ns);
            list.push(Right::Timers { minimum_period_ns, count: Some(timers) });
        }
        if board.node_by_default && board.node_allowed {
            list.push(Right::Node);
        }
        for BoardLine { label, default_per_second, .. } in &board.lines {
            let per_second = Some(*default_per_second);
            list.push(Right::GpioOutput { line: label.clone(), per_second });
            list.push(Right::GpioEdges { line: label.clone(), per_second });
        }
        let mut defaults = rights::Rights::default();
        for right in list {
            // A policy names each line once.
            let _ = defaults.add(right);
        }
        defaults
    }

    /// What a container gets that asks for nothing, for a person.
    pub(crate) fn default_texts(&self) -> Vec<String> {
        self.filled_in(&rights::Rights::default()).texts()
    }

    /// The most that any container gets, for a person; lines, addresses and channels have reports of their own.
    pub(crate) fn most_texts(&self) -> Vec<String> {
        let BoardLimits { ceiling, memory_limit_bytes, module_limit_bytes, log_limit_per_second, .. } = self.limits;
        let mut most = vec![
            Right::LogRate(log_limit_per_second).to_string(),
            Right::Memory(memory_limit_bytes.into()).to_string(),
            Right::Module(module_limit_bytes.into()).to_string(),
            Right::CpuShare(self.board.most_cpu_percent).to_string(),
            Right::Priority(self.most_urgency()).to_string(),
        ];
        if self.board.node_allowed {
            most.push(Right::Node.to_string());
        }
        if ceiling.timers > 0 {
            let timers = Right::Timers { minimum_period_ns: ceiling.minimum_period_ns, count: Some(ceiling.timers) };
            most.push(timers.to_string());
        }
        most.sort_unstable();
        most
    }

    /// Adds one right that is stated in full, or says why the board does not allow it.
    fn add(&self, rights: &mut Rights, right: &Right) -> Result<(), Failure> {
        let refused = |why: String| Failure::new(ErrorCode::NotAllowed, format!("`{right}`: {why}"));
        let at_most = |most: String| refused(format!("the board allows at most {most}"));
        let Rights { grants, rates, .. } = rights;
        match right {
            Right::GpioOutput { line, per_second } => {
                let line = self.line(line, "out", |line| line.output)?;
                let rate = line_rate(line, *per_second).map_err(at_most)?;
                grants.output_lines |= 1 << line.line;
                lower(&mut rates.transitions[usize::from(line.line)], rate);
            }
            Right::GpioInput { line } => {
                grants.input_lines |= 1 << self.line(line, "in", |line| line.input)?.line;
            }
            Right::GpioEdges { line, per_second } => {
                let line = self.line(line, "edge", |line| line.edges)?;
                let rate = line_rate(line, *per_second).map_err(at_most)?;
                grants.input_lines |= 1 << line.line;
                grants.edge_lines |= 1 << line.line;
                lower(&mut rates.edges[usize::from(line.line)], rate);
            }
            Right::Timers { minimum_period_ns, count } => {
                let ceiling = self.limits.ceiling;
                if *minimum_period_ns < ceiling.minimum_period_ns {
                    let shortest = duration(ceiling.minimum_period_ns);
                    return Err(refused(format!("the board allows no period below {shortest}")));
                }
                let count = count.unwrap_or(ceiling.timers);
                if count > ceiling.timers {
                    return Err(at_most(format!("{} timers", ceiling.timers)));
                }
                (grants.minimum_period_ns, grants.timers) = (*minimum_period_ns, count);
            }
            Right::I2c { first, last } => {
                let [low, high] = self.addresses(*first, *last)?;
                grants.i2c_addresses[0] |= low;
                grants.i2c_addresses[1] |= high;
            }
            Right::Memory(bytes) => {
                check_amount(*bytes, self.limits.memory_limit_bytes, bytes_text).map_err(at_most)?
            }
            Right::Module(bytes) => {
                check_amount(*bytes, self.limits.module_limit_bytes, bytes_text).map_err(at_most)?
            }
            Right::LogRate(rate) => {
                check_amount((*rate).into(), self.limits.log_limit_per_second, |rate| format!("{rate}/s"))
                    .map_err(at_most)?;
            }
            Right::Node if self.board.node_allowed => {}
            Right::Node => return Err(refused("the board tells no container what it is".into())),
            Right::Channel { name, direction, .. } => self.check_channel(name, *direction).map_err(refused)?,
            Right::CpuShare(percent) => {
                let own = self.cells_own_percent();
                if *percent < own {
                    return Err(refused(format!("a cell has {own} % of its own, and nobody in it can have less")));
                }
                if *percent > self.board.most_cpu_percent {
                    return Err(at_most(format!("{}%", self.board.most_cpu_percent)));
                }
            }
            Right::Priority(class) if *class > self.most_urgency() => {
                return Err(at_most(format!("`{}`", self.most_urgency().name())));
            }
            Right::Priority(_) => {}
        }
        Ok(())
    }

    /// The most urgent class that the board lets a schedule state.
    fn most_urgency(&self) -> Urgency {
        let named = Urgency::ALL.into_iter().find(|urgency| u32::from(*urgency as u8) == self.board.most_urgency);
        named.unwrap_or(Urgency::Normal)
    }

    /// The share that the largest of the cells has of its own, in whole percent, rounded up.
    fn cells_own_percent(&self) -> u8 {
        let own = self.limits.shares.cells.iter().filter(|share| share.is_present());
        let largest = own.map(|share| share_ppm(*share).div_ceil(PPM_OF_A_PERCENT)).max();
        largest.and_then(|percent| u8::try_from(percent).ok()).unwrap_or(0)
    }

    /// What a container with these rights may ask for by a schedule: the largest share of the processor in percent, and the most
    /// urgent class.
    pub(crate) fn schedule_limits(&self, rights: &rights::Rights) -> (u8, Urgency) {
        let percent = rights.cpu_percent().unwrap_or(u8::MAX).min(self.board.most_cpu_percent);
        (percent, rights.priority().unwrap_or(Urgency::Critical).min(self.most_urgency()))
    }

    /// Whether the board lets containers ask for that end of the channel; why not, in words.
    fn check_channel(&self, name: &str, direction: Direction) -> Result<(), String> {
        let Some(channels) = &self.board.channels else { return Ok(()) };
        let put = direction == Direction::Put;
        if channels.iter().any(|channel| channel.name == name && if put { channel.put } else { channel.get }) {
            return Ok(());
        }
        let ends = |(name, put, get): (&str, bool, bool)| {
            let ways = [(put, "put"), (get, "get")].into_iter().filter_map(|(may, way)| may.then_some(way));
            format!("{name} ({})", ways.collect::<Vec<_>>().join(", "))
        };
        let allowed = channels.iter().filter(|channel| channel.put || channel.get);
        let offers: Vec<_> = allowed.map(|channel| ends((channel.name.as_str(), channel.put, channel.get))).collect();
        let offer = if offers.is_empty() { String::from("none") } else { offers.join(", ") };
        Err(format!("the board does not allow it; it allows {offer}"))
    }

    /// The rights of a container whose manifest declares these channels. To declare one is to ask for it; what was asked
    /// for and is not declared is nobody's. Where another party has a say, it must allow each.
    pub(crate) fn with_channels(&self, rights: &Rights, ends: &[End]) -> Result<Rights, Failure> {
        let limit = rights.limit.as_ref();
        let mut set = rights.set.with_channels(|_, _| false);
        for end in ends {
            let (name, direction, value_type) = end.right();
            let right = Right::Channel { name: name.into(), direction, value_type: Some(value_type.clone()) };
            if limit.is_some_and(|limit| !limit.allows_channel(name, direction, value_type)) {
                let detail = format!("`{right}`: declared by the container, and not granted");
                return Err(Failure::new(ErrorCode::NotAllowed, detail));
            }
            // Two channels of one manifest may carry the same service; they ask for one right.
            let _ = set.add(right);
        }
        Ok(Rights { limit: rights.limit.clone(), ..self.allow(&set)? })
    }

    /// What a signed container may have: what both its manifest and the owner name, each filled in with the board's defaults.
    /// Either may name only what the board allows. Channels are held to the owner's word when the manifest was read.
    pub(crate) fn resolve_signed(&self, asked: &[String], granted: &[String]) -> Result<Rights, Failure> {
        let set = |code, texts: &[String]| {
            let set = rights::Rights::of(texts).map_err(|wrong| Failure::new(code, not_understood(wrong).detail))?;
            Ok::<_, Failure>(self.allow(&set)?.set)
        };
        let (asked, granted) = (set(ErrorCode::InvalidManifest, asked)?, set(ErrorCode::NotSigned, granted)?);
        let mut rights = self.allow(&asked.limited_as(&granted).intersection(&granted.limited_as(&asked)))?;
        rights.limit = Some(granted);
        Ok(rights)
    }

    /// The labels with their numbers, for the container's configuration.
    pub(crate) fn labels(&self) -> Vec<(String, u8)> {
        self.board.lines.iter().map(|line| (line.label.clone(), line.line)).collect()
    }

    fn line(&self, label: &str, direction: &str, allowed: fn(&BoardLine) -> bool) -> Result<&BoardLine, Failure> {
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
        Ok(line)
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

    fn offer(&self) -> String {
        let lines = self.board.lines.iter().filter(|line| !directions(line).is_empty());
        let offers: Vec<String> =
            lines.map(|line| format!("{} ({})", line.label, directions(line).join(", "))).collect();
        if offers.is_empty() { String::from("none that may be used") } else { offers.join(", ") }
    }
}

/// Why a list of rights is none.
fn not_understood(wrong: WrongRight) -> Failure {
    Failure::new(ErrorCode::NotAllowed, format!("{}: {wrong}", Quoted(&wrong.text)))
}

/// The rate of a line that is asked for, or the most that the board allows.
fn line_rate(line: &BoardLine, asked: Option<u32>) -> Result<u32, String> {
    let rate = asked.unwrap_or(line.default_per_second);
    if rate <= line.most_per_second { Ok(rate) } else { Err(format!("{}/s on that line", line.most_per_second)) }
}

/// A line that is asked for under two of its names has the lower of two rates.
fn lower(rate: &mut u32, asked: u32) {
    *rate = if *rate == 0 { asked } else { asked.min(*rate) };
}

fn check_amount(asked: u64, most: u32, text: impl Fn(u64) -> String) -> Result<(), String> {
    if asked <= u64::from(most) { Ok(()) } else { Err(text(most.into())) }
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
        BoardLine {
            label: label.into(),
            line,
            output: has("out"),
            input: has("in"),
            edges: has("edge"),
            most_per_second: 1000,
            default_per_second: 100,
        }
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
                memory_limit_bytes: 4 << 20,
                module_limit_bytes: 2 << 20,
                log_limit_per_second: 500,
                shares: {
                    let mut shares = runner_interfaces::scheduling::Shares::NONE;
                    (shares.cells[0].budget_us, shares.cells[0].period_us) = (700, 10_000);
                    shares
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
                default_memory_bytes: 1 << 20,
                default_module_bytes: 2 << 20,
                default_log_per_second: 200,
                node_allowed: true,
                node_by_default: false,
                channels: None,
                allow_unsigned: true,
                time: None,
                most_cpu_percent: 50,
                most_urgency: Urgency::High as u32,
            },
        }
    }

    fn resolve(policy: &Policy, texts: &[&str]) -> Result<Rights, String> {
        let asked: Vec<String> = texts.iter().map(|text| (*text).into()).collect();
        policy.resolve(&asked).map_err(|failure| {
            assert_eq!(failure.code, ErrorCode::NotAllowed);
            failure.detail
        })
    }

    const DEFAULTS: [&str; 4] = ["log:200/s", "memory:1MiB", "module:2MiB", "timer:10ms:2"];

    #[test]
    fn who_asks_for_nothing_gets_the_default() {
        let rights = resolve(&policy(), &[]).unwrap();
        let default = CellGrants { minimum_period_ns: 10_000_000, timers: 2, ..CellGrants::default() };
        assert_eq!((rights.grants, rights.rates), (default, LineRates::default()));
        assert_eq!(rights.texts, DEFAULTS);
        assert_eq!(rights.memory_limit_bytes(0), 1 << 20);
        assert_eq!(rights.memory_limit_bytes(1000), 1000);
    }

    #[test]
    fn who_asks_gets_what_the_board_allows() {
        let asked = ["gpio:LED:out", "gpio:BUTTON:edge@7/s", "timer:2ms", "memory:64KiB", "log:1/s", "node"];
        let rights = resolve(&policy(), &asked).unwrap();
        assert_eq!((rights.grants.output_lines, rights.grants.input_lines, rights.grants.edge_lines), (1, 8, 8));
        assert_eq!((rights.grants.minimum_period_ns, rights.grants.timers), (2_000_000, 2));
        assert_eq!((rights.rates.transitions[0], rights.rates.edges[3], rights.rates.transitions[3]), (100, 7, 0));
        let texts = [
            "gpio:BUTTON:edge@7/s",
            "gpio:LED:out@100/s",
            "log:1/s",
            "memory:64KiB",
            "module:2MiB",
            "node",
            "timer:2ms:2",
        ];
        assert_eq!(rights.texts, texts);
        assert_eq!(rights.memory_limit_bytes(0), 64 << 10);
        assert_eq!(resolve(&policy(), &["gpio:BUTTON:in"]).unwrap().grants.edge_lines, 0);
        let most = ["gpio:LED:out@1000/s", "timer:1ms:7", "memory:4MiB", "log:500/s"];
        assert_eq!(resolve(&policy(), &most).unwrap().grants.timers, 7);
    }

    #[test]
    fn a_right_to_less_holds_a_module_that_the_board_would_take() {
        let rights = resolve(&policy(), &["module:1KiB"]).unwrap();
        assert_eq!(rights.check_module(1024), Ok(()));
        let failure = rights.check_module(1025).unwrap_err();
        assert_eq!(failure.code, ErrorCode::ModuleSize);
        assert_eq!(failure.detail, "the module has 1025 bytes; its right is `module:1KiB`");
    }

    #[test]
    fn addresses_are_granted_one_by_one_and_told_as_ranges() {
        let rights = resolve(&policy(), &["i2c:0x48", "i2c:0x41-0x43", "i2c:0x44", "i2c:0x4f-0x50"]).unwrap();
        assert_eq!(rights.grants.i2c_addresses, [0, 0b1_1000_0001_0001_1110]);
        assert_eq!(rights.texts[..3], ["i2c:0x41-0x44", "i2c:0x48", "i2c:0x4f-0x50"]);
    }

    #[test]
    fn what_is_not_allowed_is_named_with_what_is() {
        let cases = [
            ("gpio:BUTTON:out", "`gpio:BUTTON:out`: the board allows in, edge on that line"),
            ("gpio:VALVE:out", "`gpio:VALVE:out`: the board allows nothing on that line"),
            (
                "gpio:LAMP:in",
                "`gpio:LAMP:in`: the board has no such line; it has LED (out), BUTTON (in, edge), ODD (out)",
            ),
            ("gpio:LED:out@1001/s", "`gpio:LED:out@1001/s`: the board allows at most 1000/s on that line"),
            ("gpio:BUTTON:edge@1001/s", "`gpio:BUTTON:edge@1001/s`: the board allows at most 1000/s on that line"),
            ("timer:999999ns", "`timer:999999ns:2`: the board allows no period below 1ms"),
            ("timer:1ms:8", "`timer:1ms:8`: the board allows at most 7 timers"),
            (
                "i2c:0x6b",
                "`i2c:0x6b`: the board does not allow 0x6b at its I2C bus; it allows i2c:0x40-0x4f (sensors), i2c:0x50-0x51 (odd)",
            ),
            (
                "i2c:0x4e-0x53",
                "`i2c:0x4e-0x53`: the board does not allow 0x52 at its I2C bus; it allows i2c:0x40-0x4f (sensors), i2c:0x50-0x51 (odd)",
            ),
            (
                "i2c:0x41-0x40",
                "`i2c:0x41-0x40`: an I2C address is 0x00 to 0x7f; a range begins with the lower one, as i2c:0x48-0x4f",
            ),
            ("memory:5MiB", "`memory:5MiB`: the board allows at most 4MiB"),
            ("module:2049KiB", "`module:2049KiB`: the board allows at most 2MiB"),
            ("log:501/s", "`log:501/s`: the board allows at most 500/s"),
            ("cpu:51%", "`cpu:51%`: the board allows at most 50%"),
            ("cpu:6%", "`cpu:6%`: a cell has 7 % of its own, and nobody in it can have less"),
            ("priority:critical", "`priority:critical`: the board allows at most `high`"),
            ("priority:urgent", "`priority:urgent`: a class of urgency is `normal`, `high` or `critical`"),
            ("i2c:0x51", "the board's policy allows by name what its ceiling forbids"),
            ("gpio:ODD:out", "the board's policy allows by name what its ceiling forbids"),
        ];
        for (right, detail) in cases {
            assert_eq!(resolve(&policy(), &[right]).unwrap_err(), detail);
        }
        let twice = resolve(&policy(), &["timer:1ms", "timer:2ms"]).unwrap_err();
        assert_eq!(twice, "`timer:2ms`: the list says twice what may be used of it");
        let mut silent = policy();
        silent.board.node_allowed = false;
        assert_eq!(resolve(&silent, &["node"]).unwrap_err(), "`node`: the board tells no container what it is");
    }

    #[test]
    fn channels_are_asked_for_by_declaring_them() {
        use runner_container::{Channel, ChannelKind};
        let channel = |name: &str, direction| Channel {
            name: name.into(),
            direction,
            type_text: "f64".into(),
            kind: ChannelKind::Latest,
        };
        let declared = [channel("level", Direction::Put), channel("plan", Direction::Get)];
        let ends = crate::channels::ends(&declared, &[], &[]).unwrap();
        let mut policy = policy();
        let rights = resolve(&policy, &["channel:other:get"]).unwrap();
        let texts = policy.with_channels(&rights, &ends).unwrap().texts;
        assert_eq!(texts[..2], ["channel:level:put:f64", "channel:plan:get:f64"]);
        assert_eq!(texts[2..], DEFAULTS, "what is not declared is nobody's");
        // Another party's limit holds, with the type where it states one.
        let limit = |texts: &[&str]| rights::Rights::of(texts).unwrap();
        let both = limit(&["channel:level:put:f64", "channel:plan:get", "channel:more:get"]);
        assert!(policy.with_channels(&Rights { limit: Some(both), ..rights.clone() }, &ends).is_ok());
        for wrong in ["channel:level:get", "channel:level:put:u8"] {
            let limited = Rights { limit: Some(limit(&["channel:plan:get", wrong])), ..rights.clone() };
            let failure = policy.with_channels(&limited, &ends).unwrap_err();
            assert_eq!(failure.detail, "`channel:level:put:f64`: declared by the container, and not granted");
        }
        // And the board's.
        policy.board.channels = Some(vec![
            runner_interfaces::policy::BoardChannel { name: "level".into(), put: true, get: false },
            runner_interfaces::policy::BoardChannel { name: "plan".into(), put: true, get: false },
        ]);
        let failure = policy.with_channels(&rights, &ends).unwrap_err();
        let detail = "`channel:plan:get:f64`: the board does not allow it; it allows level (put), plan (put)";
        assert_eq!((failure.code, failure.detail.as_str()), (ErrorCode::NotAllowed, detail));
    }

    #[test]
    fn a_region_is_read_or_refused_whole() {
        let Policy { limits, board, .. } = policy();
        let names = postcard::to_allocvec(&board).unwrap();
        let region = HeapMemory::new(POLICY_NAMES_OFFSET_BYTES + 1024);
        assert_eq!(Policy::read(&region).unwrap_err(), PolicyError::NotAPolicy);
        let names_bytes = u32::try_from(names.len()).unwrap();
        region.write_value(0, &BoardLimits { magic: POLICY_MAGIC, names_bytes, ..limits }).unwrap();
        region.write(POLICY_NAMES_OFFSET_BYTES, &names).unwrap();
        assert_eq!(Policy::read(&region).unwrap().board, board);
        for names_bytes in [0, names_bytes - 1, 1025, u32::MAX] {
            region.write_value(0, &BoardLimits { magic: POLICY_MAGIC, names_bytes, ..limits }).unwrap();
            assert_eq!(Policy::read(&region).unwrap_err(), PolicyError::Names);
        }
        assert_eq!(Policy::read(&HeapMemory::new(8)).unwrap_err(), PolicyError::NotAPolicy);
    }

    fn policy_of(limits: BoardLimits, board: &BoardPolicy) -> Result<Policy, PolicyError> {
        let names = postcard::to_allocvec(board).unwrap();
        let region = HeapMemory::new(POLICY_NAMES_OFFSET_BYTES + 1024);
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

    #[test]
    fn costs_that_nothing_can_be_computed_with_are_refused() {
        use runner_interfaces::policy::BoardTime;
        let Policy { limits, mut board, .. } = policy();
        board.time = Some(BoardTime { tick_ns: 1_000_000, default_calls: 1, ..BoardTime::default() });
        assert_eq!(policy_of(limits, &board).unwrap().board.time, board.time);
        board.time = Some(BoardTime::default());
        assert_eq!(policy_of(limits, &board).unwrap_err(), PolicyError::Time);
    }
}
