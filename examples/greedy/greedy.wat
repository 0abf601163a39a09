;; `greedy`: asks for a line that it was not granted (world "reactor", WAT, imports lowered by hand).
;;
;; It exists to show what refusal looks like: `open-output` answers `not-granted`, said by the domain that owns the line;
;; the container logs it and hands the same status back from `on-start`, so it fails with that reason. Deploy it without a
;; grant for the output `VALVE`. Should the line be opened after all, it is driven low and the container starts.
(module
  (import "atoll:node/log@0.1.0" "log" (func $log (param $level i32) (param $text i32) (param $length i32)))
  (import "atoll:node/gpio@0.1.0" "open-output"
    (func $open-output (param $label i32) (param $length i32) (param $opened i32)))
  (import "atoll:node/gpio@0.1.0" "[method]output.set" (func $set (param $output i32) (param $high i32) (result i32)))

  (memory (export "memory") 1 1)
  (data (i32.const 0) "VALVE")
  ;; Where result<output, status> comes back: a byte that is 1 for an error, and at offset 4 the handle or the status.
  (global $opened i32 (i32.const 16))
  ;; One record of 32 bytes a status, in the order of the WIT enumeration; `ok` (0) is what an opened line leaves.
  (data (i32.const 64)  "VALVE was opened: status ok     ")
  (data (i32.const 96)  "VALVE refused: not-found        ")
  (data (i32.const 128) "VALVE refused: not-granted      ")
  (data (i32.const 160) "VALVE refused: invalid          ")
  (data (i32.const 192) "VALVE refused: busy             ")
  (data (i32.const 224) "VALVE refused: unavailable      ")
  ;; Without the padding.
  (data (i32.const 256) "\1b\18\1a\16\13\1a")

  (func $report (param $level i32) (param $status i32)
    (call $log
      (local.get $level)
      (i32.add (i32.const 64) (i32.shl (local.get $status) (i32.const 5)))
      (i32.load8_u offset=256 (local.get $status))))

  (func (export "on-start") (result i32)
    (local $status i32)
    (call $open-output (i32.const 0) (i32.const 5) (global.get $opened))
    (if (i32.load8_u (global.get $opened))
      (then (local.set $status (i32.load8_u offset=4 (global.get $opened))))
      (else (local.set $status (call $set (i32.load offset=4 (global.get $opened)) (i32.const 0)))))
    ;; Level 1 (warn) for a refusal, 2 (info) otherwise.
    (call $report (i32.sub (i32.const 2) (i32.ne (local.get $status) (i32.const 0))) (local.get $status))
    (local.get $status))

  ;; Only reached with the grant: nothing to do, so `finish` (1).
  (func (export "on-loop") (result i32)
    (i32.const 1))

  (func (export "on-stop")))
