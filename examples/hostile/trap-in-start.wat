;; It traps in `on-start`.
;;
;; Expect: failed, trap.
(module
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (unreachable))
  (func (export "on-loop") (result i32)
    (i32.const 1))
  (func (export "on-stop")))
