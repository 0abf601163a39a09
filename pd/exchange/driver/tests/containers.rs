//! Containers in their cells over the exchange itself: only kernel, clock and the other domains are paper.
//!
//! Each cell's words and regions reach the exchange as they do on a node, so the two sides of the contract are held to each
//! other here, and values to outliving who put them.

use std::{cell::RefCell, rc::Rc};

use pd_exchange_driver::Exchange;
use runner_executor::{
    Options,
    fake::{FakeNode, detail},
};
use runner_interfaces::{
    cell::{CellConfiguration, CellStatus, ChannelName, Command, ContainerState},
    exchange::{Binding, Declaration, Direction, EXCHANGE_STATUS_REGION_BYTES, Kind, Procedure, Status, call_with},
    grants::{CellGrants, grant_offset_bytes},
    kernel::{Channel, Domain, Instant, Kernel, Message, Wiring},
};
use shared_ring::{HeapMemory, SequencedCell};

const CELLS: usize = 3;
const ADMISSION: u8 = 21;
const WARDEN: u8 = 20;

/// What the exchange is given: a channel a cell, of the cell's number, and the regions of the cells themselves.
struct ExchangeWiring {
    grants: HeapMemory,
    status: HeapMemory,
    cells: Vec<[HeapMemory; 2]>,
}

impl Wiring for ExchangeWiring {
    type Memory = HeapMemory;

    fn channel(&self, symbol: &str) -> Option<Channel> {
        match symbol {
            "channel_admission" => Channel::new(ADMISSION),
            "channel_warden" => Channel::new(WARDEN),
            _ => Channel::new(symbol.strip_prefix("channel_cell")?.parse().ok().filter(|cell| *cell < 3)?),
        }
    }

    fn region(&self, symbol: &str) -> Option<HeapMemory> {
        match symbol {
            "region_grants" => Some(self.grants.clone()),
            "region_status" => Some(self.status.clone()),
            _ => {
                let (cell, end) = symbol.strip_prefix("region_cell")?.split_once('_')?;
                self.cells.get(cell.parse::<usize>().ok()?)?.get(usize::from(end == "out")).cloned()
            }
        }
    }
}

#[derive(Default)]
struct Notified(Vec<u8>);

impl Kernel for Notified {
    fn notify(&mut self, channel: Channel) {
        self.0.push(channel.number());
    }
    fn call(&mut self, _: Channel, _: Message) -> Message {
        panic!("the exchange calls nobody")
    }
    fn now(&self) -> Instant {
        Instant::default()
    }
}

type Shared = Rc<RefCell<(Exchange<ExchangeWiring>, Notified)>>;

fn send(exchange: &Shared, channel: u8, message: Message) -> Message {
    let (exchange, kernel) = &mut *exchange.borrow_mut();
    exchange.called(kernel, Channel::new(channel).expect("a channel"), message)
}

/// Three cells and the exchange between them.
struct Bench {
    exchange: Shared,
    cells: Vec<FakeNode>,
}

impl Bench {
    fn new() -> Self {
        let cells: Vec<FakeNode> = (0..CELLS).map(|_| FakeNode::new(Options::default())).collect();
        let region = |cell: &FakeNode, symbol| cell.wiring.region(symbol).expect("a cell has it");
        let regions = |cell: &FakeNode| [region(cell, "region_to_exchange"), region(cell, "region_from_exchange")];
        let wiring = ExchangeWiring {
            grants: HeapMemory::new(runner_interfaces::MAX_CELLS * runner_interfaces::grants::GRANT_STRIDE_BYTES),
            status: HeapMemory::new(EXCHANGE_STATUS_REGION_BYTES),
            cells: cells.iter().map(regions).collect(),
        };
        for offset in (0..CELLS).filter_map(grant_offset_bytes) {
            let mut entry = SequencedCell::new(wiring.grants.clone(), offset).expect("fits");
            entry.write(&CellGrants { generation: 1, ..CellGrants::default() });
        }
        let exchange = Exchange::new(&wiring).expect("all is there");
        let exchange: Shared = Rc::new(RefCell::new((exchange, Notified::default())));
        for (cell, number) in cells.iter().zip(0..) {
            let exchange = exchange.clone();
            cell.state().exchange.other = Some(Box::new(move |message| send(&exchange, number, message)));
        }
        Self { exchange, cells }
    }

    fn ask(&self, channel: u8, message: Message) {
        assert_eq!(Status::of(&send(&self.exchange, channel, message)), Status::Ok, "{message:?}");
    }

