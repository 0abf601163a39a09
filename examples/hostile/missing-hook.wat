;; A reactor without `on-loop`.
;;
;; Expect: refused or failed: no known world.
(module
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (i32.const 0))
  (func (export "on-stop")))
