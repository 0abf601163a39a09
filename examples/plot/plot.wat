;; It waits for values of its channel `in`, and logs as many x as each says, 60 at the most: the reading end of the smallest
;; pair, see examples/count.
(module
  (import "atoll:node/channel@0.1.0" "open-reader" (func $open (param i32 i32 i32)))
  (import "atoll:node/channel@0.1.0" "[method]reader.next" (func $next (param i32) (result i32)))
  (import "atoll:node/channel@0.1.0" "[method]reader.value-u64" (func $value (param i32) (result i64)))
  (import "atoll:node/timer@0.1.0" "wait" (func $wait (param i32) (result i32)))
  (import "atoll:node/log@0.1.0" "log" (func $log (param i32 i32 i32)))
  (memory (export "memory") 1 1)
  (data (i32.const 0) "in")
  (data (i32.const 128) "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")
  (func (export "on-start") (result i32)
    (call $open (i32.const 0) (i32.const 2) (i32.const 64))
    (i32.load8_u (i32.const 64)))
  (func (export "on-loop") (result i32)
    (local $length i32)
    (if (i32.eqz (call $next (i32.load (i32.const 68))))
      (then
        (local.set $length (i32.wrap_i64 (call $value (i32.load (i32.const 68)))))
        (if (i32.gt_u (local.get $length) (i32.const 60)) (then (local.set $length (i32.const 60))))
        (call $log (i32.const 2) (i32.const 128) (local.get $length)))
      ;; Bit 30: a value came.
      (else (drop (call $wait (i32.const 0x40000000)))))
    (i32.const 0))
  (func (export "on-stop")))
