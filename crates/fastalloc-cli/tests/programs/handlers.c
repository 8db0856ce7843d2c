// Forks with handlers that allocate, and that wait for a thread which allocates; they were there before the recorder.
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static atomic_int is_over;

static void allocate(size_t size) {
    void *volatile memory = malloc(size);
    free(memory);
}

static void sleep_nanoseconds(long nanoseconds) {
    nanosleep(&(struct timespec){.tv_nsec = nanoseconds}, NULL);
}

static void before(void) {
    // Longer than events wait to be written.
    sleep_nanoseconds(12000000);
    allocate(31);
    pthread_mutex_lock(&mutex);
}

static void after(void) {
    allocate(33);
    pthread_mutex_unlock(&mutex);
}

static void *work(void *argument) {
    while (!is_over) {
        pthread_mutex_lock(&mutex);
        for (int i = 0; i < 100; i++) allocate(32);
        pthread_mutex_unlock(&mutex);
        for (int i = 0; i < 100; i++) allocate(32);
    }
    return argument;
}

static void prepare(void) {
    pthread_atfork(before, after, after);
}

__attribute__((section(".preinit_array"), used)) static void (*const before_libraries)(void) = prepare;

int main(void) {
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, work, NULL);
    for (int i = 0; i < 50; i++) {
        pid_t child = fork();
        if (child == 0) {
            allocate(1111);
            exit(0);
        }
        int status;
        if (waitpid(child, &status, 0) != child || status) return 1;
    }
    is_over = 1;
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    return 0;
}
