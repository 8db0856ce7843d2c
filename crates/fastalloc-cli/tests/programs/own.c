// Brings an allocator of its own, which libraries use too: 1000 objects of strndup; and perhaps protected.c.
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

void *__libc_malloc(size_t);
void __libc_free(void *);
void *malloc(size_t size) { return __libc_malloc(size + 16); }
void free(void *memory) { __libc_free(memory); }

__attribute__((weak)) int change(void);

int main(void) {
    if (change && change() != 2) return 1;
    for (int i = 0; i < 1000; i++) {
        char *volatile copy = strndup("of a text", 4);
        free(copy);
    }
    return 0;
}
