;; The start function never comes back, so loading never ends by itself.
;;
;; Expect: failed while loading, within the load limit.
(module
  (func $begin
    (loop $for-ever
      (br $for-ever)))
  (start $begin)
  (memory (export "memory") 1 1)
  (func (export "on-start") (result i32)
    (i32.const 0))
  (func (export "on-loop") (result i32)
    (i32.const 1))
  (func (export "on-stop")))
