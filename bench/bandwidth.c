/* Prints the bytes a second that argv[1] threads read together: the best of 8 passes over 512 MiB, which no cache holds. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BYTES = 512 << 20, PASSES = 8, MOST_THREADS = 256 };

typedef uint64_t Vector __attribute__((vector_size(16)));
typedef struct { const Vector *start, *end; uint64_t sum; pthread_t thread; } Part;

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec + 1e-9 * now.tv_nsec;
}

static void *sum(void *argument) {
  Part *part = argument;
  Vector sums[4] = {0};
  for (const Vector *at = part->start; at < part->end; at += 4)
    for (int i = 0; i < 4; i++) sums[i] += at[i];
  Vector all = sums[0] + sums[1] + sums[2] + sums[3];
  part->sum = all[0] + all[1];
  return NULL;
}

int main(int count, char **arguments) {
  int threads = count > 1 ? atoi(arguments[1]) : 1;
  if (threads < 1 || threads > MOST_THREADS) return 1;
  char *memory = aligned_alloc(4096, BYTES);
  if (!memory) return 1;
  memset(memory, 1, BYTES);
  Part parts[MOST_THREADS];
  double best = 1e9;
  uint64_t check = 0;
  for (int pass = 0; pass < PASSES; pass++) {
    double start = seconds();
    for (int t = 0; t < threads; t++) {
      size_t unit = BYTES / 64;
      parts[t].start = (const Vector *)(memory + unit * t / threads * 64);
      parts[t].end = (const Vector *)(memory + unit * (t + 1) / threads * 64);
      if (pthread_create(&parts[t].thread, NULL, sum, &parts[t])) return 1;
    }
    for (int t = 0; t < threads; t++) pthread_join(parts[t].thread, NULL), check += parts[t].sum;
    double took = seconds() - start;
    if (took < best) best = took;
  }
  printf("%.0f\n", check ? BYTES / best : 0.0);
  return 0;
}
