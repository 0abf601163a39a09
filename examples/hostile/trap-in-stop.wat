;; It traps in `on-stop`.
;;
;; Expect: failed, trap, when it is asked to stop; until then it runs.
(module
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (i32.const 0))
  (func (export "on-stop")
    (unreachable)))
