;; The label of the input that it opens lies outside its memory.
;;
;; Expect: failed, trap, without a byte read or written outside the memory.
(module
  (import "atoll:node/gpio@0.1.0" "open-input"
    (func $open-input (param $label i32) (param $length i32) (param $opened i32)))
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (call $open-input (i32.const 65534) (i32.const 3) (i32.const 16))
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (i32.const 1))
  (func (export "on-stop"))
  (data (i32.const 0) "LED"))
