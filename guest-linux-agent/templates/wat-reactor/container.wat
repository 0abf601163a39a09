;; NAME: logs a line ten times a second until it is stopped. The interface is wit/atoll.wit, lowered by hand.
(module
  (import "atoll:node/log@0.1.0" "log" (func $log (param $level i32) (param $text i32) (param $length i32)))
  (import "atoll:node/timer@0.1.0" "arm"
    (func $arm (param $number i32) (param $first i64) (param $period i64) (result i32)))
  (import "atoll:node/timer@0.1.0" "disarm" (func $disarm (param $number i32) (result i32)))
  (import "atoll:node/timer@0.1.0" "wait" (func $wait (param $mask i32) (result i32)))

  (memory (export "memory") 1 1)
  (data (i32.const 0) "tick")

  ;; Called once: open and arm everything here. Anything but ok (0) fails the container. The grant for timers in app.toml must
  ;; allow the period of a tenth of a second.
  (func (export "on-start") (result i32)
    (call $arm (i32.const 1) (i64.const 100000000) (i64.const 100000000)))

  ;; Called again and again: wait for one event (bit 1: timer 1), react; 0 means again.
  (func (export "on-loop") (result i32)
    (drop (call $wait (i32.const 2)))
    (call $log (i32.const 2) (i32.const 0) (i32.const 4))
    (i32.const 0))

  ;; Called once when it is asked to stop: leave everything in a safe state.
  (func (export "on-stop")
    (drop (call $disarm (i32.const 1)))))
