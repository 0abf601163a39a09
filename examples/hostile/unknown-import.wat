;; It imports a function that no world offers.
;;
;; Expect: refused or failed: unknown import, naming `atoll:node/teleport@0.1.0` and `beam`.
(module
  (import "atoll:node/teleport@0.1.0" "beam" (func $beam (param i32)))
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (i32.const 1))
  (func (export "on-stop")))
