;; A WASI command that prints a line and traps.
;;
;; Expect: the line is printed, then failed, trap; `emit run` does not end with 0.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1 1)
  (data (i32.const 0) "\08\00\00\00\07\00\00\00before\0a")
  (func (export "_start")
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))
    (unreachable)))
