//! Each domain finds what its code looks for.

use pd_system_description::{Peer, WiringError};

use crate::{fixture, project};

#[test]
fn a_cell_is_given_its_channels_and_regions() {
    let system = project("qemu_virt_aarch64");
    let cell = system.wiring("cell2").expect("there is a cell 2");
    let gpio = cell.channel("channel_gpio").expect("cells call gpio");
    assert_eq!(gpio.peer, Peer::Domain { name: "gpio".into(), number: 2 });
    assert!(gpio.may_call && !gpio.may_notify && gpio.may_be_notified && !gpio.may_be_called);
    let module = cell.region("region_module").expect("cells read their module");
    assert_eq!((module.region.as_str(), module.size_bytes), ("cell2_module", 0x40_0000));
    assert!(module.access.read && !module.access.write);
    assert_eq!(cell.channel("channel_cell0"), None);
}

#[test]
fn a_driver_tells_its_callers_apart_by_symbol() {
    let system = project("qemu_virt_aarch64");
    let gpio = system.wiring("gpio").expect("there is a gpio");
    for number in 0..4 {
        let caller = gpio.channel(&format!("channel_cell{number}")).expect("every cell has a channel");
        assert_eq!(caller.peer, Peer::Domain { name: format!("cell{number}"), number: 0 });
        assert!(caller.may_be_called);
    }
    let interrupt = gpio.channel("channel_interrupt").expect("the bank interrupts");
    assert_eq!(interrupt.peer, Peer::Interrupt { number: 39 });
}

#[test]
fn the_warden_knows_its_children_and_the_vmm_its_machine() {
    let system = project("qemu_virt_aarch64");
    let warden = system.wiring("warden").expect("there is a warden");
    let children: Vec<_> = warden.children.iter().map(|child| (child.name.as_str(), child.id)).collect();
    let cells = ["cell0", "cell1", "cell2", "cell3", "cell4", "cell5", "cell6", "cell7"];
    assert_eq!(children, cells.into_iter().zip(0..).collect::<Vec<_>>());
    assert_eq!(system.children("vmm").map(|machine| machine.name.as_str()).collect::<Vec<_>>(), ["linux"]);
}

#[test]
fn what_is_not_there_is_named() {
    let error = fixture("sound").wiring("cell9").expect_err("there is none");
    assert_eq!(error, WiringError::NoSuchDomain { name: "cell9".into() });
    let error = fixture("regions-exist").wiring("warden").expect_err("the region is missing");
    assert!(matches!(error, WiringError::NoSuchRegion { region, line } if region == "cell0_state" && line > 1));
}
