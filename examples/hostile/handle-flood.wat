;; It opens the same line for ever and gives nothing back. Needs a grant for the output `LED`.
;;
;; Expect: runs until stopped, or failed; the cell's memory does not grow without bound (`busy` at the latest).
(module
  (import "atoll:node/gpio@0.1.0" "open-output"
    (func $open-output (param $label i32) (param $length i32) (param $opened i32)))
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (loop $for-ever
      (call $open-output (i32.const 0) (i32.const 3) (i32.const 16))
      (br $for-ever))
    (unreachable))
  (func (export "on-stop"))
  (data (i32.const 0) "LED"))
