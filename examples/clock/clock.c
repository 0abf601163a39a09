/*
 * `clock`: a command that sleeps (C, WASI preview 1): it shows that waiting suspends the container and not its cell.
 *
 * It prints the monotonic time, sleeps for so many milliseconds (first argument, 100 without one), prints the time again
 * and ends with 1 should it have been woken early. wasi-libc turns `nanosleep` into `poll_oneoff` on the monotonic clock.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define NANOSECONDS_PER_SECOND 1000000000LL

static long long now(void)
{
    struct timespec time;
    if (clock_gettime(CLOCK_MONOTONIC, &time) != 0) {
        perror("clock: no monotonic clock");
        exit(2);
    }
    return time.tv_sec * NANOSECONDS_PER_SECOND + time.tv_nsec;
}

int main(int argument_count, char **arguments)
{
    long long milliseconds = 100;
    if (argument_count > 1) {
        char *end;
        milliseconds = strtoll(arguments[1], &end, 10);
        if (*end != '\0' || milliseconds < 0 || milliseconds > 3600 * 1000) {
            fprintf(stderr, "clock: the sleep is a number of milliseconds, at most an hour\n");
            return 2;
        }
    }
    struct timespec sleep = {
        .tv_sec = milliseconds / 1000,
        .tv_nsec = milliseconds % 1000 * 1000000,
    };
    long long before = now();
    printf("before: %lld ns\n", before);
    fflush(stdout);
    if (nanosleep(&sleep, NULL) != 0) {
        perror("clock: the sleep failed");
        return 2;
    }
    long long after = now();
    printf("after: %lld ns\n", after);
    printf("asleep for %lld ms\n", (after - before) / 1000000);
    return after - before < milliseconds * 1000000;
}
