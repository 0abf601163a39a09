/*
 * `probe`: measures what host calls cost from the inside (world "reactor", C without any library).
 *
 * It exists for `cargo xtask bench`: the same module runs on both substrates, so their figures can be put side by side. It
 * times bursts of three kinds with `clock.now`: an empty loop, `clock.now` itself (served in the cell), and `output.set`
 * (a protected call to the `gpio` domain). Bursts are short and sleeps lie between them, so that each fits the cell's budget
 * whole; the smallest of many is the one that nothing interrupted. Deploy it with a grant for the output `LED`.
 */
#include <stddef.h>
#include <stdint.h>

#define IMPORT(interface, function) \
    __attribute__((import_module("atoll:node/" interface "@0.1.0"), import_name(function)))
#define EXPORT(function) __attribute__((export_name(function)))

enum level { LEVEL_ERROR, LEVEL_WARN, LEVEL_INFO };
enum next { NEXT_AGAIN, NEXT_FINISH };

/* result<output, status> as it lies in memory. */
struct opened {
    uint8_t failed;
    union {
        uint32_t output;
        uint8_t status;
    };
};

IMPORT("log", "log") void node_log(uint32_t level, const char *text, size_t length);
IMPORT("clock", "now") uint64_t clock_now(void);
IMPORT("timer", "sleep") uint32_t timer_sleep(uint64_t nanoseconds);
IMPORT("gpio", "open-output") void gpio_open_output(const char *label, size_t length, struct opened *opened);
IMPORT("gpio", "[method]output.set") uint32_t output_set(uint32_t output, uint32_t high);

/* Calls in one burst: few enough that the burst fits the budgets of the cell and of the domain that is called. `gpio` has 200
   microseconds in 2 ms; with 16 calls it ran out under emulation, and two waits of 2 ms were counted as the calls' cost. */
#define CALLS 4
/* Bursts of each kind: with the sleeps some two seconds in all. */
#define BURSTS 64
/* Longer than a cell's period of 10 ms, so that each burst begins with a whole budget. */
#define PAUSE_NANOSECONDS 25000000
/* As many as UINT64_MAX has. */
#define DIGITS 20

static const char label[] = "LED";
static uint32_t line;
static uint32_t bursts;
static uint64_t least_loop = UINT64_MAX;
static uint64_t least_now = UINT64_MAX;
static uint64_t least_set = UINT64_MAX;
static volatile uint32_t sink;

static uint64_t lesser(uint64_t one, uint64_t other)
{
    return one < other ? one : other;
}

static char *append(char *end, const char *text)
{
    while (*text != 0) {
        *end++ = *text++;
    }
    return end;
}

static char *append_number(char *end, uint64_t number)
{
    char digits[DIGITS];
    char *first = digits + DIGITS;
    do {
        *--first = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    while (first < digits + DIGITS) {
        *end++ = *first++;
    }
    return end;
}

/* Nanoseconds for CALLS rounds of each kind, as `name=value`, for a script to divide and subtract. */
static void report(void)
{
    char text[128];
    char *end = append(text, "calls=");
    end = append_number(end, CALLS);
    end = append(end, " loop_ns=");
    end = append_number(end, least_loop);
    end = append(end, " cell_call_ns=");
    end = append_number(end, least_now);
    end = append(end, " domain_call_ns=");
    end = append_number(end, least_set);
    node_log(LEVEL_INFO, text, (size_t)(end - text));
}

EXPORT("on-start") uint32_t on_start(void)
{
    struct opened opened;
    gpio_open_output(label, sizeof label - 1, &opened);
    if (opened.failed) {
        return opened.status;
    }
    line = opened.output;
    return 0;
}

EXPORT("on-loop") uint32_t on_loop(void)
{
    timer_sleep(PAUSE_NANOSECONDS);
    uint64_t start = clock_now();
    for (uint32_t call = 0; call < CALLS; call++) {
        sink = call;
    }
    least_loop = lesser(least_loop, clock_now() - start);

    start = clock_now();
    for (uint32_t call = 0; call < CALLS; call++) {
        sink = (uint32_t)clock_now();
    }
    least_now = lesser(least_now, clock_now() - start);

    start = clock_now();
    for (uint32_t call = 0; call < CALLS; call++) {
        sink = output_set(line, call & 1);
    }
    least_set = lesser(least_set, clock_now() - start);
    return ++bursts < BURSTS ? NEXT_AGAIN : NEXT_FINISH;
}

EXPORT("on-stop") void on_stop(void)
{
    report();
}
