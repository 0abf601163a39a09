;; It logs one record as long as its memory.
;;
;; Expect: starts; the record is cut at 1,024 bytes and marked.
(module
  (import "atoll:node/log@0.1.0" "log" (func $log (param $level i32) (param $text i32) (param $length i32)))
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (memory.fill (i32.const 0) (i32.const 120) (i32.const 65536))
    (call $log (i32.const 2) (i32.const 0) (i32.const 65536))
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (i32.const 1))
  (func (export "on-stop")))
