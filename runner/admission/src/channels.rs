//! Which channel of a container is which channel of the node.
//!
//! A container names its channels in its manifest and knows no other container, cell or node. A channel that carries no service
//! is the node's channel of that name, for whoever declares it. One that provides a service is known by the service's address,
//! `temperature{room=kitchen}`; one that needs a service is bound to the first address, in alphabetical order, that offers
//! it with all the attributes asked for, as soon as there is one, and anew where its provider went and another came.
//!
//! The values lie with the `exchange`; here is decided who is bound to what. Types and kinds must be the same at both ends.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use runner_container::{Channel, ChannelKind, Direction, Service, value_type::ValueType};
use runner_interfaces::{
    cell::ChannelName,
    exchange::{self, Binding, Declaration, Kind, MAX_BINDINGS, MAX_CHANNELS, SlotStatus, Status, deepest},
    kernel::{Kernel, Message},
};
use shared_ring::SharedMemory;
use shared_ring_messages::{BindingReport, ChannelReport, ErrorCode};

use crate::{
    admission::Admission,
    counters::Counter,
    failure::{Failure, Quoted},
};

const _: () = assert!(runner_container::MAX_CHANNELS <= MAX_BINDINGS, "every channel of a manifest has an end");

/// A channel of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    address: Address,
    value_type: ValueType,
    kind: ChannelKind,
}

/// What a channel of the node is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Address {
    /// A plain channel's name.
    Name(String),
    Service {
        service: String,
        attributes: Vec<(String, String)>,
    },
}

impl Address {
    fn text(&self) -> String {
        match self {
            Self::Name(name) => name.clone(),
            Self::Service { service, attributes } => service_text(service, attributes),
        }
    }

    /// Whether it offers what is needed.
    fn offers(&self, need: &Service) -> bool {
        match self {
            Self::Name(_) => false,
            Self::Service { service, attributes } => {
                *service == need.service && need.attributes.iter().all(|wanted| attributes.contains(wanted))
            }
        }
    }
}

fn service_text(service: &str, attributes: &[(String, String)]) -> String {
    let pairs: Vec<String> = attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if pairs.is_empty() { service.to_string() } else { format!("{service}{{{}}}", pairs.join(",")) }
}

/// One of a container's channels.
#[derive(Clone, Debug)]
pub(crate) struct End {
    channel: Channel,
    value_type: ValueType,
    provides: Option<Service>,
    needs: Option<Service>,
    /// The channel of the node that it is bound to.
    slot: Option<usize>,
}

impl End {
    fn address(&self) -> Address {
        match &self.provides {
            Some(Service { service, attributes, .. }) => {
                Address::Service { service: service.clone(), attributes: attributes.clone() }
            }
            None => Address::Name(self.channel.name.clone()),
        }
    }

    /// What it asks for: the channel's name, or that of the service that it carries.
    pub(crate) fn right(&self) -> (&str, Direction, &ValueType) {
        let service = self.provides.as_ref().or(self.needs.as_ref());
        let name = service.map_or(&self.channel.name, |service| &service.service);
        (name, self.channel.direction, &self.value_type)
    }

    fn writes(&self) -> bool {
        self.channel.direction == Direction::Put
    }

    fn check_fits(&self, slot: &Slot) -> Result<(), Failure> {
        if self.value_type == slot.value_type && self.channel.kind == slot.kind {
            return Ok(());
        }
        let (there, here) = (type_and_kind(&slot.value_type, slot.kind), self.type_and_kind());
        let (name, address) = (Quoted(&self.channel.name), slot.address.text());
        let detail = format!("{name}: {} carries {there}; declared is {here}", Quoted(&address));
        Err(Failure::new(ErrorCode::ChannelMismatch, detail))
    }

    /// Another container has that end of the channel.
    fn is_taken(&self, address: &str) -> Failure {
        let role = if self.writes() { "written" } else { "read" };
        let name = Quoted(&self.channel.name);
        let detail = format!("{name}: {} is {role} by another container already", Quoted(address));
        Failure::new(ErrorCode::ChannelMismatch, detail)
    }

