/*
 * `report`: a command with arguments that reads a file packed into its container (C, WASI preview 1).
 *
 * `app.toml` packs `readings.csv`: lines of a station and a whole number. For each station that it is told, or for all lines
 * together where it is told none, the command prints how many readings there are, the least, the greatest and the mean. It
 * ends with 1 where a station has no reading and with 2 where the file is missing or a line of it is none.
 *
 * Build, pack and run: `cd examples/report && emit build && emit run report.wasm lagoon`.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READINGS "/readings.csv"
#define LONGEST_LINE 80

struct summary {
    long count, least, greatest, sum;
};

static void add(struct summary *summary, long reading)
{
    if (summary->count == 0 || reading < summary->least) {
        summary->least = reading;
    }
    if (summary->count == 0 || reading > summary->greatest) {
        summary->greatest = reading;
    }
    summary->count++;
    summary->sum += reading;
}

/* Splits `station,reading` at its comma; answers 0 where the line is no such thing. */
static int split(char *line, long *reading)
{
    char *comma = strchr(line, ',');
    if (comma == NULL) {
        return 0;
    }
    *comma = '\0';
    char *end;
    *reading = strtol(comma + 1, &end, 10);
    return end != comma + 1 && (*end == '\n' || *end == '\0');
}

/* Reads the whole file for one station, or for all where `station` is NULL. Ends the program where it cannot. */
static struct summary read_station(const char *station)
{
    struct summary summary = {0};
    FILE *file = fopen(READINGS, "r");
    if (file == NULL) {
        fprintf(stderr, "report: %s: %s\n", READINGS, strerror(errno));
        exit(2);
    }
    char line[LONGEST_LINE];
    for (int number = 1; fgets(line, sizeof line, file) != NULL; number++) {
        long reading;
        if (!split(line, &reading)) {
            fprintf(stderr, "report: %s, line %d: not `station,reading`\n", READINGS, number);
            exit(2);
        }
        if (station == NULL || strcmp(line, station) == 0) {
            add(&summary, reading);
        }
    }
    fclose(file);
    return summary;
}

static int print(const char *name, struct summary summary)
{
    if (summary.count == 0) {
        fprintf(stderr, "report: no readings of %s\n", name);
        return 1;
    }
    printf("%s: %ld readings, %ld to %ld, mean %ld\n", name, summary.count, summary.least, summary.greatest,
           summary.sum / summary.count);
    return 0;
}

int main(int argument_count, char **arguments)
{
    if (argument_count < 2) {
        return print("all", read_station(NULL));
    }
    int status = 0;
    for (int index = 1; index < argument_count; index++) {
        status |= print(arguments[index], read_station(arguments[index]));
    }
    return status;
}
