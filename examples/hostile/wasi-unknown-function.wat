;; A WASI command that imports a function which WASI preview 1 has and this node does not offer.
;;
;; Expect: refused or failed: unknown import, naming `sock_accept`.
(module
  (import "wasi_snapshot_preview1" "sock_accept" (func $sock_accept (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1 1)
  (func (export "_start")
    (drop (call $sock_accept (i32.const 3) (i32.const 0) (i32.const 0)))))
