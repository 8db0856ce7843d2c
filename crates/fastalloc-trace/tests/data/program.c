// What is in heaptrack.raw (`heaptrack --raw ./s`, decompressed) and dhat.json (`valgrind --tool=dhat ./s`), from
// `gcc -g -O0 s.c -o s` on Debian 13, x86-64.
#include <stdlib.h>
#include <string.h>
static void *mk(int n){ return malloc(n); }
int main(){ void *a[8]; for(int r=0;r<3;r++){ for(int i=0;i<8;i++) a[i]=mk(64); for(int i=0;i<8;i++) free(a[i]);} char*p=malloc(10); p=realloc(p,5000); p=realloc(p,100000); free(p); void*q; posix_memalign(&q,64,128); void *l=malloc(33); return l==0; }
