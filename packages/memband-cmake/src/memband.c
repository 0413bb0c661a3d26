/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include "memband.h"

#include <stdlib.h>
#include <time.h>

#ifndef MEMBAND_VERSION
#define MEMBAND_VERSION "0"
#endif

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

const char *memband_version(void)
{
    return MEMBAND_VERSION;
}

static void best(double *rate, double bytes, double seconds)
{
    if (seconds > 0 && bytes / seconds > *rate)
        *rate = bytes / seconds;
}

int memband_measure(size_t elements, int rounds, memband_result *result)
{
    const double k = 3.0;
    const size_t size = sizeof(double);
    double *a, *b, *c;
    if (elements == 0 || rounds <= 0 || result == NULL || elements > (size_t)-1 / size)
        return -1;
    a = malloc(elements * size);
    b = malloc(elements * size);
    c = malloc(elements * size);
    if (a == NULL || b == NULL || c == NULL) {
        free(a);
        free(b);
        free(c);
        return -1;
    }
    for (size_t i = 0; i < elements; i++) {
        a[i] = 0.0;
        b[i] = 1.0;
        c[i] = 2.0;
    }
    result->copy = result->scale = result->triad = 0.0;
    for (int round = 0; round < rounds; round++) {
        double t = now();
        for (size_t i = 0; i < elements; i++)
            a[i] = b[i];
        best(&result->copy, 2.0 * (double)(elements * size), now() - t);
        t = now();
        for (size_t i = 0; i < elements; i++)
            b[i] = k * a[i];
        best(&result->scale, 2.0 * (double)(elements * size), now() - t);
        t = now();
        for (size_t i = 0; i < elements; i++)
            a[i] = b[i] + k * c[i];
        best(&result->triad, 3.0 * (double)(elements * size), now() - t);
        /* What is read here keeps the compiler from leaving the loops out. */
        b[round % elements] = a[elements / 2] / 9.0;
    }
    free(a);
    free(b);
    free(c);
    return 0;
}
