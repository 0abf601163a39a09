;; It waits for events that no bit of the interface names.
;;
;; Expect: waits until stopped, then its stop hook runs; or comes back at once with 0.
(module
  (import "atoll:node/timer@0.1.0" "wait" (func $wait (param $mask i32) (result i32)))
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (drop (call $wait (i32.const 0x7fffff01)))
    (i32.const 0))
  (func (export "on-stop")))
