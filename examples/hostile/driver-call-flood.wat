;; It opens a line that it may not have, for ever: each try is a call into the domain that owns the lines.
;;
;; Expect: runs until stopped, in bounded time; the driver's other callers keep their deadlines.
(module
  (import "atoll:node/gpio@0.1.0" "open-output"
    (func $open-output (param $label i32) (param $length i32) (param $opened i32)))
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (loop $for-ever
      (call $open-output (i32.const 0) (i32.const 5) (i32.const 16))
      (br $for-ever))
    (unreachable))
  (func (export "on-stop"))
  (data (i32.const 0) "VALVE"))
