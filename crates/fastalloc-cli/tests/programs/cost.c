// Prints how many nanoseconds of the processor's time it takes to allocate and free an object, on average, so many calls
// deep.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { OBJECTS = 300000 };

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return time.tv_sec * 1e9 + time.tv_nsec;
}

__attribute__((noinline)) static double measure(int calls) {
    if (calls > 1) {
        volatile double result = measure(calls - 1);
        return result;
    }
    double start = now();
    for (int i = 0; i < OBJECTS; i++) {
        void *volatile memory = malloc(40);
        free(memory);
    }
    return (now() - start) / OBJECTS;
}

int main(int count, char **arguments) {
    printf("%.0f\n", measure(count > 1 ? atoi(arguments[1]) : 1));
    return 0;
}