    fn declare(&self, kind: Kind, depth: u32, value_bytes: u32) {
        let is_exact = value_bytes != 256;
        self.ask(ADMISSION, Declaration { slot: 9, kind, depth, value_bytes, is_exact, fingerprint: 1 }.call());
    }

    fn bind(&self, cell: u64, direction: Direction, is_standby: bool) {
        self.ask(ADMISSION, Binding { cell, binding: 0, slot: 9, direction, is_standby }.call());
    }

    /// Delivers notifications and lets each cell take its turn, until every one of `ending` has ended.
    fn run(&mut self, ending: &[usize]) {
        for _ in 0..1000 {
            for cell in &mut self.cells {
                cell.step();
            }
            let notified = std::mem::take(&mut self.exchange.borrow_mut().1.0);
            for number in notified {
                self.cells[usize::from(number)].notify("channel_exchange");
            }
            if ending.iter().all(|cell| self.cells[*cell].state_now().is_final()) {
                return;
            }
        }
        panic!("the containers do not come to their end");
    }

    fn load(&mut self, cell: usize, module: &str, direction: Direction, value_type: &str) {
        let channels = vec![ChannelName { name: "c".into(), direction, value_type: value_type.into() }];
        let configuration = CellConfiguration { name: "test".into(), channels, ..CellConfiguration::default() };
        self.cells[cell].load(&wat::parse_str(module).expect("valid text"), &configuration, Command::Run);
    }

    #[track_caller]
    fn assert_finalised(&self, cell: usize) -> CellStatus {
        let status = self.cells[cell].status();
        assert_eq!(status.state, ContainerState::Finalised.to_wire(), "cell {cell}: {}", detail(&status));
        status
    }
}

const IMPORTS: &str = r#"
    (import "atoll:node/channel@0.1.0" "open-writer" (func $open-writer (param i32 i32 i32)))
    (import "atoll:node/channel@0.1.0" "open-reader" (func $open-reader (param i32 i32 i32)))
    (import "atoll:node/channel@0.1.0" "[method]writer.put-u64" (func $put-u64 (param i32 i64) (result i32)))
    (import "atoll:node/channel@0.1.0" "[method]writer.put-bytes" (func $put-bytes (param i32 i32 i32) (result i32)))
    (import "atoll:node/channel@0.1.0" "[method]reader.next" (func $next (param i32) (result i32)))
    (import "atoll:node/channel@0.1.0" "[method]reader.value-u64" (func $u64 (param i32) (result i64)))
    (import "atoll:node/channel@0.1.0" "[method]reader.value-length" (func $length (param i32) (result i32)))
    (import "atoll:node/channel@0.1.0" "[method]reader.value-word" (func $word (param i32 i32) (result i64)))
    (import "atoll:node/timer@0.1.0" "wait" (func $wait (param i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "c")
    (global $n (mut i64) (i64.const 0))
    (func (export "on-stop"))
"#;

/// Puts `first` to `last`, one a loop, and waits whenever there is no room.
fn writer(first: u32, last: u32) -> String {
    format!(
        r#"(module {IMPORTS}
        (func (export "on-start") (result i32)
            (call $open-writer (i32.const 0) (i32.const 1) (i32.const 16))
            (global.set $n (i64.const {first}))
            (i32.load8_u (i32.const 16)))
        (func (export "on-loop") (result i32) (local $status i32)
            (local.set $status (call $put-u64 (i32.load (i32.const 20)) (global.get $n)))
            (if (i32.eq (local.get $status) (i32.const 9))
                (then (drop (call $wait (i32.const 0x40000000))) (return (i32.const 0))))
            (if (local.get $status) (then unreachable))
            (global.set $n (i64.add (global.get $n) (i64.const 1)))
            (i64.gt_u (global.get $n) (i64.const {last}))))"#
    )
}

/// Takes values and holds them to be `first` to `last`, each once and in order; waits whenever there is none.
fn reader(first: u32, last: u32) -> String {
    format!(
        r#"(module {IMPORTS}
        (func (export "on-start") (result i32)
            (call $open-reader (i32.const 0) (i32.const 1) (i32.const 16))
            (global.set $n (i64.const {first}))
            (i32.load8_u (i32.const 16)))
        (func (export "on-loop") (result i32) (local $status i32)
            (local.set $status (call $next (i32.load (i32.const 20))))
            (if (i32.eq (local.get $status) (i32.const 8))
                (then (drop (call $wait (i32.const 0x40000000))) (return (i32.const 0))))
            (if (local.get $status) (then unreachable))
            (if (i64.ne (call $u64 (i32.load (i32.const 20))) (global.get $n)) (then unreachable))
            (global.set $n (i64.add (global.get $n) (i64.const 1)))
            (i64.gt_u (global.get $n) (i64.const {last}))))"#
    )
}

