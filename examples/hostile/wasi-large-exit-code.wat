;; A WASI command that ends with a code larger than a shell can say (300).
;;
;; Expect: ended; `emit run` ends with a code that is not 0.
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1 1)
  (func (export "_start")
    (call $proc_exit (i32.const 300))))
