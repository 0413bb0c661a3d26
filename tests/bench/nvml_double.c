/* SPDX-License-Identifier: Apache-2.0
 * A driver's library for machines without one: two GPUs that use 300 W between the first and the second reading
 * of each counter. The environment says how it misbehaves. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct { unsigned int pid; unsigned long long used; unsigned int gpu, compute; } process_t;
typedef struct { unsigned long long total, free, used; } memory_t;

static int is(const char *what) { const char *s = getenv("NVML_DOUBLE"); return s && strcmp(s, what) == 0; }
static unsigned long long counters[2] = {5000, 7000};

int nvmlInit_v2(void) { return is("no-driver") ? 9 : 0; }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) { return code == 9 ? "Driver Not Loaded" : code == 3 ? "Not Supported" : "Unknown"; }
int nvmlDeviceGetCount_v2(unsigned int *count) { *count = is("none") ? 0 : 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **device) { *device = &counters[index]; return 0; }
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *mj) {
    if (is("no-counter")) return 3;
    *mj = *(unsigned long long *)device;
    *(unsigned long long *)device += is("backwards") ? -1000 : 150000;
    return 0;
}
int nvmlDeviceGetMemoryInfo(void *device, memory_t *memory) {
    memory->total = 1000; memory->used = 300; memory->free = 700;
    return 0;
}
int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned int *count, process_t *rows) {
    if (is("no-processes")) return 3;
    rows[0] = (process_t){1, 999, 0, 0};
    rows[1] = (process_t){is("strangers") ? 2 : (unsigned int)getpid(), is("unknown") ? ~0ULL : 40, 0, 0};
    *count = 2;
    return 0;
}
