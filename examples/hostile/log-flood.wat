;; It logs for ever, 1,024 bytes a record.
;;
;; Expect: runs until stopped; what finds no room is counted and dropped, nobody waits for it.
(module
  (import "atoll:node/log@0.1.0" "log" (func $log (param $level i32) (param $text i32) (param $length i32)))
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (loop $for-ever
      (call $log (i32.const 2) (i32.const 0) (i32.const 1024))
      (br $for-ever))
    (unreachable))
  (func (export "on-stop"))
  (data (i32.const 0) "flood"))
