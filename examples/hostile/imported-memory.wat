;; It wants the host to give it a memory.
;;
;; Expect: refused or failed: unknown import, naming `env` and `memory`.
(module
  (import "env" "memory" (memory 1))
  (func (export "on-start") (result i32)
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (i32.const 1))
  (func (export "on-stop")))
