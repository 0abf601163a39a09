;; It reads the thermometer at 0x48 of the I2C bus every 100 ms and logs what it shows: `21.5 C`. The bus is a simulated one so
;; far (docs/containers.md, "I2C"), so the temperature goes from 20 to 30 degrees and back.
;;
;;   emit deploy thermometer.wasm --grant i2c:0x48 && emit logs -f thermometer
(module
  (import "atoll:node/i2c@0.1.0" "open" (func $open (param i32 i32)))
  (import "atoll:node/i2c@0.1.0" "[method]device.read" (func $read (param i32 i32 i32) (result i32)))
  (import "atoll:node/i2c@0.1.0" "[method]device.value-u64" (func $value (param i32) (result i64)))
  (import "atoll:node/log@0.1.0" "log" (func $log (param i32 i32 i32)))
  (import "atoll:node/sleep@0.1.0" "sleep-for" (func $sleep (param i64) (result i32)))
  (memory (export "memory") 1 1)
  (data (i32.const 0) "00.0 C")
  (func $digit (param $place i32) (param $value i32)
    (i32.store8 (local.get $place) (i32.add (i32.const 48) (local.get $value))))
  ;; What opening answers: 0 and the handle behind it, or another number and the status.
  (func (export "on-start") (result i32)
    (call $open (i32.const 0x48) (i32.const 64))
    (if (result i32) (i32.load8_u (i32.const 64))
      (then (i32.load8_u (i32.const 68)))
      (else (i32.const 0))))
  ;; Register 0: sixteenths of a degree, at the upper end of 16 bits.
  (func (export "on-loop") (result i32)
    (local $sixteenths i32) (local $degrees i32)
    (if (call $read (i32.load (i32.const 68)) (i32.const 0) (i32.const 2)) (then (return (i32.const 1))))
    (local.set $sixteenths (i32.shr_u (i32.wrap_i64 (call $value (i32.load (i32.const 68)))) (i32.const 4)))
    (local.set $degrees (i32.shr_u (local.get $sixteenths) (i32.const 4)))
    (call $digit (i32.const 0) (i32.div_u (local.get $degrees) (i32.const 10)))
    (call $digit (i32.const 1) (i32.rem_u (local.get $degrees) (i32.const 10)))
    (call $digit (i32.const 3)
      (i32.shr_u (i32.mul (i32.and (local.get $sixteenths) (i32.const 15)) (i32.const 10)) (i32.const 4)))
    (call $log (i32.const 2) (i32.const 0) (i32.const 6))
    (drop (call $sleep (i64.const 100000000)))
    (i32.const 0))
  (func (export "on-stop")))
