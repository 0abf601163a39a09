//! Answers that tell what is: the node, its containers, their output. They change nothing.

use alloc::{
    boxed::Box,
    string::{String, ToString},
    vec::Vec,
};

use runner_interfaces::{
    cell::{ContainerState, NodeIdentity},
    gpio::{GpioStatus, LineCounts},
    grants::CellGrants,
    kernel::Instant,
    policy::{BoardDevice, BoardLine},
    timer::TimerStatus,
    warden::CELL_PRESENT,
};
use shared_ring::SharedMemory;
use shared_ring_messages::{
    Answer, ChannelReport, ContainerReport, DeviceReport, FromNode, LineReport, NodeReport, frame,
};
use zerocopy::FromZeros;

use crate::{
    admission::Admission,
    container::Container,
    failure::Failure,
    policy::{Policy, directions},
    trust::Trust,
};

impl<M: SharedMemory + Clone> Admission<M> {
    /// What containers are told of the node, and `emit info` a person.
    pub(crate) fn identity(&self) -> NodeIdentity {
        NodeIdentity {
            board: self.policy.as_ref().map(|policy| policy.board.board.clone()).unwrap_or_default(),
            version: env!("CARGO_PKG_VERSION").into(),
            substrate: self.options.substrate.clone(),
        }
    }

    pub(crate) fn info(&self, now: Instant) -> Answer {
        let policy = self.policy.as_ref().ok();
        let NodeIdentity { board, version, substrate } = self.identity();
        let ports = || self.cells.iter().enumerate().filter_map(|(number, port)| Some((number, port.as_ref()?)));
        let free = ports().filter(|(number, _)| self.is_free(*number)).count();
        Answer::Info(Box::new(NodeReport {
            substrate,
            board,
            version,
            uptime_ns: now.nanoseconds(),
            cells: u8::try_from(ports().count()).unwrap_or(u8::MAX),
            cells_free: u8::try_from(free).unwrap_or(u8::MAX),
            module_limit_bytes: policy.map_or(0, |policy| self.module_limit_bytes(policy)),
            memory_limit_bytes: policy.map_or(0, |policy| policy.limits.memory_limit_bytes),
            lines: policy.map(|policy| self.lines(policy)).unwrap_or_default(),
            counters: self.named_counters(),
            bus_is_simulated: self.i2c_status.try_read().is_some_and(|status| status.is_simulated != 0),
            devices: policy.map(devices).unwrap_or_default(),
            most: policy.map(Policy::most_texts).unwrap_or_default(),
            defaults: policy.map(Policy::default_texts).unwrap_or_default(),
            runs_unsigned: self.runs_unsigned(),
            keys: self.trust.as_ref().map(Trust::keys).unwrap_or_default(),
        }))
    }

    fn lines(&self, policy: &Policy) -> Vec<LineReport> {
        let status = self.gpio_status.try_read().unwrap_or_else(GpioStatus::new_zeroed);
        let counts = |line: &BoardLine| self.line_counts.read(line.line);
        policy.board.lines.iter().map(|line| line_report(line, &status, counts(line))).collect()
    }

