;; `on-stop` never comes back.
;;
;; Expect: failed within the stop limit.
(module
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (i32.const 0))
  (func (export "on-stop")
    (loop $for-ever
      (br $for-ever))))
