/*
 * `echo`: the smallest useful C program as a container (WASI preview 1, world "command", Debian's wasi-libc).
 *
 * It exists to show that output, diagnostics and exit code stay apart. Arguments go to standard output, separated by
 * spaces; `-n` leaves the line end away; with no argument it complains on standard error and ends with 1.
 * `emit run echo.wasm one two` prints `one two`.
 */
#include <string.h>
#include <unistd.h>

/* Writes all of `text` to `file`; 0 when that worked. */
static int put(int file, const char *text)
{
    size_t left = strlen(text);
    while (left > 0) {
        ssize_t written = write(file, text, left);
        if (written <= 0) {
            return -1;
        }
        text += written;
        left -= (size_t)written;
    }
    return 0;
}

int main(int argument_count, char **arguments)
{
    int first = 1;
    const char *end = "\n";
    if (argument_count > 1 && strcmp(arguments[1], "-n") == 0) {
        first = 2;
        end = "";
    }
    if (first == argument_count) {
        (void)put(STDERR_FILENO, "echo: nothing to say; usage: echo [-n] WORD...\n");
        return 1;
    }
    for (int index = first; index < argument_count; index++) {
        if (index > first && put(STDOUT_FILENO, " ") != 0) {
            return 2;
        }
        if (put(STDOUT_FILENO, arguments[index]) != 0) {
            return 2;
        }
    }
    return put(STDOUT_FILENO, end) == 0 ? 0 : 2;
}
