/* NAME: logs a line ten times a second until it is stopped. The interface is wit/atoll.wit, lowered by hand. */
#include <stddef.h>
#include <stdint.h>

#define IMPORT(interface, function) \
    __attribute__((import_module("atoll:node/" interface "@0.1.0"), import_name(function)))
#define EXPORT(function) __attribute__((export_name(function)))

enum status { STATUS_OK };
enum level { LEVEL_ERROR, LEVEL_WARN, LEVEL_INFO };
enum next { NEXT_AGAIN, NEXT_FINISH };

IMPORT("log", "log") void node_log(uint32_t level, const char *text, size_t length);
IMPORT("timer", "arm") uint32_t timer_arm(uint32_t number, uint64_t first, uint64_t period);
IMPORT("timer", "disarm") uint32_t timer_disarm(uint32_t number);
IMPORT("timer", "wait") uint32_t timer_wait(uint32_t mask);

/* A tenth of a second. The grant for timers in app.toml must allow it. */
#define PERIOD_NANOSECONDS UINT64_C(100000000)
/* Any of 1 to 7. */
#define TIMER 1

static uint32_t ticks;

/* Called once: open and arm everything here. Anything but ok fails the container. */
EXPORT("on-start") uint32_t on_start(void)
{
    return timer_arm(TIMER, PERIOD_NANOSECONDS, PERIOD_NANOSECONDS);
}

/* Called again and again: wait for one event, react. */
EXPORT("on-loop") uint32_t on_loop(void)
{
    timer_wait(UINT32_C(1) << TIMER);
    node_log(LEVEL_INFO, ticks++ % 2 == 0 ? "tick" : "tock", 4);
    return NEXT_AGAIN;
}

/* Called once when it is asked to stop: leave everything in a safe state. */
EXPORT("on-stop") void on_stop(void)
{
    timer_disarm(TIMER);
}
