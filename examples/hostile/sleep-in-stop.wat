;; Its stop hook sleeps for ever.
;;
;; Expect: failed within the stop limit.
(module
  (import "atoll:node/timer@0.1.0" "sleep" (func $sleep (param $nanoseconds i64) (result i32)))
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (i32.const 0))
  (func (export "on-stop")
    (drop (call $sleep (i64.const -1)))))
