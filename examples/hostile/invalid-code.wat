;; It parses, but a function adds two numbers where there are none.
;;
;; Expect: refused or failed: invalid module.
(module
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (i32.add))
  (func (export "on-stop")))
