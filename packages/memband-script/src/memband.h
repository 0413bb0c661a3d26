/* SPDX-License-Identifier: Apache-2.0 */
/* Memory bandwidth of one core: bytes moved in a second by copying, scaling and adding large arrays. */
#ifndef MEMBAND_H
#define MEMBAND_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What was measured, in bytes a second: the best of all rounds, since everything else only slows it down. */
typedef struct {
    double copy;  /* a[i] = b[i] */
    double scale; /* a[i] = k * b[i] */
    double triad; /* a[i] = b[i] + k * c[i] */
} memband_result;

/** Version of the library, such as "1.0.0". */
const char *memband_version(void);

/**
 * Measure.
 *
 * elements: doubles in each of three arrays; take a multiple of the last cache to see the memory behind it.
 * rounds:   how often each kernel is run.
 * result:   what was found.
 *
 * Returns 0, or -1 when there is not enough memory or an argument is 0.
 */
int memband_measure(size_t elements, int rounds, memband_result *result);

#ifdef __cplusplus
}
#endif
#endif
