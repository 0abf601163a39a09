;; It arms timers that do not exist: `on-start` answers 99 as soon as one is armed after all, else what the last try got.
;;
;; Expect: failed: the start hook refused with `not-found` or `invalid` (never 99).
(module
  (import "atoll:node/timer@0.1.0" "arm" (func $arm (param $number i32) (param $first i64) (param $period i64) (result i32)))
  (memory (export "memory") 1 1)
  (func $try (param $number i32) (result i32)
    (call $arm (local.get $number) (i64.const 1000000000) (i64.const 1000000000)))
  (func (export "on-start") (result i32)
    (if (i32.eqz (call $try (i32.const 0))) (then (return (i32.const 99))))
    (if (i32.eqz (call $try (i32.const 32))) (then (return (i32.const 99))))
    (if (i32.eqz (call $try (i32.const -1))) (then (return (i32.const 99))))
    (call $try (i32.const 8)))
  (func (export "on-loop") (result i32)
    (i32.const 1))
  (func (export "on-stop")))
