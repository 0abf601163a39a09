;; A WASI command that never ends and never calls the host.
;;
;; Expect: runs until stopped, in bounded time.
(module
  (memory (export "memory") 1 1)
  (func (export "_start")
    (loop $for-ever
      (br $for-ever))))
