;; `on-loop` answers neither `again` nor `finish`.
;;
;; Expect: failed, or finished; never taken for `again`.
(module
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (i32.const -1))
  (func (export "on-stop")))
