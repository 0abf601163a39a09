//! `debounce`: toggles a lamp at each press of a button, however the button bounces (world "reactor", Rust with the crate
//! `atoll`).
//!
//! It exists to show two events in one wait. A contact bounces for some milliseconds: each edge starts a timer anew, and only
//! when that expires, after a quiet time, the level counts. Edges are counted by the domain that owns the line, so none is
//! missed while this container does not run.
#![cfg_attr(target_arch = "wasm32", no_std)]

use core::{cell::Cell, time::Duration};

use atoll::{Edges, Error, Events, Input, Next, Output, Reactor, Timer, error, info, wait};

/// Longer than switches bounce, shorter than anybody presses. `app.toml` asks for such a timer.
const QUIET: Duration = Duration::from_millis(20);
/// Any of 1 to 7.
const TIMER: u32 = 1;

/// The container.
#[derive(Debug)]
pub struct Debounce {
    lamp: Output,
    button: Input,
    /// Armed while the contact is not quiet.
    quiet: Timer,
    is_pressed: Cell<bool>,
    presses: Cell<u32>,
}

impl Debounce {
    /// Waits for an edge or for the quiet time's end, and does what follows from it.
    fn turn(&self) -> Result<(), Error> {
        let events = wait(Events::EDGE | self.quiet.event());
        if self.button.take_edges() > 0 {
            return self.quiet.restart(QUIET);
        }
        if events.contains(self.quiet.event()) { self.settle() } else { Ok(()) }
    }

    /// The contact has been quiet: what it shows now is meant.
    fn settle(&self) -> Result<(), Error> {
        let now = self.button.is_active();
        if now && !self.is_pressed.replace(now) {
            self.presses.set(self.presses.get() + 1);
            info!("press {}", self.presses.get());
            return self.lamp.toggle();
        }
        self.is_pressed.set(now);
        Ok(())
    }
}

impl Reactor for Debounce {
    fn on_start() -> Result<Self, Error> {
        let (lamp, button) = (Output::open("LED")?, Input::open("BUTTON")?);
        button.watch(Edges::Both)?;
        let is_pressed = Cell::new(button.is_active());
        Ok(Self { lamp, button, quiet: Timer::unarmed(TIMER), is_pressed, presses: Cell::new(0) })
    }

    fn on_loop(&self) -> Next {
        match self.turn() {
            Ok(()) => Next::Again,
            Err(error) => {
                error!("no longer as granted: {error}");
                Next::Finish
            }
        }
    }

    fn on_stop(&self) {
        info!("{} presses", self.presses.get());
    }
}

atoll::reactor!(Debounce);

#[cfg(test)]
mod tests {
    use super::*;
    use atoll::double::{End, Node};

    fn node() -> Node {
        Node::of_app(include_str!("../app.toml")).expect("the sample's own")
    }

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// Drives the button at these times, high and low in turn.
    fn drive(node: &mut Node, milliseconds: &[u64]) {
        for (index, time) in milliseconds.iter().enumerate() {
            node.drive_in(at(*time), "BUTTON", index % 2 == 0);
        }
    }

    #[test]
    fn a_press_that_bounces_is_one() {
        let mut node = node();
        // Pressed at 100, steady from 108; released at 300, steady from 303.
        drive(&mut node, &[100, 101, 103, 106, 108, 300, 301, 303]);
        assert_eq!(node.run::<Debounce>(at(1000)), Ok(End::Stopped));
        assert_eq!(node.text(), "press 1\n1 presses\n");
        // On after the quiet time, and off when the container ended.
        assert_eq!(node.transitions("LED"), [(at(128), true), (at(1000), false)]);
    }

    #[test]
    fn a_spike_is_none() {
        let mut node = node();
        drive(&mut node, &[100, 101, 200, 219]);
        assert_eq!(node.run::<Debounce>(at(1000)), Ok(End::Stopped));
        assert_eq!(node.text(), "0 presses\n");
        assert_eq!(node.transitions("LED"), []);
    }

    #[test]
    fn a_second_press_switches_off() {
        let mut node = node();
        drive(&mut node, &[100, 200, 300, 400]);
        assert_eq!(node.run::<Debounce>(at(1000)), Ok(End::Stopped));
        assert_eq!(node.transitions("LED"), [(at(120), true), (at(320), false)]);
    }

    #[test]
    fn what_is_pressed_at_the_start_is_no_press() {
        let mut node = node();
        node.drive_in(at(0), "BUTTON", true);
        assert_eq!(node.run::<Debounce>(at(100)), Ok(End::Stopped));
        drive(&mut node, &[]);
        node.drive_in(at(50), "BUTTON", false);
        assert_eq!(node.run::<Debounce>(at(100)), Ok(End::Stopped));
        assert_eq!(node.text(), "0 presses\n0 presses\n");
    }

    #[test]
    fn a_lamp_that_is_taken_away_ends_it() {
        let mut node = node();
        drive(&mut node, &[100]);
        node.refuse_in(at(110), "gpio:LED", Error::NotGranted);
        assert_eq!(node.run::<Debounce>(at(1000)), Ok(End::Finished));
        assert_eq!(node.text(), "press 1\nno longer as granted: not-granted\n1 presses\n");
    }

    #[test]
    fn each_grant_is_needed() {
        for (grants, error) in [
            (&[][..], Error::NotFound),
            (&["gpio:LED:in", "gpio:BUTTON:edge"], Error::ModeNotGranted),
            (&["gpio:LED:out"], Error::NotFound),
            (&["gpio:LED:out", "gpio:BUTTON:in"], Error::ModeNotGranted),
        ] {
            let mut node = Node::new();
            for grant in grants {
                node.grant(grant);
            }
            assert_eq!(node.run::<Debounce>(at(10)), Err(error), "{grants:?}");
        }
    }
}
