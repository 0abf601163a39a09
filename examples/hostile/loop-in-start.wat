;; `on-start` never comes back.
;;
;; Expect: failed within the start limit.
(module
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (loop $for-ever
      (br $for-ever))
    (unreachable))
  (func (export "on-loop") (result i32)
    (i32.const 1))
  (func (export "on-stop")))
