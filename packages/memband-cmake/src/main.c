/* SPDX-License-Identifier: Apache-2.0 */
/* memband [ELEMENTS [ROUNDS]]: print the memory bandwidth of one core as one line of JSON. */
#include "memband.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    size_t elements = 1u << 22;
    int rounds = 10;
    memband_result result;
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        printf("memband %s\n", memband_version());
        return 0;
    }
    if (argc > 1)
        elements = (size_t)strtoul(argv[1], NULL, 10);
    if (argc > 2)
        rounds = atoi(argv[2]);
    if (memband_measure(elements, rounds, &result) != 0) {
        fprintf(stderr, "memband: %zu elements and %d rounds cannot be measured\n", elements, rounds);
        return 1;
    }
    printf("{\"elements\": %zu, \"rounds\": %d, \"copy\": %.6g, \"scale\": %.6g, \"triad\": %.6g, \"unit\": \"B/s\"}\n",
           elements, rounds, result.copy, result.scale, result.triad);
    return 0;
}
