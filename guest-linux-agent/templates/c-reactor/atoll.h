/*
 * What a node offers a reactor container, for C: every import of wit/atoll.wit as it is lowered.
 *
 * Made from that file; do not edit it. Strings are pointer and length, not ended by a zero byte. What a function answers
 * through a pointer comes behind its parameters; text and bytes that come so lie in memory that the container's own
 * `cabi_realloc` made, which must be exported where such a function is used. Handles are given back by the function that
 * ends in `_drop`.
 */
#ifndef ATOLL_H
#define ATOLL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ATOLL_IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define ATOLL_EXPORT(name) __attribute__((export_name(name)))

/* ---- log ---- */

enum atoll_log_level {
    ATOLL_LOG_LEVEL_ERROR,
    ATOLL_LOG_LEVEL_WARN,
    ATOLL_LOG_LEVEL_INFO,
    ATOLL_LOG_LEVEL_DEBUG,
    ATOLL_LOG_LEVEL_TRACE,
};

/* One record; longer than 1,024 bytes is cut and marked. Never waits: a record that finds no room is counted. */
ATOLL_IMPORT("atoll:node/log@0.1.0", "log")
void atoll_log(enum atoll_log_level level, const char *message, size_t message_length);

/* ---- clock ---- */

/* Nanoseconds since the node started; never goes back. */
ATOLL_IMPORT("atoll:node/clock@0.1.0", "now")
uint64_t atoll_clock_now(void);

/* ---- status ---- */
/* Why a call did not do what it was asked. Zero is success, so that hot calls return one scalar. */

enum atoll_status {
    /* Done. */
    ATOLL_STATUS_OK,
    /* The board has no line, timer or resource of that name or number. */
    ATOLL_STATUS_NOT_FOUND,
    /* The container was not granted the line or timer. The domain that owns the resource said so. */
    ATOLL_STATUS_NOT_GRANTED,
    /* The request makes no sense: an empty period, a set on an input. */
    ATOLL_STATUS_INVALID,
    /* Another container holds it. */
    ATOLL_STATUS_BUSY,
    /* The domain that owns the resource did not answer as its interface promises. */
    ATOLL_STATUS_UNAVAILABLE,
    /* The container was granted the line, but not for this: to drive what it may only read, to watch edges of it. */
    ATOLL_STATUS_MODE_NOT_GRANTED,
    /* The device cannot do this. */
    ATOLL_STATUS_NOT_SUPPORTED,
    /* There is no value that was not taken yet. */
    ATOLL_STATUS_EMPTY,
    /* There is no room now, and later there may be: the queue is full, or the line's rate is used up. */
    ATOLL_STATUS_FULL,
    /* The channel has no other end now: its container is being replaced, or was not there yet. */
    ATOLL_STATUS_UNBOUND,
};

/* ---- timer ---- */

/* Suspends the container for at least so many nanoseconds; the same as `sleep.sleep-for`. */
ATOLL_IMPORT("atoll:node/timer@0.1.0", "sleep")
enum atoll_status atoll_timer_sleep(uint64_t nanoseconds);

/* Arms timer `number` (1 to 7): first expiry so many nanoseconds from now, then every `period` (0: one-shot). A
   period below the granted one is `not-granted`. */
ATOLL_IMPORT("atoll:node/timer@0.1.0", "arm")
enum atoll_status atoll_timer_arm(uint32_t number, uint64_t first, uint64_t period);

ATOLL_IMPORT("atoll:node/timer@0.1.0", "disarm")
enum atoll_status atoll_timer_disarm(uint32_t number);

/* Suspends the container until at least one of the events named in `mask` happened, then takes those that did. Bits
   1 to 7: that timer expired. Bit 30: a value came for an opened reader, or room in the queue of an opened writer
   (see `channel`). Bit 31: an edge on an opened line (see `gpio.input.take-edges`). */
ATOLL_IMPORT("atoll:node/timer@0.1.0", "wait")
uint32_t atoll_timer_wait(uint32_t mask);

/* ---- sleep ---- */

