;; It reads past the end of its memory.
;;
;; Expect: failed, trap.
(module
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (i32.load (i32.const 65533)))
  (func (export "on-stop")))
