;; It logs at a level that does not exist.
;;
;; Expect: failed, trap.
(module
  (import "atoll:node/log@0.1.0" "log" (func $log (param $level i32) (param $text i32) (param $length i32)))
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (call $log (i32.const 5) (i32.const 0) (i32.const 1))
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (i32.const 1))
  (func (export "on-stop")))