    fn named_counters(&self) -> Vec<(String, u64)> {
        let gpio = self.gpio_status.try_read().unwrap_or_else(GpioStatus::new_zeroed);
        let i2c = self.i2c_status.try_read().unwrap_or_default();
        let timer = self.timer_status.try_read().unwrap_or_else(TimerStatus::new_zeroed);
        let faults = self.table.cells.iter().map(|cell| cell.faults).fold(0, u64::saturating_add);
        let exhausted = self.table.cells.iter().map(|cell| cell.exhausted).fold(0, u64::saturating_add);
        let floods = self.table.cells.iter().map(|cell| u64::from(cell.floods)).sum();
        let restarts = self.table.cells.iter().map(|cell| u64::from(cell.restarts)).sum();
        let of_others = [
            ("cell_faults", faults),
            ("cell_restarts", restarts),
            ("cell_floods", floods),
            ("cell_exhausted", exhausted),
            ("warden_invalid", self.table.invalid),
            ("gpio_calls", gpio.calls),
            ("gpio_refused", gpio.refused),
            ("gpio_invalid", gpio.invalid),
            ("gpio_limited", gpio.limited),
            ("gpio_edges_coalesced", gpio.coalesced),
            ("gpio_storms", gpio.storms),
            ("i2c_calls", i2c.calls),
            ("i2c_refused", i2c.refused),
            ("i2c_invalid", i2c.invalid),
            ("i2c_failed", i2c.failed),
            ("timer_calls", timer.calls),
            ("timer_refused", timer.refused),
            ("timer_invalid", timer.invalid),
            ("timer_expiries", timer.expiries),
            ("timer_interrupts", timer.interrupts),
            ("timer_missed_interrupts", timer.missed_interrupts),
            ("timer_ticks", timer.ticks),
            ("timer_longest_ns", timer.longest_ns),
            ("warden_stalls", timer.warden_stalls),
            ("warden_still_since_ns", timer.warden_still_since_ns),
            ("gpio_longest_ns", gpio.longest_ns),
        ];
        let mut counters = self.counters.named();
        counters.extend(of_others.map(|(name, value)| (name.to_string(), value)));
        let (later, buckets) = timer.lateness.buckets.split_last().unwrap_or((&0, &[]));
        counters.extend(
            buckets.iter().enumerate().map(|(i, count)| (alloc::format!("timer_ticks_below_{}us", 1 << i), *count)),
        );
        counters.push(("timer_ticks_later".to_string(), *later));
        counters
    }

    pub(crate) fn list(&self, now: Instant) -> Answer {
        Answer::Containers((0..self.cells.len()).filter_map(|cell| self.report(cell, now)).collect())
    }

    /// The container in that cell, if there is one.
    pub(crate) fn report(&self, cell: usize, now: Instant) -> Option<ContainerReport> {
        let container = self.cells.get(cell)?.as_ref()?.container.as_ref()?;
        let mut report = container.report(cell, &self.table.cells[cell], self.options.fault_name, now);
        report.channels = self.binding_reports(cell);
        (report.grants, report.refused) = self.use_reports(cell, container);
        if self.successor_of(container.serial).is_some() {
            report.update = "old".into();
        }
        Some(report)
    }

    pub(crate) fn container_answer(&self, cell: usize, now: Instant) -> Result<Answer, Failure> {
        let report = self.report(cell, now).ok_or_else(|| Failure::internal("the container is gone"))?;
        Ok(Answer::Container(Box::new(report)))
    }

    pub(crate) fn logs(&self, cell: usize, cursor: u64) -> Result<Answer, Failure> {
        let gone = || Failure::internal("the container is gone");
        let container = self.cells[cell].as_ref().and_then(|port| port.container.as_ref()).ok_or_else(gone)?;
        let page = container.log.page(cursor);
        let over = container.is_over(&self.table.cells[cell], self.options.fault_name);
        let ended = over && container.log.is_past_end(page.next) && !container.held_back;
        Ok(Answer::Logs { records: page.records, next: page.next, lost: page.lost, ended })
    }

    /// Whether a container may be placed in that cell.
    pub(crate) fn is_free(&self, cell: usize) -> bool {
        let port = self.cells.get(cell).and_then(Option::as_ref);
        port.is_some_and(|port| port.container.is_none() && !port.lost)
            && self.table.cells[cell].present == CELL_PRESENT
    }

