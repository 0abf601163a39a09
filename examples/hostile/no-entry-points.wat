;; A valid module that exports the entry points of no world.
;;
;; Expect: refused or failed: no known world.
(module
  (memory (export "memory") 1 1)
  (func (export "main") (result i32)
    (i32.const 0)))
