;; The start function traps, before any hook could run.
;;
;; Expect: failed, trap, nothing of it ever ran as a container.
(module
  (func $begin
    (unreachable))
  (start $begin)
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (i32.const 1))
  (func (export "on-stop")))