    /// Where the container of that name is; of two versions, that which the other is to replace.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.position(|container| container.name() == name && container.replaces.is_none())
    }

    /// Where the container is that is to replace the one of that serial.
    pub(crate) fn successor_of(&self, serial: u64) -> Option<usize> {
        self.position(|container| container.replaces.is_some_and(|replaces| replaces.serial == serial))
    }

    /// Where the first such container is.
    pub(crate) fn position(&self, is_it: impl Fn(&Container) -> bool) -> Option<usize> {
        self.cells.iter().position(|port| port.as_ref().and_then(|port| port.container.as_ref()).is_some_and(&is_it))
    }

    pub(crate) fn state(&self, cell: usize) -> ContainerState {
        let container = self.cells[cell].as_ref().and_then(|port| port.container.as_ref());
        container.map_or(ContainerState::Empty, |container| {
            container.view(&self.table.cells[cell], self.options.fault_name).state
        })
    }
}

fn devices(policy: &Policy) -> Vec<DeviceReport> {
    let report = |device: &BoardDevice| DeviceReport {
        label: device.label.clone(),
        first: device.first,
        last: device.last,
        allowed: device.allowed,
    };
    policy.board.devices.iter().map(report).collect()
}

fn line_report(line: &BoardLine, status: &GpioStatus, counts: LineCounts) -> LineReport {
    let held_as = match line.line {
        number if CellGrants::allows(status.outputs, number) => "output",
        number if CellGrants::allows(status.inputs, number) => "input",
        _ => "",
    };
    LineReport {
        label: line.label.clone(),
        line: line.line,
        allowed: directions(line).into_iter().map(String::from).collect(),
        held_as: held_as.into(),
        high: CellGrants::allows(status.levels, line.line),
        transitions: counts.transitions,
        edges: counts.edges,
        most_per_second: line.most_per_second,
    }
}

/// The bytes of an answer's frame. Where it is too long for one, it leaves out what can be asked for otherwise: containers
/// their arguments, then rights, then channels, the node its last lines, devices and keys, channels the ends of long names.
pub(crate) fn encode(number: u32, mut answer: Answer) -> Vec<u8> {
    loop {
        let message = FromNode::Answer { number, answer };
        if let Ok(bytes) = frame::encode(&message) {
            return bytes;
        }
        let FromNode::Answer { answer: too_long, .. } = message else { return Vec::new() };
        match shorten(too_long) {
            Some(shorter) => answer = shorter,
            None => return encode_failure(number, &Failure::internal("the answer does not fit a frame")),
        }
    }
}

/// The bytes of a failure's frame.
pub(crate) fn encode_failure(number: u32, failure: &Failure) -> Vec<u8> {
    encode_message(&FromNode::Failure { number, code: failure.code, detail: failure.detail.clone() })
}

/// The bytes of a message that always fits a frame.
pub(crate) fn encode_message(message: &FromNode) -> Vec<u8> {
    frame::encode(message).expect("its parts are bounded far below a frame")
}

/// The same with less; `None` where there is nothing to leave out.
fn shorten(answer: Answer) -> Option<Answer> {
    match answer {
        Answer::Containers(mut reports) => {
            let longest = reports.iter_mut().max_by_key(|report| weight(report))?;
            shorten_report(longest).then_some(Answer::Containers(reports))
        }
        Answer::Container(mut report) => shorten_report(&mut report).then_some(Answer::Container(report)),
        Answer::Channels(mut reports) => shorten_channels(&mut reports).then_some(Answer::Channels(reports)),
        Answer::Info(mut report) => {
            if report.lines.pop().is_none() && report.devices.pop().is_none() {
                report.keys.pop()?;
            }
            Some(Answer::Info(report))
        }
        // As long as that are only distributions that nobody measured.
        Answer::Timing(mut report) => {
            let longest = report.measures.iter_mut().max_by_key(|measure| measure.buckets.len())?;
            longest.buckets.pop()?;
            Some(Answer::Timing(report))
        }
        _ => None,
    }
}

fn weight(report: &ContainerReport) -> usize {
    let channels = report.channels.iter().flat_map(|channel| [&channel.name, &channel.address, &channel.type_text]);
    let rights = report.grants.iter().chain(&report.refused).map(|grant| &grant.right);
    report.arguments.iter().chain(rights).chain(channels).map(|text| text.len() + 1).sum()
}

