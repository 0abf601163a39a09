//! The event loop of a parent: channels as everywhere, and the children's faults.

use core::convert::Infallible;

use pd_shell::{
    EventLoop,
    boot::SelfTest,
    sel4,
    sel4_microkit::{self, Channel, ChannelSet, Child, Handler, MessageInfo},
};
use runner_interfaces::boot_report::Finding;
use runner_warden::{Exhausted, Fault, Warden};
use shared_ring::MappedMemory;

use crate::cells::CellDomains;

/// The warden with its children's faults.
pub(crate) struct Parent {
    events: EventLoop<Warden<MappedMemory, CellDomains>>,
    cells: CellDomains,
}

impl Parent {
    pub(crate) fn start(warden: Warden<MappedMemory, CellDomains>, cells: CellDomains) -> Self {
        Self { events: EventLoop::start(warden), cells }
    }
}

/// Where the kernel keeps whom this domain may answer (`PD_REPLY_CAP_IDX` in Microkit's builder).
const REPLY: sel4::cap::Reply = sel4::Cap::from_bits(4);

impl Parent {
    /// A cell waits since its budget was used up. Answered, it goes on when the budget is back; one that was ended by that has begun
    /// anew already and waits for no answer.
    fn exhausted(&mut self) {
        // The first word of a timeout fault is the scheduling context's badge (libsel4, `seL4_Timeout_Data`). Calls of the
        // kernel overwrite it.
        let badge = sel4_microkit::with_msg_regs(|registers| registers[0]);
        let (warden, kernel) = self.events.parts();
        match warden.exhausted(kernel, badge) {
            Some(Exhausted { is_ended: true, .. }) => return,
            Some(Exhausted { is_ended: false, .. }) => {}
            None => log::warn!("the budget of {badge:#x} is used up, which nobody is under"),
        }
        REPLY.send(sel4::MessageInfo::new(0, 0, 0, 0));
    }
}

impl SelfTest for Parent {
    fn self_test(&mut self) -> Finding {
        self.events.self_test()
    }
}

impl Handler for Parent {
    type Error = Infallible;

    /// Nothing notified it, and yet something came: the kernel, by the endpoint without a badge, which only it has. A budget is used up.
    fn notified(&mut self, channels: ChannelSet) -> Result<(), Infallible> {
        if channels.iter().next().is_none() {
            self.exhausted();
            return Ok(());
        }
        self.events.notified(channels)
    }

    fn protected(&mut self, channel: Channel, information: MessageInfo) -> Result<MessageInfo, Infallible> {
        self.events.protected(channel, information)
    }

    /// Records the fault and starts the cell clean. There is no reply: a reply would let the faulting life go on.
    fn fault(&mut self, child: Child, information: MessageInfo) -> Result<Option<MessageInfo>, Infallible> {
        let fault = describe(&information);
        let Some(cell) = self.cells.cell_of(child) else {
            log::error!("a fault of child {}, which is no cell", child.index());
            return Ok(None);
        };
        log::warn!(
            "cell{cell} faulted: kind {}, instruction {:#x}, address {:#x}, syndrome {:#x}",
            fault.kind,
            fault.instruction,
            fault.address,
            fault.syndrome
        );
        let (warden, kernel) = self.events.parts();
        warden.faulted(kernel, cell, fault);
        Ok(None)
    }
}

/// The kernel's account of the fault, in the warden's words.
fn describe(information: &MessageInfo) -> Fault {
    let kind = information.label();
    match information.fault() {
        sel4::Fault::VmFault(fault) => {
            Fault { kind, instruction: fault.ip(), address: fault.addr(), syndrome: fault.fsr() }
        }
        sel4::Fault::UserException(fault) => {
            let words = fault.inner();
            Fault { kind, instruction: words.get_FaultIP(), address: 0, syndrome: words.get_Code() }
        }
        sel4::Fault::UnknownSyscall(fault) => Fault { kind, instruction: fault.fault_ip(), ..Fault::default() },
        _ => Fault { kind, ..Fault::default() },
    }
}
