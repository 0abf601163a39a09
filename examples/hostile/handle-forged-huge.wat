;; It drives a line through the largest handle number.
;;
;; Expect: failed, trap.
(module
  (import "atoll:node/gpio@0.1.0" "[method]output.set" (func $set (param i32 i32) (result i32)))
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (call $set (i32.const -1) (i32.const 1)))
  (func (export "on-loop") (result i32)
    (i32.const 1))
  (func (export "on-stop")))
