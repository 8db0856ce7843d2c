// Allocates where programs hardly ever do: 10 objects of 501 to 505 bytes in each place.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>

static void allocate(size_t size) {
    for (int i = 0; i < 10; i++) {
        void *volatile memory = malloc(size);
        free(memory);
    }
}

__attribute__((constructor)) static void before_main(void) { allocate(501); }

static void at_exit(void) { allocate(502); }

static pthread_key_t key;

static void at_thread_end(void *value) { allocate(503 + 0 * (size_t)value); }

static void *work(void *argument) {
    pthread_setspecific(key, &key);
    return argument;
}

static void on_signal(int number) { allocate(504 + 0 * number); }

static volatile int ticks;

static void on_tick(int number) {
    // The main thread may be in the recorder, but not in the allocator.
    if (number) ticks++;
}

int main(int count, char **arguments) {
    atexit(at_exit);
    pthread_key_create(&key, at_thread_end);
    pthread_t thread;
    pthread_create(&thread, NULL, work, NULL);
    pthread_join(thread, NULL);
    signal(SIGUSR1, on_signal);
    raise(SIGUSR1);
    // Interrupts the recorder wherever it is.
    signal(SIGALRM, on_tick);
    struct itimerval often = {{0, 50}, {0, 50}};
    setitimer(ITIMER_REAL, &often, NULL);
    while (ticks < 100) allocate(600);
    struct itimerval never = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &never, NULL);
    void *library = dlopen(arguments[count - 1], RTLD_NOW);
    if (!library) return 1;
    void (*function)(void (*)(size_t)) = (void (*)(void (*)(size_t)))dlsym(library, "in_library");
    function(allocate);
    dlclose(library);
    return 0;
}