    fn type_and_kind(&self) -> String {
        type_and_kind(&self.value_type, self.channel.kind)
    }
}

fn type_and_kind(value_type: &ValueType, kind: ChannelKind) -> String {
    match kind {
        ChannelKind::Latest => format!("{value_type}, latest"),
        ChannelKind::Queue { depth } => format!("{value_type}, queue of {depth}"),
    }
}

/// Reads the channels of a manifest.
pub(crate) fn ends(channels: &[Channel], provides: &[Service], needs: &[Service]) -> Result<Vec<End>, Failure> {
    let of = |services: &[Service], name: &str| services.iter().find(|service| service.channel == name).cloned();
    channels
        .iter()
        .map(|channel| {
            let refused = |why: &dyn core::fmt::Display| {
                let name = Quoted(&channel.name);
                Failure::new(ErrorCode::InvalidManifest, format!("the channel {name}: {why}"))
            };
            let value_type = ValueType::parse(&channel.type_text).map_err(|error| refused(&error))?;
            if let ChannelKind::Queue { depth } = channel.kind
                && depth > deepest(value_type.size_bytes()) as u64
            {
                let deepest = deepest(value_type.size_bytes());
                return Err(refused(&format_args!("a queue of {value_type} has room for at most {deepest} values")));
            }
            Ok(End {
                provides: of(provides, &channel.name),
                needs: of(needs, &channel.name),
                channel: channel.clone(),
                value_type,
                slot: None,
            })
        })
        .collect()
}

/// What a cell is told of its container's channels.
pub(crate) fn names(ends: &[End]) -> Vec<ChannelName> {
    ends.iter()
        .map(|end| ChannelName {
            name: end.channel.name.clone(),
            direction: direction(end),
            value_type: end.value_type.text(),
        })
        .collect()
}

fn direction(end: &End) -> exchange::Direction {
    match end.channel.direction {
        Direction::Put => exchange::Direction::Put,
        Direction::Get => exchange::Direction::Get,
    }
}

impl<M: SharedMemory + Clone> Admission<M> {
    /// Binds the channels of the container in that cell, which is about to be loaded, and others' that waited for it.
    ///
    /// # Errors
    /// Which channel does not fit and why. The caller removes the container, and with it what was bound.
    pub(crate) fn bind_channels<K: Kernel>(&mut self, kernel: &mut K, cell: usize) -> Result<(), Failure> {
        for index in 0..self.ends_of(cell).len() {
            let end = &self.ends_of(cell)[index];
            let slot = match &end.needs {
                Some(need) => self.provider(need),
                None => Some(self.slot_for(cell, index)?),
            };
            if let Some(slot) = slot {
                self.bind(kernel, cell, index, slot)?;
            }
        }
        self.tidy_channels(kernel);
        Ok(())
    }

    /// Whether they could be bound now, as far as that can be told without asking the exchange. Binds nothing.
    pub(crate) fn check_channels(&self, cell: usize) -> Result<(), Failure> {
        for end in self.ends_of(cell) {
            let address = end.address();
            let named = || self.slots.iter().position(|slot| slot.as_ref().is_some_and(|slot| slot.address == address));
            let Some(number) = end.needs.as_ref().map_or_else(named, |need| self.provider(need)) else { continue };
            let Some(slot) = self.slots[number].as_ref() else { continue };
            end.check_fits(slot)?;
            if end.writes() && self.writer(number).is_some() {
                return Err(end.is_taken(&slot.address.text()));
            }
        }
        Ok(())
    }

    fn ends_of(&self, cell: usize) -> &[End] {
        let container = self.cells.get(cell).and_then(Option::as_ref).and_then(|port| port.container.as_ref());
        container.map_or(&[], |container| &container.ends)
    }