/* Suspends the container for at least so many nanoseconds. */
ATOLL_IMPORT("atoll:node/sleep@0.1.0", "sleep-for")
enum atoll_status atoll_sleep_for(uint64_t nanoseconds);

/* Suspends the container until `clock.now` has reached `instant`; not at all where it has. A loop that adds its
   period to the last instant keeps its rate, however long it works. */
ATOLL_IMPORT("atoll:node/sleep@0.1.0", "sleep-until")
enum atoll_status atoll_sleep_until(uint64_t instant);

/* ---- gpio ---- */

/* Of the level: from low to high, or from high to low. */
enum atoll_gpio_edges {
    ATOLL_GPIO_EDGES_RISING,
    ATOLL_GPIO_EDGES_FALLING,
    ATOLL_GPIO_EDGES_BOTH,
};

/* Whether what hangs on the line is on. */
enum atoll_gpio_state {
    ATOLL_GPIO_STATE_ACTIVE,
    ATOLL_GPIO_STATE_INACTIVE,
};

/* The level at which it is on. */
enum atoll_gpio_active_level {
    ATOLL_GPIO_ACTIVE_LEVEL_ACTIVE_HIGH,
    ATOLL_GPIO_ACTIVE_LEVEL_ACTIVE_LOW,
};

/* What an input is drawn to while nobody drives it. */
enum atoll_gpio_pull {
    ATOLL_GPIO_PULL_FLOAT,
    ATOLL_GPIO_PULL_UP,
    ATOLL_GPIO_PULL_DOWN,
};

/* `full` where the level would change more often than was granted: nothing is driven. */
ATOLL_IMPORT("atoll:node/gpio@0.1.0", "[method]output.set")
enum atoll_status atoll_gpio_output_set(uint32_t handle, bool high);

ATOLL_IMPORT("atoll:node/gpio@0.1.0", "[method]output.toggle")
enum atoll_status atoll_gpio_output_toggle(uint32_t handle);

/* What was last driven. */
ATOLL_IMPORT("atoll:node/gpio@0.1.0", "[method]output.get")
bool atoll_gpio_output_get(uint32_t handle);

ATOLL_IMPORT("atoll:node/gpio@0.1.0", "[method]output.set-state")
enum atoll_status atoll_gpio_output_set_state(uint32_t handle, enum atoll_gpio_state state);

/* What was last driven. */
ATOLL_IMPORT("atoll:node/gpio@0.1.0", "[method]output.state")
enum atoll_gpio_state atoll_gpio_output_state(uint32_t handle);

ATOLL_IMPORT("atoll:node/gpio@0.1.0", "[method]output.active-level")
enum atoll_gpio_active_level atoll_gpio_output_active_level(uint32_t handle);

/* Takes another level for the active one until the line is dropped, and changes nothing that is driven. At first it
   is what the board says, and the level that the line rests at stays the board's. */
ATOLL_IMPORT("atoll:node/gpio@0.1.0", "[method]output.set-active-level")
void atoll_gpio_output_set_active_level(uint32_t handle, enum atoll_gpio_active_level active_level);

ATOLL_IMPORT("atoll:node/gpio@0.1.0", "[method]input.get")
bool atoll_gpio_input_get(uint32_t handle);

ATOLL_IMPORT("atoll:node/gpio@0.1.0", "[method]input.state")
enum atoll_gpio_state atoll_gpio_input_state(uint32_t handle);

ATOLL_IMPORT("atoll:node/gpio@0.1.0", "[method]input.active-level")
enum atoll_gpio_active_level atoll_gpio_input_active_level(uint32_t handle);

/* As for an output. */
ATOLL_IMPORT("atoll:node/gpio@0.1.0", "[method]input.set-active-level")
void atoll_gpio_input_set_active_level(uint32_t handle, enum atoll_gpio_active_level active_level);

/* Draws the line to a level until it is closed; `not-supported` on a board that cannot. */
ATOLL_IMPORT("atoll:node/gpio@0.1.0", "[method]input.set-pull")
enum atoll_status atoll_gpio_input_set_pull(uint32_t handle, enum atoll_gpio_pull pull);

