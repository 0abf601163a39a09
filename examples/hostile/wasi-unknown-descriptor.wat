;; A WASI command that writes to descriptors which nobody opened, closes them and seeks in them.
;;
;; Expect: exit code 0 when every call is answered with error number 8 (bad descriptor), 1 when one is answered otherwise.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_seek" (func $fd_seek (param i32 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_prestat_get" (func $fd_prestat_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1 1)
  (data (i32.const 0) "\08\00\00\00\01\00\00\00x")
  (func $want-bad-descriptor (param $errno i32)
    (if (i32.ne (local.get $errno) (i32.const 8))
      (then (call $proc_exit (i32.const 1)))))
  (func (export "_start")
    (call $want-bad-descriptor (call $fd_write (i32.const 99) (i32.const 0) (i32.const 1) (i32.const 32)))
    (call $want-bad-descriptor (call $fd_write (i32.const -1) (i32.const 0) (i32.const 1) (i32.const 32)))
    (call $want-bad-descriptor (call $fd_close (i32.const 99)))
    (call $want-bad-descriptor (call $fd_seek (i32.const 99) (i64.const 0) (i32.const 0) (i32.const 32)))
    (call $want-bad-descriptor (call $fd_prestat_get (i32.const 3) (i32.const 32)))))
