;; It toggles the output LED at each release: a square wave of 25 Hz, on time whatever else the node does.
;;
;; The clock releases the loop hook, as `[schedule]` in app.toml says, so nothing here waits or has a timer. The node takes it in
;; where it can promise the deadline, beside all whom it has promised theirs, and says how punctual it was:
;;
;;   emit deploy metronome.wasm && sleep 5 && emit schedule && emit jitter metronome
(module
  (import "atoll:node/gpio@0.1.0" "open-output" (func $open (param i32 i32 i32)))
  (import "atoll:node/gpio@0.1.0" "[method]output.toggle" (func $toggle (param i32) (result i32)))
  (memory (export "memory") 1 1)
  (data (i32.const 0) "LED")
  ;; What opening answers: 0 and the handle behind it, or another number and the status.
  (func (export "on-start") (result i32)
    (call $open (i32.const 0) (i32.const 3) (i32.const 16))
    (if (result i32) (i32.load8_u (i32.const 16))
      (then (i32.load8_u (i32.const 20)))
      (else (i32.const 0))))
  ;; It ends where the line is taken away.
  (func (export "on-loop") (result i32)
    (i32.ne (call $toggle (i32.load (i32.const 20))) (i32.const 0)))
  (func (export "on-stop")))
