// So many objects of 40 bytes, one after the other.
#include <stdlib.h>

int main(int count, char **arguments) {
    long number = count > 1 ? atol(arguments[1]) : 1000;
    for (long i = 0; i < number; i++) {
        void *volatile memory = malloc(40);
        free(memory);
    }
    return 0;
}
