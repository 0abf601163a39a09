;; It asks for no more memory, for ever: the shortest loop over an instruction that is not a tail call in every engine.
;;
;; Expect: runs until stopped; the cell's stack stays constant.
(module
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (loop $for-ever
      (drop (memory.grow (i32.const 0)))
      (br $for-ever))
    (unreachable))
  (func (export "on-stop")))
