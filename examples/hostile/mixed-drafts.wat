;; It imports functions of two drafts of `wasi:gpio`, which call themselves by one version.
;;
;; Expect: failed, unknown import: no draft has both.
(module
  (import "wasi:gpio/digital@0.2.0" "get-digital-out" (func (param i32 i32 i32 i32 i32)))
  (import "wasi:gpio/digital@0.2.0" "[static]digital-out-pin.get" (func (param i32 i32 i32 i32 i32)))
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (i32.const 1))
  (func (export "on-stop")))