/* Begins to count edges; each also wakes `timer.wait` through bit 31. */
ATOLL_IMPORT("atoll:node/gpio@0.1.0", "[method]input.watch")
enum atoll_status atoll_gpio_input_watch(uint32_t handle, enum atoll_gpio_edges edges);

/* Edges since the last call. Counted by the domain that owns the line, so none is lost between two calls. Those
   beyond the granted rate fall together into one, which wakes `timer.wait` when the rate allows it. */
ATOLL_IMPORT("atoll:node/gpio@0.1.0", "[method]input.take-edges")
uint32_t atoll_gpio_input_take_edges(uint32_t handle);

struct atoll_gpio_output_opened {
    /* Not zero: `status` says why, and there is no handle. */
    uint8_t failed;
    union {
        uint32_t output;
        uint8_t status;
    };
};
_Static_assert(sizeof(struct atoll_gpio_output_opened) == 8, "as the canonical ABI has it");

/* Opens a line by the label that the board gives it. */
ATOLL_IMPORT("atoll:node/gpio@0.1.0", "open-output")
void atoll_gpio_open_output(const char *label, size_t label_length, struct atoll_gpio_output_opened *answer);

struct atoll_gpio_input_opened {
    /* Not zero: `status` says why, and there is no handle. */
    uint8_t failed;
    union {
        uint32_t input;
        uint8_t status;
    };
};
_Static_assert(sizeof(struct atoll_gpio_input_opened) == 8, "as the canonical ABI has it");

ATOLL_IMPORT("atoll:node/gpio@0.1.0", "open-input")
void atoll_gpio_open_input(const char *label, size_t label_length, struct atoll_gpio_input_opened *answer);

ATOLL_IMPORT("atoll:node/gpio@0.1.0", "[resource-drop]output")
void atoll_gpio_output_drop(uint32_t output);

ATOLL_IMPORT("atoll:node/gpio@0.1.0", "[resource-drop]input")
void atoll_gpio_input_drop(uint32_t input);

/* ---- i2c ---- */
/* Devices at the I2C bus of the board. On every board so far that is a simulated bus; `emit info` says so. One call
   is one transaction. A device has no owner: what it keeps between two transactions, as the register that is chosen,
   is shared by all containers that were granted its address. At the most 16 bytes each way. */

/* Writes a register's number and one byte. */
ATOLL_IMPORT("atoll:node/i2c@0.1.0", "[method]device.write-u8")
enum atoll_status atoll_i2c_device_write_u8(uint32_t handle, uint8_t register_number, uint8_t value);

/* Writes a register's number and two bytes, the most significant first. */
ATOLL_IMPORT("atoll:node/i2c@0.1.0", "[method]device.write-u16-be")
enum atoll_status atoll_i2c_device_write_u16_be(uint32_t handle, uint8_t register_number, uint16_t value);

/* Writes the lowest `length` bytes of `value`, at the most 8, the most significant of them first. */
ATOLL_IMPORT("atoll:node/i2c@0.1.0", "[method]device.send")
enum atoll_status atoll_i2c_device_send(uint32_t handle, uint64_t value, uint32_t length);

/* Writes a register's number and then reads `length` bytes, at the most 16, in one transaction. They are the value. */
ATOLL_IMPORT("atoll:node/i2c@0.1.0", "[method]device.read")
enum atoll_status atoll_i2c_device_read(uint32_t handle, uint8_t register_number, uint32_t length);

/* Reads without writing anything first. What was read is the value. */
ATOLL_IMPORT("atoll:node/i2c@0.1.0", "[method]device.receive")
enum atoll_status atoll_i2c_device_receive(uint32_t handle, uint32_t length);

/* The value as a number, its first byte the most significant; 0 where it is longer than 8 bytes, or was not read. */
ATOLL_IMPORT("atoll:node/i2c@0.1.0", "[method]device.value-u64")
uint64_t atoll_i2c_device_value_u64(uint32_t handle);

/* Bytes `8 * index` to `8 * index + 7` of the value, little-endian; zeros behind its end. */
ATOLL_IMPORT("atoll:node/i2c@0.1.0", "[method]device.value-word")
uint64_t atoll_i2c_device_value_word(uint32_t handle, uint32_t index);

