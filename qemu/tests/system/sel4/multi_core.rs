//! On QEMU's `virt` machine with several cores: Linux, `admission` and the drivers on the first, cells on the others.
//!
//! The machine is the deterministic one, in which QEMU runs one core after the other: what they do to each other is seen, and nothing is
//! measured. What `cargo xtask test` runs is one test with one boot; those in [`by_hand`] play what every board must do, a boot each.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pd_system_description::{CORES, Role};

use super::{TestBoard, boot_report, on, virt};
use crate::node::{Node, number};
use crate::scenarios;

/// The `virt` machine with an image of the configuration `smp-debug`.
const BOARD: TestBoard = TestBoard { image: "ATOLL_IMAGE_SMP", multi_core: true, ..virt::BOARD };

#[test]
#[ignore = "needs a boot image: run by `cargo xtask test`"]
fn the_system_runs_on_several_cores() {
    on!(BOARD, |node| {
        boot_report::every_domain_is_well(node, BOARD.board)?;
        cells_are_on_the_cores_of_their_roles(node)?;
        scenarios::every_verb_answers(node)?;
        scenarios::refused_capabilities(node)?;
        scenarios::a_loop_is_stopped_and_others_run_on(node)?;
        scenarios::values_go_from_container_to_container(node)?;
        virt::a_fault_ends_one_life(&BOARD, node)
    });
}

/// Stops the machine again and again and looks at which core runs what: each of three busy cells is met on the core of its role and on
/// no other, and no other program than the cells' on any core but the first.
fn cells_are_on_the_cores_of_their_roles(node: &mut Node) -> Result<()> {
    /// A cell's own share is 7 %: of so many looks, some find it at work.
    const MOST_LOOKS: usize = 1500;
    let program = virt::program_beside(&BOARD, "cell.elf")?;
    let mut cells = BTreeMap::new();
    for name in ["first", "second", "third"] {
        node.emit(&format!("deploy spin.wasm --name {name}"))?;
        cells.insert(Role::Cell(usize::try_from(number(&node.container(name)?, "cell")?)?), name);
    }
    let expected: BTreeSet<Role> = cells.keys().copied().collect();
    let cores: BTreeSet<u8> = expected.iter().map(|cell| cell.core()).collect();
    ensure!(cores.len() == 3, "they should be on three cores: {cells:?}");
    let mut met = BTreeSet::new();
    let mut debugger = node.machine.stop()?;
    for look in 0..MOST_LOOKS {
        debugger.run_for(Duration::from_micros(700 + 37 * (look as u64 % 40)))?;
        for core in 0..CORES {
            debugger.select_core(core)?;
            let registers = debugger.registers()?;
            if !registers.in_user_mode() {
                continue;
            }
            let domain = virt::domain_in_program(&mut debugger, &program, &registers)?;
            ensure!(domain.is_some() == (core != 0), "core {core} runs at {:#x}", registers.program_counter());
            if let Some(cell) = domain {
                ensure!(cell.core() == core, "{cell:?} runs on core {core}");
                met.insert(cell);
            }
        }
        if look > MOST_LOOKS / 5 && met.is_superset(&expected) {
            break;
        }
    }
    ensure!(met.is_superset(&expected), "on their cores were met {met:?}, not all of {expected:?}");
    drop(debugger);
    for name in cells.into_values() {
        node.emit(&format!("kill {name}")).and_then(|_| node.emit(&format!("rm {name}"))).context("it was running")?;
    }
    Ok(())
}

/// `ATOLL_IMAGE_SMP=… cargo test -p qemu --test system -- --ignored --test-threads=1 multi_core::by_hand`.
mod by_hand {
    use super::BOARD;
    use crate::sel4::{on, on_every_board, virt};

    on_every_board!(BOARD);

    #[test]
    #[ignore = "needs a boot image: run by hand"]
    fn an_edge_reaches_a_container() {
        on!(BOARD, virt::edges_arrive);
    }
}
