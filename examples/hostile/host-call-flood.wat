;; It calls the cheapest host function for ever.
;;
;; Expect: runs until stopped, in bounded time; the other containers keep their deadlines.
(module
  (import "atoll:node/clock@0.1.0" "now" (func $now (result i64)))
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (loop $for-ever
      (drop (call $now))
      (br $for-ever))
    (unreachable))
  (func (export "on-stop")))
