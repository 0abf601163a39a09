// NAME: logs a line ten times a second until it is stopped. The interface is wit/atoll.wit, lowered by hand.
// AssemblyScript's names have no hyphen: `emit build` exports `onStart` as `on-start`, and likewise the others.

@external("atoll:node/log@0.1.0", "log")
declare function log(level: u32, text: usize, length: u32): void;
@external("atoll:node/timer@0.1.0", "arm")
declare function arm(number: u32, first: u64, period: u64): u32;
@external("atoll:node/timer@0.1.0", "disarm")
declare function disarm(number: u32): u32;
@external("atoll:node/timer@0.1.0", "wait")
declare function wait(mask: u32): u32;

const INFO: u32 = 2;
const AGAIN: u32 = 0;
/** A tenth of a second. The grant for timers in app.toml must allow it. */
const PERIOD_NANOSECONDS: u64 = 100_000_000;
/** Any of 1 to 7. */
const TIMER: u32 = 1;

/** A node speaks UTF-8. Static data, so that nothing is allocated while it runs. */
const TICK = memory.data<u8>([0x74, 0x69, 0x63, 0x6b]);

/** Called once: open and arm everything here. Anything but ok (0) fails the container. */
export function onStart(): u32 {
  return arm(TIMER, PERIOD_NANOSECONDS, PERIOD_NANOSECONDS);
}

/** Called again and again: wait for one event, react. */
export function onLoop(): u32 {
  wait(1 << TIMER);
  log(INFO, TICK, 4);
  return AGAIN;
}

/** Called once when it is asked to stop: leave everything in a safe state. */
export function onStop(): void {
  disarm(TIMER);
}
