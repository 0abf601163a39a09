;; It arms and arms again, for ever: each is a call into the timer's domain.
;;
;; Expect: runs until stopped, in bounded time; others' timers stay on time.
(module
  (import "atoll:node/timer@0.1.0" "arm" (func $arm (param $number i32) (param $first i64) (param $period i64) (result i32)))
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (loop $for-ever
      (drop (call $arm (i32.const 1) (i64.const -1) (i64.const 0)))
      (br $for-ever))
    (unreachable))
  (func (export "on-stop")))
