;; It divides by zero.
;;
;; Expect: failed, trap.
(module
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (i32.div_u (i32.const 1) (i32.const 0)))
  (func (export "on-stop")))
