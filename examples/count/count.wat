;; It puts 1, 2, 3, … into its channel `out`, one every 20 ms: the writing end of the smallest pair, see examples/plot.
(module
  (import "atoll:node/channel@0.1.0" "open-writer" (func $open (param i32 i32 i32)))
  (import "atoll:node/channel@0.1.0" "[method]writer.put-u64" (func $put (param i32 i64) (result i32)))
  (import "atoll:node/timer@0.1.0" "sleep" (func $sleep (param i64) (result i32)))
  (memory (export "memory") 1 1)
  (global $count (mut i64) (i64.const 0))
  (data (i32.const 0) "out")
  ;; What opening answers: 0 and the handle behind it, or another number and the status.
  (func (export "on-start") (result i32)
    (call $open (i32.const 0) (i32.const 3) (i32.const 64))
    (i32.load8_u (i32.const 64)))
  (func (export "on-loop") (result i32)
    (global.set $count (i64.add (global.get $count) (i64.const 1)))
    (drop (call $put (i32.load (i32.const 68)) (global.get $count)))
    (drop (call $sleep (i64.const 20000000)))
    (i32.const 0))
  (func (export "on-stop")))
