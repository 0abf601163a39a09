/* NAME: logs a line ten times a second until it is stopped. atoll.h has all that a node offers. */
#include "atoll.h"

/* A tenth of a second. The grant for timers in app.toml must allow it. */
#define PERIOD_NANOSECONDS UINT64_C(100000000)
/* Any of 1 to 7. */
#define TIMER 1

static uint32_t ticks;

/* Called once: open and arm everything here. Anything but ok fails the container. */
enum atoll_status atoll_on_start(void)
{
    return atoll_timer_arm(TIMER, PERIOD_NANOSECONDS, PERIOD_NANOSECONDS);
}

/* Called again and again: wait for one event, react. */
enum atoll_next atoll_on_loop(void)
{
    atoll_timer_wait(UINT32_C(1) << TIMER);
    atoll_log(ATOLL_LOG_LEVEL_INFO, ticks++ % 2 == 0 ? "tick" : "tock", 4);
    return ATOLL_NEXT_AGAIN;
}

/* Called once when it is asked to stop: leave everything in a safe state. */
void atoll_on_stop(void)
{
    atoll_timer_disarm(TIMER);
}
