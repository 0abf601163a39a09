/*
 * `button`: reacts to edges on an input (world "reactor", C without any library, imports lowered by hand).
 *
 * It exists to show what a reactor looks like underneath a binding generator: strings are pointer and length, enumerations
 * are numbers in the order of `runner/wit/atoll.wit`, and a `result` with a value comes back through a pointer. Deploy it
 * with a grant for the input `BUTTON`; every burst of rising edges becomes one record with the count so far.
 */
#include <stddef.h>
#include <stdint.h>

#define IMPORT(interface, function) \
    __attribute__((import_module("atoll:node/" interface "@0.1.0"), import_name(function)))
#define EXPORT(function) __attribute__((export_name(function)))

enum status { STATUS_OK };
enum level { LEVEL_ERROR, LEVEL_WARN, LEVEL_INFO };
enum edges { EDGES_RISING };
enum next { NEXT_AGAIN, NEXT_FINISH };

/* result<input, status> as it lies in memory: one byte that says which, then either at the alignment of the larger. */
struct opened {
    uint8_t failed;
    union {
        uint32_t input;
        uint8_t status;
    };
};

IMPORT("log", "log") void node_log(uint32_t level, const char *text, size_t length);
IMPORT("timer", "wait") uint32_t timer_wait(uint32_t mask);
IMPORT("gpio", "open-input") void gpio_open_input(const char *label, size_t length, struct opened *opened);
IMPORT("gpio", "[method]input.watch") uint32_t input_watch(uint32_t input, uint32_t edges);
IMPORT("gpio", "[method]input.take-edges") uint32_t input_take_edges(uint32_t input);
IMPORT("gpio", "[resource-drop]input") void input_drop(uint32_t input);

/* Bit 31 of `timer.wait`: an edge on an opened line. */
#define EDGE_EVENT (UINT32_C(1) << 31)
/* As many as UINT32_MAX has. */
#define COUNT_DIGITS 10

static const char label[] = "BUTTON";
static const char unit[] = " edges";
static uint32_t button;
static uint32_t edges;

static void report(void)
{
    char text[COUNT_DIGITS + sizeof unit - 1];
    char *first = text + COUNT_DIGITS;
    for (size_t index = 0; index < sizeof unit - 1; index++) {
        first[index] = unit[index];
    }
    uint32_t left = edges;
    do {
        *--first = (char)('0' + left % 10);
        left /= 10;
    } while (left != 0);
    node_log(LEVEL_INFO, first, (size_t)(text + sizeof text - first));
}

EXPORT("on-start") uint32_t on_start(void)
{
    struct opened opened;
    gpio_open_input(label, sizeof label - 1, &opened);
    if (opened.failed) {
        return opened.status;
    }
    button = opened.input;
    return input_watch(button, EDGES_RISING);
}

EXPORT("on-loop") uint32_t on_loop(void)
{
    timer_wait(EDGE_EVENT);
    uint32_t new_edges = input_take_edges(button);
    if (new_edges != 0) {
        edges += new_edges;
        report();
    }
    return NEXT_AGAIN;
}

EXPORT("on-stop") void on_stop(void)
{
    report();
    input_drop(button);
}
