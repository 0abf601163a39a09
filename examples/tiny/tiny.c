/*
 * `tiny`: toggles a lamp ten times (world "TinyContainer", C without any library).
 *
 * It exists to show that a container written for TinyContainer (`sys/tinycontainer` in TinyPART's RIOT) runs as it is: the
 * five functions of `env` are declared as that project's containers declare them, and the hooks are its hooks. That world has
 * no clock and no sleep, so the lamp flickers as fast as the cell gets processor time. What its endpoint is, app.toml says.
 */
#include <stddef.h>
#include <stdint.h>

#define IMPORT(function) __attribute__((import_module("env"), import_name(function)))
#define EXPORT(function) __attribute__((export_name(function)))

IMPORT("logger") void logger(const char *text);
IMPORT("open") int32_t open_endpoint(int32_t endpoint);
IMPORT("write") int32_t write_endpoint(int32_t descriptor, const uint8_t *bytes, uint32_t size);
IMPORT("close") int32_t close_endpoint(int32_t descriptor);

/* An endpoint: the lamp. */
#define LAMP 0
#define TOGGLES 10
/* What `loop` answers. */
#define AGAIN 0
#define FINISH 1

static int32_t lamp;
static uint32_t toggles;

EXPORT("start") void on_start(void)
{
    lamp = open_endpoint(LAMP);
    logger(lamp < 0 ? "tiny: no lamp" : "tiny: started");
}

EXPORT("loop") int32_t on_loop(void)
{
    if (lamp < 0 || toggles == TOGGLES) {
        return FINISH;
    }
    uint8_t level = ++toggles % 2;
    return write_endpoint(lamp, &level, sizeof level) == sizeof level ? AGAIN : FINISH;
}

EXPORT("stop") void on_stop(void)
{
    if (lamp >= 0) {
        close_endpoint(lamp);
    }
    logger("tiny: stopped");
}
