;; A reactor whose `on-loop` takes an argument.
;;
;; Expect: refused or failed: no known world.
(module
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (i32.const 0))
  (func (export "on-loop") (param i32) (result i32)
    (local.get 0))
  (func (export "on-stop")))
