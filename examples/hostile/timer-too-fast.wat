;; It arms a period of one nanosecond.
;;
;; Expect: failed: the start hook refused with `not-granted` (or `invalid`).
(module
  (import "atoll:node/timer@0.1.0" "arm" (func $arm (param $number i32) (param $first i64) (param $period i64) (result i32)))
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (call $arm (i32.const 1) (i64.const 1) (i64.const 1)))
  (func (export "on-loop") (result i32)
    (i32.const 1))
  (func (export "on-stop")))
