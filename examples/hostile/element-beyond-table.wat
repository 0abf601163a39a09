;; An element segment lies outside the table that it fills.
;;
;; Expect: failed while loading: a trap or an invalid module.
(module
  (table 1 1 funcref)
  (func $nothing)
  (elem (i32.const 1) $nothing)
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (i32.const 1))
  (func (export "on-stop")))
