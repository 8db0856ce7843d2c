// Calls every function that allocates, so and so often.
#define _GNU_SOURCE
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void *volatile kept;

static void give_back(void *memory) {
    kept = memory;
    free(kept);
}

int main(void) {
    for (int i = 0; i < 100; i++) {
        give_back(malloc(24));
        give_back(calloc(3, 8));
        void *memory = NULL;
        if (posix_memalign(&memory, 64, 100)) return 1;
        if ((uintptr_t)memory % 64) return 2;
        give_back(memory);
        give_back(aligned_alloc(128, 256));
        give_back(memalign(32, 40));
        give_back(valloc(10));
        give_back(pvalloc(20));
        give_back(reallocarray(NULL, 5, 8));
        // Moves: there is something behind it.
        char *small = realloc(NULL, 48);
        memset(small, 7, 48);
        void *behind = malloc(48);
        char *large = realloc(small, 100000);
        if (large[47] != 7) return 3;
        give_back(behind);
        kept = realloc(large, 0);
    }
    free(NULL);
    if (reallocarray(NULL, SIZE_MAX / 2, 4)) return 4;
    if (malloc(SIZE_MAX / 2 - 1)) return 5;
    return 0;
}
