;; It imports a known function from a major version that nobody offers.
;;
;; Expect: refused or failed: unknown import, naming `atoll:node/clock@9.0.0`.
(module
  (import "atoll:node/clock@9.0.0" "now" (func $now (result i64)))
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (i32.const 1))
  (func (export "on-stop")))
