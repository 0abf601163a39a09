;; Its allocator asks for what needs the allocator.
;;
;; Expect: failed, trap.
(module
  (import "atoll:node/node@0.1.0" "board" (func $board (param i32)))
  (memory (export "memory") 1 1)
  (func $allocate (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (call $board (i32.const 16))
    (i32.const 1024))
  (func (export "on-start") (result i32)
    (call $board (i32.const 16))
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (i32.const 1))
  (func (export "on-stop")))
