// Forks while other threads allocate; with an argument, in a way that the C library does not see.
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static atomic_int is_over;

static void *work(void *argument) {
    while (!is_over) {
        void *volatile memory = malloc(32);
        free(memory);
    }
    return argument;
}

int main(int count, char **arguments) {
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, work, NULL);
    for (int i = 0; i < 50; i++) {
        pid_t child = count > 1 ? syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) : fork();
        if (child == 0) {
            for (int j = 0; j < 111; j++) {
                void *volatile memory = malloc(1111);
                free(memory);
            }
            // Grandchildren, too.
            if (i == 49 && fork() == 0) {
                void *volatile memory = malloc(2222);
                free(memory);
                exit(0);
            }
            if (i == 49) wait(NULL);
            if (i % 2) _exit(0);
            exit(0);
        }
        int status;
        if (waitpid(child, &status, 0) != child || status) return 1;
    }
    is_over = 1;
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    return 0;
}
