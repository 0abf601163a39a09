;; A WASI command that writes to its standard output for ever.
;;
;; Expect: runs until stopped: it waits (suspended) while nobody takes its output, and its cell does not.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1 1)
  (data (i32.const 0) "\08\00\00\00\06\00\00\00flood\0a")
  (func (export "_start")
    (loop $for-ever
      (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))
      (br $for-ever))))
