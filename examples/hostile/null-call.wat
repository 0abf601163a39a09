;; It calls through an empty table entry.
;;
;; Expect: failed, trap.
(module
  (type $hook (func (result i32)))
  (table 1 1 funcref)
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (call_indirect (type $hook) (i32.const 0)))
  (func (export "on-stop")))
