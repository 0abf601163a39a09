//! What the simulated node does, where the samples do not show it.

use core::cell::Cell;

use super::*;
use crate::{
    Bytes, Edges, Events, Input, Output, Pull, Reader, Text, Timer, Writer, info, now, sleep, sleep_until, wait,
};

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Runs what a test wants done in `on_start`.
macro_rules! in_a_container {
    ($node:expr, $body:block) => {{
        struct Container;
        impl Reactor for Container {
            fn on_start() -> Result<Self, Error> {
                $body
                Ok(Self)
            }
            fn on_loop(&self) -> Next {
                Next::Finish
            }
        }
        assert_eq!($node.run::<Container>(ms(1000)), Ok(End::Finished));
    }};
}

#[test]
fn time_passes_in_waits_only() {
    let mut node = Node::new();
    in_a_container!(node, {
        assert_eq!(now(), Duration::ZERO);
        sleep(ms(30))?;
        sleep_until(ms(20))?;
        assert_eq!(now(), ms(30));
        let timer = Timer::every(1, ms(10))?;
        sleep(ms(35))?;
        timer.wait();
        assert_eq!(now(), ms(65), "three expiries count as one, and at once");
        timer.wait();
        assert_eq!(now(), ms(70), "and the rate is kept");
        let once = Timer::once(2, ms(15))?;
        assert_eq!(wait(timer.event() | once.event()), timer.event());
        assert_eq!(wait(timer.event() | once.event()), once.event());
        assert_eq!(now(), ms(85));
    });
}

#[test]
fn timers_are_granted_from_a_period_on_and_have_numbers() {
    let mut node = Node::new();
    in_a_container!(node, {
        assert_eq!(Timer::every(1, ms(9)).map(drop), Err(Error::NotGranted));
        assert_eq!(Timer::once(7, ms(9)).map(drop), Err(Error::NotGranted));
        assert_eq!(Timer::every(0, ms(10)).map(drop), Err(Error::NotFound));
        assert_eq!(Timer::every(8, ms(10)).map(drop), Err(Error::NotFound));
        Timer::every(7, ms(10)).map(drop)?;
    });
    assert_eq!(node.refused_calls(), 4);
}

#[test]
fn a_stop_abandons_a_wait_and_runs_the_hook() {
    struct Waiting(Cell<u32>);
    impl Reactor for Waiting {
        fn on_start() -> Result<Self, Error> {
            Ok(Self(Cell::new(0)))
        }
        fn on_loop(&self) -> Next {
            self.0.set(self.0.get() + 1);
            wait(Events::default());
            unreachable!("it waits for nothing")
        }
        fn on_stop(&self) {
            // A stop hook may wait too.
            sleep(ms(5)).expect("it may");
            info!("in loop {}", self.0.get());
        }
    }
    let mut node = Node::new();
    assert_eq!(node.run::<Waiting>(ms(100)), Ok(End::Stopped));
    assert_eq!(node.records(), [Record { at: ms(105), level: Level::Info, text: "in loop 1".to_owned() }]);
}

#[test]
fn a_container_that_never_waits_is_stopped_too() {
    struct Busy;
    impl Reactor for Busy {
        fn on_start() -> Result<Self, Error> {
            Ok(Self)
        }
        fn on_loop(&self) -> Next {
            Next::Again
        }
    }
    let mut node = Node::new();
    assert_eq!(node.run::<Busy>(ms(10)), Ok(End::Stopped));
    assert_eq!(node.now(), ms(10));
}

