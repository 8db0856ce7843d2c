// 16 threads, each with 20000 objects, half of which the next one frees; and threads that come and go.
#include <pthread.h>
#include <stdlib.h>

enum { THREADS = 16, OBJECTS = 20000, SHORT = 200 };
static void *handed[THREADS][OBJECTS / 2];
static pthread_barrier_t barrier;

static void *work(void *argument) {
    long number = (long)argument;
    for (int i = 0; i < OBJECTS; i++) {
        void *volatile memory = malloc(32);
        if (i % 2) free(memory);
        else handed[number][i / 2] = memory;
    }
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < OBJECTS / 2; i++) free(handed[(number + 1) % THREADS][i]);
    return NULL;
}

static void *shortly(void *argument) {
    free(realloc(argument, 64));
    return NULL;
}

int main(void) {
    pthread_t threads[THREADS];
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (long i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, work, (void *)i);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < SHORT; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, shortly, malloc(48));
        pthread_join(thread, NULL);
    }
    return 0;
}