struct atoll_i2c_device_opened {
    /* Not zero: `status` says why, and there is no handle. */
    uint8_t failed;
    union {
        uint32_t device;
        uint8_t status;
    };
};
_Static_assert(sizeof(struct atoll_i2c_device_opened) == 8, "as the canonical ABI has it");

/* Opens the device of that address (7 bits). `not-granted` where the container was not granted it, `not-found` where
   no device answers. Of a device's calls, `not-supported` says that it did not acknowledge what was written. */
ATOLL_IMPORT("atoll:node/i2c@0.1.0", "open")
void atoll_i2c_open(uint8_t address, struct atoll_i2c_device_opened *answer);

ATOLL_IMPORT("atoll:node/i2c@0.1.0", "[resource-drop]device")
void atoll_i2c_device_drop(uint32_t device);

/* ---- node ---- */
/* Where the container runs, and as what. What the container was not granted to know (`node`) is empty. Each function
   answers in memory that the container's `cabi_realloc` makes. */

struct atoll_text {
    char *data;
    size_t length;
};
_Static_assert(sizeof(struct atoll_text) == 8, "as the canonical ABI has it");

/* The board, as its policy names it. */
ATOLL_IMPORT("atoll:node/node@0.1.0", "board")
void atoll_node_board(struct atoll_text *answer);

/* The version of the node's software. */
ATOLL_IMPORT("atoll:node/node@0.1.0", "version")
void atoll_node_version(struct atoll_text *answer);

/* What the node runs on, in words for a person. */
ATOLL_IMPORT("atoll:node/node@0.1.0", "substrate")
void atoll_node_substrate(struct atoll_text *answer);

/* What this container was deployed as. */
ATOLL_IMPORT("atoll:node/node@0.1.0", "container-name")
void atoll_node_container_name(struct atoll_text *answer);

/* Its version, as its manifest says; empty where it says none. */
ATOLL_IMPORT("atoll:node/node@0.1.0", "container-version")
void atoll_node_container_version(struct atoll_text *answer);

/* ---- channel ---- */
/* Typed channels to other containers, as `app.toml` names them (`[[channel]]`). Their values are held by the node:
   they outlive a restart, an update and a crash of either end. Each channel can be open once. */

/* For `bool` (0, 1), `char`, `u8` to `u64`. */
ATOLL_IMPORT("atoll:node/channel@0.1.0", "[method]writer.put-u64")
enum atoll_status atoll_channel_writer_put_u64(uint32_t handle, uint64_t value);

/* For `s8` to `s64`. */
ATOLL_IMPORT("atoll:node/channel@0.1.0", "[method]writer.put-s64")
enum atoll_status atoll_channel_writer_put_s64(uint32_t handle, int64_t value);

/* For `f32` (to the nearest) and `f64`. */
ATOLL_IMPORT("atoll:node/channel@0.1.0", "[method]writer.put-f64")
enum atoll_status atoll_channel_writer_put_f64(uint32_t handle, double value);

/* For `list<u8>`, `string` (UTF-8) and tuples, as the canonical ABI lays these in memory: 1 to 256 bytes. */
ATOLL_IMPORT("atoll:node/channel@0.1.0", "[method]writer.put-bytes")
enum atoll_status atoll_channel_writer_put_bytes(uint32_t handle, const uint8_t *value, size_t value_length);

/* Takes the next value: the oldest of a queue, or the latest where that was not taken yet. `empty` where there is
   none. Take until `empty` before waiting for bit 30 of `timer.wait`. */
ATOLL_IMPORT("atoll:node/channel@0.1.0", "[method]reader.next")
enum atoll_status atoll_channel_reader_next(uint32_t handle);

/* The same without taking it: the oldest of a queue, or the latest value however often it was taken. */
ATOLL_IMPORT("atoll:node/channel@0.1.0", "[method]reader.peek")
enum atoll_status atoll_channel_reader_peek(uint32_t handle);

/* The value of `bool`, `char`, `u8` to `u64`; of another type 0. */
ATOLL_IMPORT("atoll:node/channel@0.1.0", "[method]reader.value-u64")
uint64_t atoll_channel_reader_value_u64(uint32_t handle);

