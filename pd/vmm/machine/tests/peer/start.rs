//! Bringing the device up and down.

use pd_vmm_machine::{PortError, PortEvent};
use virtio_drivers::device::console::VirtIOConsole;
use virtio_drivers::transport::{DeviceStatus, DeviceType, Transport};

use crate::driver::{Driver, Message, event};
use crate::guest_memory::GuestHal;
use crate::platform::{MmioTransport, Platform};

#[test]
fn the_device_is_a_console_with_five_port_ids() {
    let platform = Platform::new();
    let mut transport = MmioTransport::new(&platform);
    assert_eq!(transport.device_type(), DeviceType::Console);
    assert_eq!(transport.read_config_space::<u32>(4).unwrap(), 5);
    assert_eq!(transport.read_config_space::<u16>(0).unwrap(), 0);
    assert_eq!(transport.max_queue_size(11), 64);
    assert_eq!(transport.max_queue_size(12), 0);
}

#[test]
fn linux_finds_four_named_ports_and_no_console_port() {
    let platform = Platform::new();
    let mut driver = Driver::start(&platform);
    assert_eq!(driver.messages(), []);
    driver.tell(0xffff_ffff, event::DEVICE_READY, 1);
    let added = driver.messages();
    let expected: Vec<Message> =
        (1..=4).map(|id| Message { id, event: event::PORT_ADD, value: 1, name: Vec::new() }).collect();
    assert_eq!(added, expected);
    for id in 1..=4_u32 {
        driver.tell(id, event::PORT_READY, 1);
        let name = format!("emit.{}", id - 1).into_bytes();
        assert_eq!(
            driver.messages(),
            [
                Message { id, event: event::PORT_NAME, value: 1, name },
                Message { id, event: event::PORT_OPEN, value: 1, name: Vec::new() },
            ]
        );
    }
    assert!(platform.borrow_mut().take_interrupt(), "the messages were announced");
    assert_eq!(platform.borrow().machine.counters().transport.misbehaviour, 0);
}

#[test]
fn the_interrupt_stays_until_it_is_acknowledged() {
    let platform = Platform::new();
    let mut driver = Driver::start_with_ports(&platform);
    assert!(platform.borrow_mut().take_interrupt());
    assert!(platform.borrow_mut().take_interrupt(), "the line is still high, so it comes again");
    assert!(!driver.transport().ack_interrupt().is_empty());
    assert!(platform.borrow_mut().take_interrupt(), "it was loaded before the line fell");
    assert!(!platform.borrow_mut().take_interrupt());
}

#[test]
fn a_driver_that_resets_finds_the_device_as_new() {
    let platform = Platform::new();
    let mut driver = Driver::start_with_ports(&platform);
    driver.open(2);
    assert_eq!(platform.borrow_mut().event(8).unwrap().0, PortEvent::Opened { port: 2 });
    driver.write(2, &[b"never read"]);
    let mut driver = Driver::start_with_ports(&platform);
    assert_eq!(platform.borrow_mut().event(8).unwrap().0, PortEvent::Closed { port: 2 });
    assert_eq!(platform.borrow_mut().event(8), None);
    driver.open(2);
    assert_eq!(platform.borrow_mut().event(8).unwrap().0, PortEvent::Opened { port: 2 });
    driver.write(2, &[b"read"]);
    assert_eq!(platform.borrow_mut().event(8).unwrap(), (PortEvent::Data { port: 2, length: 4 }, b"read".to_vec()));
}

#[test]
fn a_reset_of_the_machine_closes_every_session() {
    let platform = Platform::new();
    let mut driver = Driver::start_with_ports(&platform);
    for session in [0, 3] {
        driver.open(session);
    }
    let mut platform = platform.borrow_mut();
    assert!(platform.event(1).is_some());
    assert!(platform.event(1).is_some());
    let Platform { machine, host } = &mut *platform;
    machine.reset(host);
    let mut closed = Vec::new();
    while let Some((event, _)) = platform.event(1) {
        closed.push(event);
    }
    closed.sort_by_key(|event| format!("{event:?}"));
    assert_eq!(closed, [PortEvent::Closed { port: 0 }, PortEvent::Closed { port: 3 }]);
    assert_eq!(platform.send(0, b"x"), Err(PortError::Closed));
}

#[test]
fn a_driver_without_several_ports_is_turned_away() {
    let platform = Platform::new();
    let transport = MmioTransport::new(&platform);
    let mut console = VirtIOConsole::<GuestHal, _>::new(transport.clone()).unwrap();
    assert!(!transport.get_status().contains(DeviceStatus::FEATURES_OK));
    assert!(!transport.get_status().contains(DeviceStatus::DRIVER_OK));
    console.emergency_write(b'!').unwrap();
    assert_eq!(platform.borrow().host.printed, b"!");
}