#[test]
fn an_output_has_a_level_and_a_state() {
    let mut node = Node::new();
    node.line("LAMP", true).grant("gpio:LAMP:out");
    in_a_container!(node, {
        let lamp = Output::open("LAMP")?;
        assert!(lamp.is_high() && !lamp.is_active(), "it rests high");
        lamp.set_active(true)?;
        assert!(!lamp.is_high() && lamp.is_active());
        lamp.set_active_level(crate::ActiveLevel::High);
        assert!(!lamp.is_high() && !lamp.is_active());
        assert_eq!(Output::open("LAMP").map(drop), Err(Error::Busy));
        assert_eq!(Input::open("LAMP").map(drop), Err(Error::Busy));
        drop(lamp);
        assert_eq!(Input::open("LAMP").map(drop), Err(Error::ModeNotGranted));
    });
    assert!(node.level("LAMP"), "given back, it rests at its board's level");
}

#[test]
fn an_input_counts_the_edges_that_are_watched() {
    let mut node = Node::new();
    node.grant("gpio:SENSOR:edge").grant("gpio:BUTTON:in");
    for (time, high) in [(10, true), (20, false), (30, true), (40, true)] {
        node.drive_in(ms(time), "SENSOR", high);
    }
    in_a_container!(node, {
        let sensor = Input::open("SENSOR")?;
        assert_eq!(sensor.take_edges(), 0, "nothing is watched");
        sensor.watch(Edges::Falling)?;
        sensor.set_pull(Pull::Up)?;
        assert_eq!((wait(Events::EDGE), now(), sensor.take_edges()), (Events::EDGE, ms(20), 1));
        sensor.watch(Edges::Both)?;
        sleep(ms(80))?;
        assert_eq!((sensor.take_edges(), sensor.take_edges(), sensor.is_high()), (1, 0, true));
        assert_eq!(Input::open("BUTTON")?.watch(Edges::Rising), Err(Error::ModeNotGranted));
        assert_eq!(Input::open("NONE").map(drop), Err(Error::NotFound));
    });
}

#[test]
fn values_lie_as_the_canonical_abi_has_them() {
    let mut node = Node::new();
    node.channel("pair", Direction::Put, "tuple<u8, s32>", 0).channel("text", Direction::Put, "string", 0);
    node.channel("narrow", Direction::Put, "s8", 0).channel("letter", Direction::Put, "char", 0);
    node.channel("four", Direction::Put, "tuple<bool, f64, u16, char>", 0);
    in_a_container!(node, {
        Writer::open("pair")?.put(&(7_u8, -2_i32))?;
        Writer::open("text")?.put(&Text::new("reef").expect("a text"))?;
        Writer::open("narrow")?.put(&-1_i8)?;
        Writer::open("letter")?.put(&'🐚')?;
        Writer::open("four")?.put(&(true, 1.5_f64, 0x0102_u16, 'a'))?;
        assert_eq!(Writer::<u8>::open("narrow")?.put(&1), Err(Error::Invalid), "another type");
        assert_eq!(Writer::<(u8, u8)>::open("pair")?.put(&(1, 1)), Err(Error::Invalid));
        assert_eq!(Reader::<i8>::open("narrow").map(drop), Err(Error::Invalid), "the other way");
        assert_eq!(Reader::<i8>::open("none").map(drop), Err(Error::NotFound));
        let _first = Writer::<i8>::open("narrow")?;
        assert_eq!(Writer::<i8>::open("narrow").map(drop), Err(Error::Busy));
    });
    assert_eq!(node.bytes("pair"), [[7, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff]]);
    assert_eq!(node.values::<(u8, i32)>("pair"), [(Duration::ZERO, (7, -2))]);
    assert_eq!(node.values::<Text>("text")[0].1.as_str(), "reef");
    assert_eq!((node.bytes("narrow"), node.values::<char>("letter")[0].1), (vec![vec![0xff]], '🐚'));
    assert_eq!(node.bytes("four")[0].len(), 24);
    assert_eq!(node.values::<(bool, f64, u16, char)>("four")[0].1, (true, 1.5, 0x0102, 'a'));
}

