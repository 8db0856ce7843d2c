// A library of own.c, which allocates before the program begins. Its tables of addresses are read-only, what comes behind
// them is not.
#include <stdlib.h>

void *(*const functions[])(size_t) = {malloc};
static int changes = 1;

__attribute__((constructor)) static void begin(void) {
    free(malloc(7));
}

int change(void) {
    free(functions[changes - 1](6));
    return ++changes;
}