    /// The channel of the node for an end that says which: the one that is there, or a new one.
    fn slot_for(&mut self, cell: usize, index: usize) -> Result<usize, Failure> {
        let end = &self.ends_of(cell)[index];
        let address = end.address();
        let found = self.slots.iter().position(|slot| slot.as_ref().is_some_and(|slot| slot.address == address));
        if let Some(found) = found {
            return Ok(found);
        }
        let slot = Slot { address, value_type: end.value_type.clone(), kind: end.channel.kind };
        let Some(free) = self.slots.iter().position(Option::is_none) else {
            let detail = format!("the node's {MAX_CHANNELS} channels are all taken; `emit channels` shows them");
            return Err(Failure::new(ErrorCode::Busy, detail));
        };
        self.slots[free] = Some(slot);
        Ok(free)
    }

    /// The channel that offers what is needed, the first by its address. One that nobody writes any more comes last.
    fn provider(&self, need: &Service) -> Option<usize> {
        let offers = |slot: &Option<Slot>| {
            slot.as_ref().filter(|slot| slot.address.offers(need)).map(|slot| slot.address.text())
        };
        let all = self.slots.iter().enumerate().filter_map(|(number, slot)| Some((number, offers(slot)?)));
        all.min_by_key(|(number, address)| (self.writer(*number).is_none(), address.clone())).map(|(number, _)| number)
    }

    /// The cell whose container writes that channel.
    fn writer(&self, slot: usize) -> Option<usize> {
        (0..self.cells.len()).find(|cell| self.ends_of(*cell).iter().any(|end| end.slot == Some(slot) && end.writes()))
    }

    fn bind<K: Kernel>(&mut self, kernel: &mut K, cell: usize, index: usize, number: usize) -> Result<(), Failure> {
        let end = &self.ends_of(cell)[index];
        let Some(slot) = self.slots[number].as_ref() else { return Err(Failure::internal("a channel is gone")) };
        let name = end.channel.name.clone();
        let address = slot.address.text();
        end.check_fits(slot)?;
        let (kind, depth) = match slot.kind {
            ChannelKind::Latest => (Kind::Latest, 1),
            ChannelKind::Queue { depth } => (Kind::Queue, u32::try_from(depth).unwrap_or(u32::MAX)),
        };
        let declaration = Declaration {
            slot: number as u64,
            kind,
            depth,
            value_bytes: u32::try_from(slot.value_type.size_bytes()).unwrap_or(u32::MAX),
            is_exact: slot.value_type.is_exact(),
            fingerprint: slot.value_type.fingerprint(),
        };
        let is_standby = self.replaces(cell);
        let binding = Binding {
            cell: cell as u64,
            binding: index as u64,
            slot: number as u64,
            direction: direction(end),
            is_standby,
        };
        self.ask_exchange(kernel, declaration.call()).map_err(|status| self.exchange_refused("declare", status))?;
        match self.ask_exchange(kernel, binding.call()) {
            Ok(()) => {}
            Err(Status::Busy) => {
                return Err(self.ends_of(cell)[index].is_taken(&address));
            }
            Err(status) => return Err(self.exchange_refused("bind", status)),
        }
        let now = kernel.now();
        if let Ok(container) = self.container(cell) {
            container.ends[index].slot = Some(number);
        }
        self.note(cell, now, "channel-bound", format!("{name} to {address}"));
        Ok(())
    }

    fn replaces(&self, cell: usize) -> bool {
        let port = self.cells[cell].as_ref();
        port.and_then(|port| port.container.as_ref()).is_some_and(|container| container.replaces.is_some())
    }

    /// Binds ends that need a service and have none, or one that nobody provides any more while another does.
    fn bind_waiting<K: Kernel>(&mut self, kernel: &mut K) {
        for cell in 0..self.cells.len() {
            for index in 0..self.ends_of(cell).len() {
                let end = &self.ends_of(cell)[index];
                let Some(slot) = end.needs.as_ref().and_then(|need| self.provider(need)) else { continue };
                let stands = end.slot;
                let is_orphan = stands.is_none_or(|stands| stands != slot && self.writer(stands).is_none());
                if !is_orphan || self.writer(slot).is_none() {
                    continue;
                }
                if stands.is_some() {
                    let call = exchange::call_with(exchange::Procedure::Unbind, cell as u64, index as u64);
                    // An end that is not bound there is what was wanted.
                    let _ = self.ask_exchange(kernel, call);
                    if let Ok(container) = self.container(cell) {
                        container.ends[index].slot = None;
                    }
                }
                // Refused where the types differ: that end waits on, and its report says so.
                if let Err(failure) = self.bind(kernel, cell, index, slot) {
                    self.counters.count(Counter::ChannelsMismatched);
                    let now = kernel.now();
                    self.note(cell, now, "channel-mismatch", failure.detail);
                }
            }
        }
    }

