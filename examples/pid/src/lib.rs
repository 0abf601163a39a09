//! `pid`: a PID controller at 1 kHz (world "reactor", Rust with the crate `atoll`).
//!
//! It exists as the pattern for a control loop: one timer gives the rate, each loop takes a measurement, computes and acts, and
//! nothing in it waits, allocates or takes another time than the last. No demo board has a motor, so the plant is simulated in
//! the container, one step of the same length each loop: what is printed at the end (how far beyond its target the shaft went, and
//! how soon it stayed there) is a property of the controller and not of the machine.
#![cfg_attr(target_arch = "wasm32", no_std)]

use core::{cell::Cell, time::Duration};

use atoll::{Error, Next, Reactor, Timer, info};

/// 1 kHz; `app.toml` asks for such a timer.
const PERIOD: Duration = Duration::from_millis(1);
/// The same in seconds, for the arithmetic.
const STEP: f32 = 0.001;
/// Loops until the result is said: one second.
const STEPS: u32 = 1000;
/// Where the shaft should turn to.
const TARGET: f32 = 1.0;
/// It has settled when it stays this close to the target: 2 %, as is customary.
const BAND: f32 = 0.02;

/// A motor that is driven by a voltage and slowed by friction: its position `x` follows `x'' = (GAIN u - x') / LAG`.
#[derive(Clone, Copy, Debug, Default)]
struct Motor {
    position: f32,
    speed: f32,
}

impl Motor {
    /// Speed that it comes to for each volt.
    const GAIN: f32 = 2.0;
    /// Seconds until it is at 63 % of that.
    const LAG: f32 = 0.1;

    /// One step later, with that voltage (semi-implicit Euler).
    fn driven(self, voltage: f32) -> Self {
        let speed = self.speed + STEP * (Self::GAIN * voltage - self.speed) / Self::LAG;
        Self { position: self.position + STEP * speed, speed }
    }
}

/// The controller, as textbooks have it: the derivative is that of the measurement, so that a new target makes no jump, and the
/// integral stands still while the voltage is at its limit.
#[derive(Clone, Copy, Debug, Default)]
struct Pid {
    integral: f32,
    last: f32,
}

impl Pid {
    const PROPORTIONAL: f32 = 30.0;
    const INTEGRAL: f32 = 5.0;
    const DERIVATIVE: f32 = 1.6;
    /// Volts that the driver has, in either direction.
    const LIMIT: f32 = 12.0;

    /// The voltage for a measurement, and the controller for the next.
    fn controlled(self, measured: f32) -> (f32, Self) {
        let error = TARGET - measured;
        let integral = self.integral + STEP * Self::INTEGRAL * error;
        let wanted = Self::PROPORTIONAL * error + integral - Self::DERIVATIVE * (measured - self.last) / STEP;
        let voltage = wanted.clamp(-Self::LIMIT, Self::LIMIT);
        let integral = if voltage == wanted { integral } else { self.integral };
        (voltage, Self { integral, last: measured })
    }
}

/// What is said of a step response.
#[derive(Clone, Copy, Debug, Default)]
struct Response {
    highest: f32,
    /// Steps until it was outside the band for the last time.
    settled: u32,
    steps: u32,
}

impl Response {
    fn with(self, position: f32) -> Self {
        let steps = self.steps + 1;
        let is_inside = (position - TARGET).abs() <= BAND * TARGET;
        Self { highest: self.highest.max(position), settled: if is_inside { self.settled } else { steps }, steps }
    }

    /// Beyond the target, in tenths of a percent of it, to print it without what it takes to print floating-point numbers.
    fn overshoot_permille(self) -> u32 {
        // Not negative: a conversion to a number without a sign ends at 0.
        ((self.highest - TARGET) / TARGET * 1000.0) as u32
    }
}

/// The container.
#[derive(Debug)]
pub struct Controller {
    timer: Timer,
    motor: Cell<Motor>,
    pid: Cell<Pid>,
    response: Cell<Response>,
}

impl Reactor for Controller {
    fn on_start() -> Result<Self, Error> {
        Ok(Self {
            timer: Timer::every(1, PERIOD)?,
            motor: Cell::default(),
            pid: Cell::default(),
            response: Cell::default(),
        })
    }

    fn on_loop(&self) -> Next {
        self.timer.wait();
        let (voltage, pid) = self.pid.get().controlled(self.motor.get().position);
        let motor = self.motor.get().driven(voltage);
        let response = self.response.get().with(motor.position);
        self.pid.set(pid);
        self.motor.set(motor);
        self.response.set(response);
        if response.steps < STEPS { Next::Again } else { Next::Finish }
    }

    fn on_stop(&self) {
        let response = self.response.get();
        let permille = response.overshoot_permille();
        info!(
            "after {} steps: overshoot {}.{} %, settled after {} ms",
            response.steps,
            permille / 10,
            permille % 10,
            response.settled
        );
    }
}

atoll::reactor!(Controller);

#[cfg(test)]
mod tests {
    use super::*;
    use atoll::double::{End, Node};

    fn node() -> Node {
        Node::of_app(include_str!("../app.toml")).expect("the sample's own")
    }

    #[test]
    fn the_response_is_what_a_controller_is_for() {
        let mut node = node();
        assert_eq!(node.run::<Controller>(Duration::from_secs(2)), Ok(End::Finished));
        assert_eq!(node.now(), Duration::from_secs(1), "a thousand periods");
        // The same equations in Python, with twice the digits, say 1.12 % and 185 ms.
        assert_eq!(node.text(), "after 1000 steps: overshoot 1.1 %, settled after 185 ms\n");
    }

    #[test]
    fn without_its_rate_it_does_not_start() {
        let mut node = node();
        node.grant("timer:10ms");
        assert_eq!(node.run::<Controller>(Duration::from_secs(2)), Err(Error::NotGranted));
    }

    #[test]
    fn the_voltage_has_a_limit_and_the_integral_waits_for_it() {
        let (voltage, pid) = Pid::default().controlled(0.0);
        assert_eq!((voltage, pid.integral), (Pid::LIMIT, 0.0));
        let (voltage, pid) = Pid { integral: 0.0, last: 0.99 }.controlled(0.99);
        assert!(voltage > 0.0 && voltage < Pid::LIMIT && pid.integral > 0.0);
    }

    #[test]
    fn the_motor_comes_to_the_speed_of_its_voltage() {
        let motor = (0..1000).fold(Motor::default(), |motor, _| motor.driven(1.0));
        assert!((motor.speed - Motor::GAIN).abs() < 0.001, "{motor:?}");
        let after_a_lag = (0..100).fold(Motor::default(), |motor, _| motor.driven(1.0));
        assert!((after_a_lag.speed / Motor::GAIN - 0.632).abs() < 0.005, "{after_a_lag:?}");
    }
}
