;; It subscribes to the clock again and again and drops nothing.
;;
;; Expect: failed, trap.
(module
  (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $subscribe (param i64) (result i32)))
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (drop (call $subscribe (i64.const 1000000000)))
    (i32.const 0))
  (func (export "on-stop")))
