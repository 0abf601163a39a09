;; A WASI command that calls a function of WASI preview 1 that this node links but does not serve.
;;
;; Expect: finalised with exit code 0, the call having answered an error number.
(module
  (import "wasi_snapshot_preview1" "sock_accept" (func $sock_accept (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1 1)
  (func (export "_start")
    (if (i32.eqz (call $sock_accept (i32.const 3) (i32.const 0) (i32.const 0)))
      (then unreachable))))