/* The value of `s8` to `s64`; of another type 0. */
ATOLL_IMPORT("atoll:node/channel@0.1.0", "[method]reader.value-s64")
int64_t atoll_channel_reader_value_s64(uint32_t handle);

/* The value of `f32`, `f64`; of another type 0. */
ATOLL_IMPORT("atoll:node/channel@0.1.0", "[method]reader.value-f64")
double atoll_channel_reader_value_f64(uint32_t handle);

/* Bytes of the value, whatever its type. */
ATOLL_IMPORT("atoll:node/channel@0.1.0", "[method]reader.value-length")
uint32_t atoll_channel_reader_value_length(uint32_t handle);

/* Bytes `8 * index` to `8 * index + 7` of the value, little-endian; zeros behind its end. */
ATOLL_IMPORT("atoll:node/channel@0.1.0", "[method]reader.value-word")
uint64_t atoll_channel_reader_value_word(uint32_t handle, uint32_t index);

/* Words `8 * index` to `8 * index + 7`: 64 bytes in one call, and no allocation. */
ATOLL_IMPORT("atoll:node/channel@0.1.0", "[method]reader.value-block")
void atoll_channel_reader_value_block(uint32_t handle, uint32_t index, uint64_t answer[8]);

struct atoll_bytes {
    uint8_t *data;
    size_t length;
};
_Static_assert(sizeof(struct atoll_bytes) == 8, "as the canonical ABI has it");

/* All of the value, in memory that the container's `cabi_realloc` makes. */
ATOLL_IMPORT("atoll:node/channel@0.1.0", "[method]reader.value-bytes")
void atoll_channel_reader_value_bytes(uint32_t handle, struct atoll_bytes *answer);

/* How many values were replaced unseen between this one and the one before. None of a queue. */
ATOLL_IMPORT("atoll:node/channel@0.1.0", "[method]reader.missed")
uint64_t atoll_channel_reader_missed(uint32_t handle);

struct atoll_channel_writer_opened {
    /* Not zero: `status` says why, and there is no handle. */
    uint8_t failed;
    union {
        uint32_t writer;
        uint8_t status;
    };
};
_Static_assert(sizeof(struct atoll_channel_writer_opened) == 8, "as the canonical ABI has it");

/* Opens a channel by the name that `app.toml` gives it. `not-found` where it names none, `invalid` where that goes
   the other way, `busy` where it is open. */
ATOLL_IMPORT("atoll:node/channel@0.1.0", "open-writer")
void atoll_channel_open_writer(const char *name, size_t name_length, struct atoll_channel_writer_opened *answer);

struct atoll_channel_reader_opened {
    /* Not zero: `status` says why, and there is no handle. */
    uint8_t failed;
    union {
        uint32_t reader;
        uint8_t status;
    };
};
_Static_assert(sizeof(struct atoll_channel_reader_opened) == 8, "as the canonical ABI has it");

ATOLL_IMPORT("atoll:node/channel@0.1.0", "open-reader")
void atoll_channel_open_reader(const char *name, size_t name_length, struct atoll_channel_reader_opened *answer);

ATOLL_IMPORT("atoll:node/channel@0.1.0", "[resource-drop]writer")
void atoll_channel_writer_drop(uint32_t writer);

ATOLL_IMPORT("atoll:node/channel@0.1.0", "[resource-drop]reader")
void atoll_channel_reader_drop(uint32_t reader);

/* ---- what the container has to define ---- */

enum atoll_next {
    ATOLL_NEXT_AGAIN,
    ATOLL_NEXT_FINISH,
};

/* Called once. Anything but `ok` fails the container. */
ATOLL_EXPORT("on-start") enum atoll_status atoll_on_start(void);

/* Called again and again until it answers `finish`. */
ATOLL_EXPORT("on-loop") enum atoll_next atoll_on_loop(void);

/* Called once when the container is asked to stop, also while `on-loop` waits (the wait is abandoned). */
ATOLL_EXPORT("on-stop") void atoll_on_stop(void);

#ifdef __cplusplus
}
#endif

#endif
