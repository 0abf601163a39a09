//! Stopping and restarting the cells' domains, and their budgets and priorities, with seL4's calls.
//!
//! A cell's scheduling context never goes to anybody else: the drivers that it calls are active, so it never lends it, and a
//! suspended thread keeps it. What is left of a budget stays what it is, and a restart wins a cell no time.
//!
//! The capabilities that this takes lie in this domain's `<cspace>`, at the slots of [`runner_interfaces::scheduling`]: the
//! scheduling contexts of the pool and of the cells, and this domain's own thread, by whose priority the kernel bounds what it
//! may give.

use alloc::format;

use pd_shell::{
    Sel4Wiring,
    sel4::{self, UserContext},
    sel4_microkit::Child,
};
use runner_interfaces::MAX_CELLS;
use runner_interfaces::scheduling::{Share, Shares, WARDEN_THREAD_SLOT, cell_slot, class_slot};
use runner_warden::{Cells, NotScheduled};

/// Slots of the outer capability table are the highest six bits of a capability's address (Microkit's manual, `cspace`;
/// `microkit_cspace_root_slot_to_cptr` in libmicrokit).
const SLOT_BITS: u32 = 6;

/// The endpoint that this domain waits at, in every domain's inner table (`PD_INPUT_CAP_IDX` in Microkit's builder). It has no badge:
/// what comes by it comes from the kernel alone, since callers and faults have badges.
const INPUT: sel4::cap::Endpoint = sel4::Cap::from_bits(1);

/// Nothing, in the same table.
const NO_ENDPOINT: sel4::cap::Endpoint = sel4::Cap::from_bits(0);

const fn at_slot<T: sel4::CapType>(slot: u8) -> sel4::Cap<T> {
    sel4::Cap::from_bits((slot as sel4::CPtrBits) << (sel4::CPtrBits::BITS - SLOT_BITS))
}

/// Which child of this domain each cell is.
#[derive(Clone, Copy)]
pub(crate) struct CellDomains {
    children: [Option<Child>; MAX_CELLS],
    /// The scheduling context that each cell's thread is bound to.
    bound: [sel4::cap::SchedContext; MAX_CELLS],
}

impl CellDomains {
    /// The cells that `system.xml` has as this domain's children.
    pub(crate) fn new(wiring: &Sel4Wiring) -> Self {
        let mut children = [None; MAX_CELLS];
        for (cell, child) in children.iter_mut().enumerate() {
            let number = wiring.number(&format!("child_cell{cell}"));
            *child = number.and_then(|number| usize::try_from(number).ok()).map(Child::new);
        }
        Self { children, bound: core::array::from_fn(own_context) }
    }

    /// The cell that is `child`.
    pub(crate) fn cell_of(&self, child: Child) -> Option<usize> {
        self.children.iter().position(|known| *known == Some(child))
    }

    fn thread_of(&self, cell: usize) -> Option<sel4::cap::Tcb> {
        self.children.get(cell).copied().flatten().map(|child| child.tcb())
    }

    /// Takes the pool's scheduling contexts from the threads that they came with. On one core those never run: they are below
    /// everything, and this domain starts before them. On others they may have come to wait in their event loops.
    pub(crate) fn take_pool(&self, shares: &Shares) {
        for (class, _) in shares.classes.iter().enumerate().filter(|(_, share)| Share::is_present(share)) {
            if let Err(error) = class_context(class).unbind() {
                log::error!("class {class} cannot be taken into the pool: {error}");
            }
        }
    }

    /// Binds the thread of `cell` to `context` and to nothing else. `overrun` is where the kernel tells that its budget is used up.
    fn bind(
        &mut self,
        cell: usize,
        context: sel4::cap::SchedContext,
        overrun: sel4::cap::Endpoint,
    ) -> Result<(), NotScheduled> {
        let thread = self.thread_of(cell).ok_or(NotScheduled)?;
        let before = self.bound[cell];
        thread.tcb_set_timeout_endpoint(overrun).map_err(|error| refused(cell, error))?;
        if before.bits() == context.bits() {
            return Ok(());
        }
        before.unbind().map_err(|error| refused(cell, error))?;
        match attach(context, thread) {
            Ok(()) => {
                self.bound[cell] = context;
                Ok(())
            }
            Err(error) => {
                // Without a scheduling context it would never run again.
                if let Err(error) = attach(before, thread) {
                    log::error!("cell{cell} has lost its scheduling context: {error}");
                }
                Err(refused(cell, error))
            }
        }
    }
}

fn class_context(class: usize) -> sel4::cap::SchedContext {
    at_slot(class_slot(class))
}

fn own_context(cell: usize) -> sel4::cap::SchedContext {
    at_slot(cell_slot(cell))
}

fn refused(cell: usize, error: sel4::Error) -> NotScheduled {
    log::error!("cell{cell} cannot be scheduled so: {error}");
    NotScheduled
}

/// Binds a scheduling context to a thread, neither of which is bound.
///
/// The kernel refuses it for a thread that waits while the budget has not come back yet. Such a thread is stopped, bound and let go; its
/// wait begins again.
fn attach(context: sel4::cap::SchedContext, thread: sel4::cap::Tcb) -> Result<(), sel4::Error> {
    match invoke_bind(context, thread) {
        Err(sel4::Error::IllegalOperation) => {
            thread.tcb_suspend()?;
            invoke_bind(context, thread)?;
            thread.tcb_resume()
        }
        other => other,
    }
}

/// `seL4_SchedContext_Bind`, which rust-sel4 has as a plain call alone.
fn invoke_bind(context: sel4::cap::SchedContext, thread: sel4::cap::Tcb) -> Result<(), sel4::Error> {
    let error =
        sel4::with_ipc_buffer_mut(|buffer| buffer.inner_mut().seL4_SchedContext_Bind(context.bits(), thread.bits()));
    sel4::Error::from_sys(error).map_or(Ok(()), Err)
}

impl Cells for CellDomains {
    fn keeps_time(&self) -> bool {
        true
    }

    /// Suspends the thread. If it waits in a call, the call is cancelled: the driver's answer goes nowhere.
    fn stop(&mut self, cell: usize) {
        if let Some(Err(error)) = self.thread_of(cell).map(|thread| thread.tcb_suspend()) {
            log::error!("cell{cell} cannot be suspended: {error}");
        }
    }

    /// All registers zero but the program counter: nothing of what ran there is left, and `entry` needs none of them.
    fn restart(&mut self, cell: usize, entry: u64) {
        let mut registers = UserContext::default();
        *registers.pc_mut() = entry;
        if let Some(Err(error)) =
            self.thread_of(cell).map(|thread| thread.tcb_write_all_registers(true, &mut registers))
        {
            log::error!("cell{cell} cannot be restarted: {error}");
        }
    }

    fn bind_class(&mut self, cell: usize, class: usize) -> Result<(), NotScheduled> {
        self.bind(cell, class_context(class), INPUT)
    }

    fn bind_own(&mut self, cell: usize) -> Result<(), NotScheduled> {
        self.bind(cell, own_context(cell), NO_ENDPOINT)
    }

    fn set_priority(&mut self, cell: usize, priority: u8) -> Result<(), NotScheduled> {
        let thread = self.thread_of(cell).ok_or(NotScheduled)?;
        let authority: sel4::cap::Tcb = at_slot(WARDEN_THREAD_SLOT);
        thread.tcb_set_priority(authority, priority.into()).map_err(|error| refused(cell, error))
    }
}
