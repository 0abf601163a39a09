;; It asks for a table of four thousand million entries at once.
;;
;; Expect: refused or failed: too large a table.
(module
  (table 4294967295 funcref)
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (i32.const 1))
  (func (export "on-stop")))
