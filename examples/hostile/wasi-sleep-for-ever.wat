;; A WASI command that sleeps until the end of the monotonic clock.
;;
;; Expect: waits until stopped; no overflow wakes it at once (then it would end with 1).
(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1 1)
  ;; One subscription of 48 bytes: tag 0 (clock) at 8, clock 1 (monotonic) at 16, time at 24, precision at 32, flags at 40:
  ;; relative, 2^64 - 1 nanoseconds.
  (data (i32.const 16) "\01\00\00\00\00\00\00\00\ff\ff\ff\ff\ff\ff\ff\ff")
  (func (export "_start")
    (drop (call $poll_oneoff (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))
    (call $proc_exit (i32.const 1))))
