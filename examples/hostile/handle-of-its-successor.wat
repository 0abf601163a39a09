;; It gives a line back, opens it again, and drives it through the first handle. Needs a grant for the output `LED`.
;;
;; Expect: failed, trap.
(module
  (import "atoll:node/gpio@0.1.0" "open-output"
    (func $open-output (param $label i32) (param $length i32) (param $opened i32)))
  (import "atoll:node/gpio@0.1.0" "[method]output.set" (func $set (param i32 i32) (result i32)))
  (import "atoll:node/gpio@0.1.0" "[resource-drop]output" (func $drop-output (param i32)))
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (local $first i32)
    (call $open-output (i32.const 0) (i32.const 3) (i32.const 16))
    (if (i32.load8_u (i32.const 16))
      (then (return (i32.load8_u (i32.const 20)))))
    (local.set $first (i32.load (i32.const 20)))
    (call $drop-output (local.get $first))
    (call $open-output (i32.const 0) (i32.const 3) (i32.const 16))
    (call $set (local.get $first) (i32.const 1)))
  (func (export "on-loop") (result i32)
    (i32.const 1))
  (func (export "on-stop"))
  (data (i32.const 0) "LED"))
