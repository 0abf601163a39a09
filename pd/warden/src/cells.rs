//! Stopping and restarting the cells' domains with seL4's thread calls.
//!
//! A cell keeps its scheduling context throughout: the drivers that it calls are active, so it never lends it to anybody,
//! and a suspended thread keeps its own. So nothing has to be bound again; what is left of the budget stays what it is, and a
//! restart wins a cell no time.

use alloc::format;

use pd_shell::{
    Sel4Wiring,
    sel4::{self, UserContext},
    sel4_microkit::Child,
};
use runner_interfaces::MAX_CELLS;
use runner_warden::Cells;

/// Which child of this domain each cell is.
#[derive(Clone, Copy)]
pub(crate) struct CellDomains {
    children: [Option<Child>; MAX_CELLS],
}

impl CellDomains {
    /// The cells that `system.xml` has as this domain's children.
    pub(crate) fn new(wiring: &Sel4Wiring) -> Self {
        let mut children = [None; MAX_CELLS];
        for (cell, child) in children.iter_mut().enumerate() {
            let number = wiring.number(&format!("child_cell{cell}"));
            *child = number.and_then(|number| usize::try_from(number).ok()).map(Child::new);
        }
        Self { children }
    }

    /// The cell that is `child`.
    pub(crate) fn cell_of(&self, child: Child) -> Option<usize> {
        self.children.iter().position(|known| *known == Some(child))
    }

    fn thread_of(&self, cell: usize) -> Option<sel4::cap::Tcb> {
        self.children.get(cell).copied().flatten().map(|child| child.tcb())
    }
}

impl Cells for CellDomains {
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
}
