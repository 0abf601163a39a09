;; `on-loop` calls itself without end.
;;
;; Expect: failed, trap (stack exhausted); the cell's own stack does not grow with it.
(module
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (i32.const 0))
  (func $deeper (export "on-loop") (result i32)
    (i32.add (call $deeper) (i32.const 1)))
  (func (export "on-stop")))