    /// A container came or went: who needs another provider is bound to it, and channels that nobody is bound to any more are
    /// forgotten with their values.
    pub(crate) fn tidy_channels<K: Kernel>(&mut self, kernel: &mut K) {
        self.bind_waiting(kernel);
        for number in 0..self.slots.len() {
            let is_used =
                (0..self.cells.len()).any(|cell| self.ends_of(cell).iter().any(|end| end.slot == Some(number)));
            if self.slots[number].is_none() || is_used {
                continue;
            }
            // Refused while an end is bound, which the next tidying finds free; unknown where it was never declared.
            match self.ask_exchange(kernel, exchange::call(exchange::Procedure::Forget, number as u64)) {
                Err(Status::Busy) => {}
                _ => self.slots[number] = None,
            }
        }
    }

    fn ask_exchange<K: Kernel>(&self, kernel: &mut K, call: Message) -> Result<(), Status> {
        match Status::of(&kernel.call(self.exchange, call)) {
            Status::Ok => Ok(()),
            status => Err(status),
        }
    }

    fn exchange_refused(&self, verb: &str, status: Status) -> Failure {
        Failure::internal(format!("the exchange refused to {verb}: {status}"))
    }

    /// The channels of the container in that cell, for its report.
    pub(crate) fn binding_reports(&self, cell: usize) -> Vec<BindingReport> {
        let report = |end: &End| {
            let bound_to = end.slot.and_then(|slot| self.slots[slot].as_ref()).map(|slot| slot.address.text());
            let wanted = || match &end.needs {
                Some(Service { service, attributes, .. }) => service_text(service, attributes),
                None => end.address().text(),
            };
            BindingReport {
                name: end.channel.name.clone(),
                direction: if end.writes() { "put" } else { "get" }.into(),
                type_text: end.value_type.text(),
                address: bound_to.unwrap_or_else(wanted),
                bound: end.slot.is_some_and(|slot| end.writes() || self.writer(slot).is_some()),
            }
        };
        self.ends_of(cell).iter().map(report).collect()
    }

    /// Every channel of the node, by address.
    pub(crate) fn channel_reports(&self) -> Vec<ChannelReport> {
        let mut reports: Vec<_> = (0..self.slots.len()).filter_map(|number| self.channel_report(number)).collect();
        reports.sort_by(|one, other| one.address.cmp(&other.address));
        reports
    }

    fn channel_report(&self, number: usize) -> Option<ChannelReport> {
        let slot = self.slots[number].as_ref()?;
        let shown = self.slot_status.get(number).and_then(|status| status.try_read()).unwrap_or_default();
        let name = |cell: usize| {
            let container = self.cells[cell].as_ref().and_then(|port| port.container.as_ref());
            container.map(|container| container.name().to_string()).unwrap_or_default()
        };
        let reads = |cell: &usize| self.ends_of(*cell).iter().any(|end| end.slot == Some(number) && !end.writes());
        let SlotStatus { depth, held, puts, takes, overwritten, full, last_put_ns, last_bytes, last, .. } = shown;
        let shown_bytes = usize::try_from(last_bytes).map_or(last.len(), |bytes| bytes.min(last.len()));
        Some(ChannelReport {
            address: slot.address.text(),
            type_text: slot.value_type.text(),
            kind: if slot.kind == ChannelKind::Latest { "latest" } else { "queue" }.into(),
            depth,
            held,
            puts,
            takes,
            overwritten,
            refused: full,
            last_put_ns,
            last_value: last[..shown_bytes].to_vec(),
            writer: self.writer(number).map(name).unwrap_or_default(),
            readers: (0..self.cells.len()).filter(reads).map(name).collect(),
        })
    }
}
