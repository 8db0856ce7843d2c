// Recursion as deep as the argument says, with a small stack of its own.
#include <pthread.h>
#include <stdlib.h>

static int depth;

static void *volatile kept;

__attribute__((noinline)) static int down(int level) {
    kept = malloc(16);
    free(kept);
    return level ? down(level - 1) + (kept != NULL) : 0;
}

static void *work(void *argument) {
    down(depth);
    return argument;
}

int main(int count, char **arguments) {
    depth = count > 1 ? atoi(arguments[1]) : 100;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 1 << 20);
    pthread_t thread;
    if (pthread_create(&thread, &attributes, work, NULL)) return 1;
    pthread_join(thread, NULL);
    // The smallest there is.
    pthread_attr_setstacksize(&attributes, 16384);
    depth = 1;
    if (pthread_create(&thread, &attributes, work, NULL)) return 2;
    pthread_join(thread, NULL);
    return 0;
}
