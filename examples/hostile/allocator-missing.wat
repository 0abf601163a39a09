;; It asks for a string and exports no allocator.
;;
;; Expect: failed, trap.
(module
  (import "atoll:node/node@0.1.0" "container-name" (func $name (param i32)))
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (call $name (i32.const 16))
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (i32.const 1))
  (func (export "on-stop")))
