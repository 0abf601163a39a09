;; It ends a hook with a tail call of a function that waits, and a function with one of another: the engine could not tell
;; where their answers belong.
;;
;; Expect: failed (invalid module), tail calls are not supported.
(module
  (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
  (memory (export "memory") 1)
  (func $yields (param i32 i64 i32) (result i32)
    (return_call $yield))
  (func (export "on-start") (result i32)
    (call $yields (i32.const 9) (i64.const 10) (i32.const 11)))
  (func (export "on-loop") (result i32)
    (return_call $yield))
  (func (export "on-stop")))
