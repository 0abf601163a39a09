;; `on-loop` calls itself through a table without end, with many locals in each frame.
;;
;; Expect: failed, trap (stack exhausted); the cell's own stack does not grow with it.
(module
  (type $hook (func (result i32)))
  (table 1 1 funcref)
  (elem (i32.const 0) $deeper)
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (i32.const 0))
  (func $deeper (export "on-loop") (result i32)
    (local i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64)
    (i32.add (call_indirect (type $hook) (i32.const 0)) (i32.const 1)))
  (func (export "on-stop")))
