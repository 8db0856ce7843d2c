// Allocates 5000 objects of 77 bytes, and ends as the argument says.
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int count, char **arguments) {
    const char *how = count > 1 ? arguments[1] : "";
    if (!strcmp(how, "limit")) {
        const struct rlimit limit = {10000, 10000};
        if (setrlimit(RLIMIT_FSIZE, &limit)) return 8;
    }
    if (!strcmp(how, "child")) {
        // Events have just been written.
        usleep(15000);
        free(strdup(how));
        const pid_t child = fork();
        if (child) return waitpid(child, NULL, 0) == child ? 0 : 9;
        void *volatile memory = malloc(78);
        abort();
    }
    for (int i = 0; i < 5000; i++) {
        void *volatile memory = malloc(77);
        free(memory);
    }
    if (!strcmp(how, "wait")) {
        usleep(150000);
        void *volatile memory = malloc(1);
        free(memory);
    }
    if (!strcmp(how, "wait") || !strcmp(how, "crash")) *(volatile int *)8 = 1;
    if (!strcmp(how, "abort")) abort();
    if (!strcmp(how, "_exit")) _exit(3);
    if (!strcmp(how, "_Exit")) _Exit(4);
    if (!strcmp(how, "quick_exit")) quick_exit(5);
    if (!strcmp(how, "kill")) kill(getpid(), SIGKILL);
    if (!strcmp(how, "exec")) {
        char *next[] = {arguments[0], "_exit", NULL};
        execv(arguments[0], next);
        return 6;
    }
    if (!strcmp(how, "close")) {
        for (int i = 3; i < 4096; i++) close(i);
        // What is opened now may have the number of the trace.
        for (int i = 0; i < 2000; i++) dup(0);
        for (int i = 0; i < 5000; i++) {
            void *volatile memory = malloc(77);
            free(memory);
        }
    }
    if (!strcmp(how, "preload")) return getenv("LD_PRELOAD") ? 7 : 0;
    return 0;
}
