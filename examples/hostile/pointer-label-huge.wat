;; The label of the output that it opens is as long as its memory.
;;
;; Expect: failed, trap, without a byte read or written outside the memory.
(module
  (import "atoll:node/gpio@0.1.0" "open-output"
    (func $open-output (param $label i32) (param $length i32) (param $opened i32)))
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (call $open-output (i32.const 0) (i32.const 0xffffffff) (i32.const 16))
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (i32.const 1))
  (func (export "on-stop"))
  (data (i32.const 0) "LED"))
