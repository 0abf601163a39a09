/* NAME: greets its arguments. */
#include <stdio.h>

int main(int argument_count, char **arguments)
{
    for (int index = 1; index < argument_count; index++) {
        printf("Hello, %s!\n", arguments[index]);
    }
    return 0;
}
