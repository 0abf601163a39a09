;; It gives back a handle that it never got.
;;
;; Expect: failed, trap.
(module
  (import "atoll:node/gpio@0.1.0" "[resource-drop]output" (func $drop-output (param i32)))
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (call $drop-output (i32.const 7))
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (i32.const 1))
  (func (export "on-stop")))
