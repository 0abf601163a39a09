;; It grows a table for ever and ignores that it may not.
;;
;; Expect: runs until stopped; the table stays within its limit, the cell's stack stays constant.
(module
  (table $table 1 funcref)
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (loop $for-ever
      (drop (table.grow $table (ref.null func) (i32.const 1)))
      (br $for-ever))
    (unreachable))
  (func (export "on-stop")))
