;; It grows its memory for ever and ignores that it may not.
;;
;; Expect: runs until stopped; memory stays within its limit, the cell's stack stays constant.
(module
  (memory (export "memory") 1)
  (func (export "on-start") (result i32)
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (loop $for-ever
      (drop (memory.grow (i32.const 1)))
      (br $for-ever))
    (unreachable))
  (func (export "on-stop")))
