;; It fills its memory over and over: few instructions, much work.
;;
;; Expect: runs until stopped, within the bound that `emit stop` promises: bulk operations cost fuel by the byte.
(module
  (memory (export "memory") 16 16)
  (func (export "on-start") (result i32)
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (loop $for-ever
      (memory.fill (i32.const 0) (i32.const 170) (i32.const 1048576))
      (br $for-ever))
    (unreachable))
  (func (export "on-stop")))