#[test]
fn a_queue_hands_every_value_over_in_order_and_makes_the_writer_wait() {
    let mut bench = Bench::new();
    bench.declare(Kind::Queue, 3, 4);
    bench.bind(0, Direction::Put, false);
    bench.bind(1, Direction::Get, false);
    bench.load(0, &writer(1, 100), Direction::Put, "u32");
    bench.load(1, &reader(1, 100), Direction::Get, "u32");
    bench.run(&[0, 1]);
    let (written, read) = (bench.assert_finalised(0), bench.assert_finalised(1));
    assert_eq!((written.refused_calls, read.refused_calls), (0, 0));
}

#[test]
fn values_outlive_the_one_who_put_them_and_the_one_who_took_them() {
    let mut bench = Bench::new();
    bench.declare(Kind::Queue, 64, 4);
    bench.bind(0, Direction::Put, false);
    bench.bind(1, Direction::Get, false);
    bench.load(0, &writer(1, 50), Direction::Put, "u32");
    bench.run(&[0]);
    bench.assert_finalised(0);
    // Two readers, one after the other, in the same cell; the writer is long gone.
    for (first, last) in [(1, 20), (21, 50)] {
        bench.load(1, &reader(first, last), Direction::Get, "u32");
        bench.run(&[1]);
        bench.assert_finalised(1);
    }
}

#[test]
fn a_new_version_goes_on_where_the_old_one_was() {
    let mut bench = Bench::new();
    bench.declare(Kind::Queue, 64, 4);
    bench.bind(0, Direction::Put, false);
    bench.bind(1, Direction::Get, false);
    bench.bind(2, Direction::Get, true);
    bench.load(0, &writer(1, 50), Direction::Put, "u32");
    bench.load(1, &reader(1, 20), Direction::Get, "u32");
    bench.run(&[0, 1]);
    bench.ask(WARDEN, call_with(Procedure::TakeOver, 1, 2));
    bench.load(2, &reader(21, 50), Direction::Get, "u32");
    bench.run(&[2]);
    for cell in 0..CELLS {
        bench.assert_finalised(cell);
    }
}

#[test]
fn a_long_value_crosses_two_regions_whole() {
    let mut bench = Bench::new();
    bench.declare(Kind::Latest, 1, 256);
    bench.bind(0, Direction::Put, false);
    bench.bind(1, Direction::Get, false);
    let put = format!(
        r#"(module {IMPORTS} (data (i32.const 1000) "\01\02\03\04\05\06\07\08") (data (i32.const 1248) "\f1\f2\f3\f4\f5\f6\f7\f8")
        (func (export "on-start") (result i32)
            (call $open-writer (i32.const 0) (i32.const 1) (i32.const 16))
            (call $put-bytes (i32.load (i32.const 20)) (i32.const 1000) (i32.const 256)))
        (func (export "on-loop") (result i32) (i32.const 1)))"#
    );
    let get = format!(
        r#"(module {IMPORTS}
        (func (export "on-start") (result i32) (local $r i32)
            (call $open-reader (i32.const 0) (i32.const 1) (i32.const 16))
            (local.set $r (i32.load (i32.const 20)))
            (if (call $next (local.get $r)) (then unreachable))
            (if (i32.ne (call $length (local.get $r)) (i32.const 256)) (then unreachable))
            (if (i64.ne (call $word (local.get $r) (i32.const 0)) (i64.const 0x0807060504030201)) (then unreachable))
            (if (i64.ne (call $word (local.get $r) (i32.const 31)) (i64.const 0xf8f7f6f5f4f3f2f1)) (then unreachable))
            (i32.const 0))
        (func (export "on-loop") (result i32) (i32.const 1)))"#
    );
    bench.load(0, &put, Direction::Put, "list<u8>");
    bench.run(&[0]);
    bench.assert_finalised(0);
    bench.load(1, &get, Direction::Get, "list<u8>");
    bench.run(&[1]);
    bench.assert_finalised(1);
}
