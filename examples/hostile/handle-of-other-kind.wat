;; It reads an output's handle as if it were an input's. Needs a grant for the output `LED`.
;;
;; Expect: failed, trap.
(module
  (import "atoll:node/gpio@0.1.0" "open-output"
    (func $open-output (param $label i32) (param $length i32) (param $opened i32)))
  (import "atoll:node/gpio@0.1.0" "[method]input.get" (func $get-input (param i32) (result i32)))
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (call $open-output (i32.const 0) (i32.const 3) (i32.const 16))
    (if (i32.load8_u (i32.const 16))
      (then (return (i32.load8_u (i32.const 20)))))
    (call $get-input (i32.load (i32.const 20))))
  (func (export "on-loop") (result i32)
    (i32.const 1))
  (func (export "on-stop"))
  (data (i32.const 0) "LED"))
