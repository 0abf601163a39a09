;; It logs, works for two loops, and traps in the third: what its restart policy is for.
;;
;; `emit pack` puts app.toml beside it into the module; without, it fails once and stays so.
(module
  (import "atoll:node/log@0.1.0" "log" (func $log (param i32 i32 i32)))
  (import "atoll:node/timer@0.1.0" "sleep" (func $sleep (param i64) (result i32)))
  (memory (export "memory") 1 1)
  (global $loops (mut i32) (i32.const 0))
  (data (i32.const 0) "alive")
  (func (export "on-start") (result i32)
    (call $log (i32.const 2) (i32.const 0) (i32.const 5))
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (drop (call $sleep (i64.const 20000000)))
    (global.set $loops (i32.add (global.get $loops) (i32.const 1)))
    (if (i32.eq (global.get $loops) (i32.const 3)) (then unreachable))
    (i32.const 0))
  (func (export "on-stop")))
