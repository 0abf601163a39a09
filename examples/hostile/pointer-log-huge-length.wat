;; It logs a text of 2 GiB.
;;
;; Expect: failed, trap, without a byte read or written outside the memory.
(module
  (import "atoll:node/log@0.1.0" "log" (func $log (param $level i32) (param $text i32) (param $length i32)))
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (call $log (i32.const 2) (i32.const 0) (i32.const 0x7fffffff))
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (i32.const 1))
  (func (export "on-stop"))
  (data (i32.const 0) "LED"))
