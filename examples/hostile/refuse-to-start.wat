;; `on-start` answers a status that does not exist.
;;
;; Expect: failed: the start hook refused, or a trap; nothing else changes.
(module
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (i32.const 99))
  (func (export "on-loop") (result i32)
    (i32.const 1))
  (func (export "on-stop")))
