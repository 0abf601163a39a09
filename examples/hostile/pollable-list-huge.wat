;; It polls a list of four thousand million.
;;
;; Expect: failed, trap.
(module
  (import "wasi:io/poll@0.2.0" "poll" (func $poll (param i32 i32 i32)))
  (memory (export "memory") 1 1)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (i32.const 1024))
  (func (export "on-start") (result i32)
    (call $poll (i32.const 0) (i32.const -1) (i32.const 16))
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (i32.const 1))
  (func (export "on-stop")))
