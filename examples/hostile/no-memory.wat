;; It calls a host function that takes a string, and has no memory that the string could lie in.
;;
;; Expect: refused or failed, at the latest with a trap at the call.
(module
  (import "atoll:node/log@0.1.0" "log" (func $log (param i32 i32 i32)))
  (func (export "on-start") (result i32)
    (call $log (i32.const 2) (i32.const 0) (i32.const 1))
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (i32.const 1))
  (func (export "on-stop")))
