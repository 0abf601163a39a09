;; It logs bytes that are no UTF-8, and control characters that would rewrite a terminal.
;;
;; Expect: a trap, or a record in which neither arrives as it was sent.
(module
  (import "atoll:node/log@0.1.0" "log" (func $log (param $level i32) (param $text i32) (param $length i32)))
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (call $log (i32.const 2) (i32.const 0) (i32.const 16))
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (i32.const 1))
  (func (export "on-stop"))
  (data (i32.const 0) "\ff\fe\c0\80 \1b[2J\0d\0a\00end"))
