// Loaded by places.c.
#include <stdlib.h>

__attribute__((noinline)) void *allocate_in_library(void) {
    void *volatile memory = malloc(505);
    return memory;
}

void in_library(void (*allocate)(size_t)) {
    allocate(506);
    for (int i = 0; i < 10; i++) free(allocate_in_library());
}
