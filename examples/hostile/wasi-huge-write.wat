;; A WASI command that writes its whole memory, 1 MiB, in one call.
;;
;; Expect: all of it, or as much as the call said, arrives; nothing is cut silently. Exit code 0, 1 after an error number.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 17 17)
  (func (export "_start")
    (local $left i32)
    (memory.fill (i32.const 65536) (i32.const 120) (i32.const 1048576))
    (local.set $left (i32.const 1048576))
    (loop $more
      (i32.store (i32.const 0) (i32.const 65536))
      (i32.store (i32.const 4) (local.get $left))
      (if (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32))
        (then (call $proc_exit (i32.const 1))))
      (local.set $left (i32.sub (local.get $left) (i32.load (i32.const 32))))
      (br_if $more (local.get $left)))))