#[test]
fn a_queue_keeps_the_order_and_a_latest_value_counts_what_was_missed() {
    let mut node = Node::new();
    node.channel("queue", Direction::Get, "u16", 2).channel("latest", Direction::Get, "list<u8>", 0);
    for value in [1_u16, 2, 3] {
        node.put_in(ms(10), "queue", &value);
    }
    let long = Bytes::new(&(0..200).collect::<Vec<u8>>()).expect("a value");
    node.put_in(ms(10), "latest", &Bytes::new(b"old").expect("a value")).put_in(ms(10), "latest", &long);
    in_a_container!(node, {
        let (queue, latest) = (Reader::<u16>::open("queue")?, Reader::<Bytes>::open("latest")?);
        assert_eq!((queue.next(), latest.peek()), (Ok(None), Ok(None)));
        assert_eq!((wait(Events::VALUE), now()), (Events::VALUE, ms(10)));
        assert_eq!(
            (queue.peek(), queue.next(), queue.next(), queue.next()),
            (Ok(Some(1)), Ok(Some(1)), Ok(Some(2)), Ok(None))
        );
        let value = latest.next()?.expect("a value");
        assert_eq!((value.as_bytes().len(), value.as_bytes()[199], latest.missed()), (200, 199, 1));
        assert_eq!((latest.next(), latest.peek()), (Ok(None), Ok(Some(value))));
    });
}

#[test]
fn what_is_refused_is_refused_until_it_is_not() {
    let mut node = Node::new();
    node.grant("gpio:LED:out").refuse("gpio:LED", Error::Unavailable);
    struct Lamp;
    impl Reactor for Lamp {
        fn on_start() -> Result<Self, Error> {
            Output::open("LED").map(|_| Self)
        }
        fn on_loop(&self) -> Next {
            Next::Finish
        }
    }
    assert_eq!(node.run::<Lamp>(ms(10)), Err(Error::Unavailable));
    assert_eq!(node.relent("gpio:LED").run::<Lamp>(ms(10)), Ok(End::Finished));
    assert_eq!(node.refused_calls(), 1);
}

#[test]
fn a_record_is_cut_between_characters() {
    let mut node = Node::new();
    in_a_container!(node, {
        crate::log(Level::Warn, &"é".repeat(600));
        info!("{}", "é".repeat(600));
        crate::debug!("not shown in the text");
    });
    let records = node.records();
    assert_eq!((records[0].text.len(), records[0].text.ends_with("é…")), (1023, true));
    assert_eq!(records[1].text.len(), 256);
    assert_eq!(node.text().lines().count(), 2);
}

#[test]
fn a_panic_is_the_tests() {
    struct Broken;
    impl Reactor for Broken {
        fn on_start() -> Result<Self, Error> {
            Ok(Self)
        }
        fn on_loop(&self) -> Next {
            panic!("broken")
        }
    }
    let panicked = std::panic::catch_unwind(|| Node::new().run::<Broken>(ms(10)));
    assert_eq!(panicked.expect_err("it panics").downcast_ref(), Some(&"broken"));
    in_a_container!(Node::new(), {});
}

#[test]
fn mistakes_in_an_app_are_said() {
    for (app, words) in [
        ("name = ", "app.toml: "),
        ("[grants]\nlist = [\"gpio:LED\"]", "`gpio:LED` is no right"),
        ("[grants]\nlist = [\"timer:1\"]", "`timer:1` is no right"),
        ("[[channel]]\nname = \"a\"", "says its direction"),
        ("[[channel]]\nname = \"a\"\ndirection = \"up\"", "a: a channel puts or gets"),
        (
            "[[channel]]\nname = \"a\"\ndirection = \"put\"\nkind = \"queue\"\ntype = \"u8\"",
            "a: a queue says its depth",
        ),
        ("[[channel]]\nname = \"a\"\ndirection = \"put\"\nkind = \"latest\"\ntype = \"u9\"", "a: this is no type"),
    ] {
        let error = Node::of_app(app).expect_err(app).to_string();
        assert!(error.contains(words), "{error}");
    }
}