fn shorten_report(report: &mut ContainerReport) -> bool {
    if !report.arguments.is_empty() {
        report.arguments.clear();
        return true;
    }
    if !report.grants.is_empty() {
        report.grants.clear();
        report.refused.clear();
        return true;
    }
    let had = !report.channels.is_empty();
    report.channels.clear();
    had
}

/// Cuts what is long, then leaves out the last channels: there are 32 at the most, and each then takes less than a
/// thirty-second of a frame.
fn shorten_channels(reports: &mut Vec<ChannelReport>) -> bool {
    const LONG: usize = 40;
    let mut cut = false;
    for report in reports.iter_mut() {
        for text in [&mut report.address, &mut report.type_text].into_iter().filter(|text| text.len() > LONG) {
            text.truncate(text.floor_char_boundary(LONG - ELLIPSIS.len()));
            text.push_str(ELLIPSIS);
            cut = true;
        }
    }
    cut || reports.pop().is_some()
}

/// Where a text was cut.
const ELLIPSIS: &str = "…";

#[cfg(test)]
mod tests {
    use alloc::vec;

    use shared_ring_messages::{FrameDecoder, GrantReport};

    use super::*;

    fn decode(bytes: &[u8]) -> FromNode {
        FrameDecoder::new().next_frame(&mut &*bytes).expect("a frame").expect("a message")
    }

    fn large_report(name: &str) -> ContainerReport {
        ContainerReport {
            name: name.into(),
            arguments: vec!["x".repeat(4096)],
            grants: vec![GrantReport { right: "gpio:LED:out".into(), ..GrantReport::default() }; 100],
            reason_text: "y".repeat(400),
            fault_text: "z".repeat(150),
            fuel: u64::MAX,
            ..ContainerReport::default()
        }
    }

    #[test]
    fn a_list_that_is_too_long_leaves_out_what_inspect_tells() {
        let reports: Vec<_> = (0..8).map(|number| large_report(&number.to_string())).collect();
        let FromNode::Answer { number: 7, answer: Answer::Containers(found) } =
            decode(&encode(7, Answer::Containers(reports)))
        else {
            panic!("a list")
        };
        assert_eq!(found.len(), 8);
        assert!(found.iter().all(|report| report.reason_text.len() == 400));
        assert!(found.iter().any(|report| report.arguments.is_empty()));
    }

    #[test]
    fn one_container_fits_with_everything() {
        let report = large_report("a");
        let answer = Answer::Container(Box::new(report.clone()));
        assert_eq!(
            decode(&encode(1, answer)),
            FromNode::Answer { number: 1, answer: Answer::Container(report.into()) }
        );
    }

    #[test]
    fn all_channels_fit_however_long_their_names_are() {
        let channel = |number: usize| ChannelReport {
            address: alloc::format!("{number}{}", "é".repeat(1000)),
            type_text: "t".repeat(255),
            kind: "latest".into(),
            last_value: vec![0xff; 32],
            puts: u64::MAX,
            takes: u64::MAX,
            overwritten: u64::MAX,
            refused: u64::MAX,
            last_put_ns: u64::MAX,
            writer: "w".repeat(40),
            ..ChannelReport::default()
        };
        let bytes = encode(1, Answer::Channels((0..32).map(channel).collect()));
        let FromNode::Answer { answer: Answer::Channels(told), .. } = decode(&bytes) else { panic!("channels") };
        assert_eq!(told.len(), 32);
        assert!(told.iter().all(|channel| channel.address.len() <= 40 && channel.address.ends_with('…')));
    }

    #[test]
    fn what_cannot_be_shortened_is_a_failure_and_not_silence() {
        let report = ContainerReport { name: "n".repeat(10_000), ..ContainerReport::default() };
        let message = decode(&encode(3, Answer::Container(Box::new(report))));
        assert!(matches!(message, FromNode::Failure { number: 3, .. }));
    }
}
