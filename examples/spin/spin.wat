;; `spin`: never comes back from `on-loop` (world "reactor", WAT).
;;
;; It exists to show that a cell is bounded although its container is not: fuel slices let the cell look at its control word,
;; so `emit stop` and the watchdog end this module in bounded time while the other containers run on.
(module
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (loop $for-ever
      (br $for-ever))
    (unreachable))
  (func (export "on-stop")))
