;; It asks for 4 GiB of linear memory at once.
;;
;; Expect: refused or failed: too much memory.
(module
  (memory (export "memory") 65536)
  (func (export "on-start") (result i32)
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (i32.const 1))
  (func (export "on-stop")))
