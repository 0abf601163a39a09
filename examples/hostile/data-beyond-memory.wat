;; A data segment lies outside the memory that it fills.
;;
;; Expect: failed while loading: a trap or an invalid module, never a write.
(module
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (i32.const 1))
  (func (export "on-stop"))
  (data (i32.const 65535) "two bytes, at least"))
