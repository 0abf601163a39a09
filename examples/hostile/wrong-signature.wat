;; It imports a known function with another type, so that a careless host reads arguments that are not there.
;;
;; Expect: refused or failed: unknown import (or its type), naming `[method]output.set`.
(module
  (import "atoll:node/gpio@0.1.0" "[method]output.set" (func $set (param i64 i64 i64) (result f64)))
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (i32.const 1))
  (func (export "on-stop")))
