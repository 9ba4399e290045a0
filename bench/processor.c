/*
 * Prints what argv[1] threads get of the computer together, medians of 9 passes: bytes a second of 512 MiB, which no cache holds, and multiply-accumulates a
 * second of 8-bit weights with 16-bit activations that lie in the nearest cache.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BYTES = 512 << 20, NEAR = 8 << 10, REPEATS = 100000, PASSES = 9, MOST_THREADS = 256 };

typedef uint64_t Vector __attribute__((vector_size(16)));
typedef struct { const char *start, *end; int64_t sum; pthread_t thread; } Part;

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec + 1e-9 * now.tv_nsec;
}

static void *read_all(void *argument) {
  Part *part = argument;
  Vector sums[4] = {0};
  for (const Vector *at = (const Vector *)part->start; at < (const Vector *)part->end; at += 4)
    for (int i = 0; i < 4; i++) sums[i] += at[i];
  Vector all = sums[0] + sums[1] + sums[2] + sums[3];
  part->sum = all[0] + all[1];
  return NULL;
}

static void *multiply(void *argument) {
  Part *part = argument;
  const int8_t *weights = (const int8_t *)part->start;
  int16_t activations[NEAR];
  for (int i = 0; i < NEAR; i++) activations[i] = i;
  part->sum = 0;
  for (int repeat = 0; repeat < REPEATS; repeat++) {
    int32_t sum = 0;
    for (int i = 0; i < NEAR; i++) sum += weights[i] * activations[i];
    part->sum += sum;
    activations[repeat % NEAR] = repeat; /* so that no repeat can be left out */
  }
  return NULL;
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* The median of the seconds that all threads take for their parts, each with as much of the memory as the others. Exits where a thread cannot be had. */
static double median_seconds(void *(*work)(void *), const char *memory, int threads) {
  Part parts[MOST_THREADS];
  double took[PASSES];
  volatile int64_t check = 0;
  for (int pass = 0; pass < PASSES; pass++) {
    double start = seconds();
    for (int t = 0; t < threads; t++) {
      size_t unit = BYTES / 64;
      parts[t].start = memory + unit * t / threads * 64;
      parts[t].end = memory + unit * (t + 1) / threads * 64;
      if (pthread_create(&parts[t].thread, NULL, work, &parts[t])) exit(1);
    }
    for (int t = 0; t < threads; t++) pthread_join(parts[t].thread, NULL), check += parts[t].sum;
    took[pass] = seconds() - start;
  }
  qsort(took, PASSES, sizeof *took, ascending);
  return took[PASSES / 2];
}

int main(int count, char **arguments) {
  int threads = count > 1 ? atoi(arguments[1]) : 1;
  if (threads < 1 || threads > MOST_THREADS) return 1;
  char *memory = aligned_alloc(4096, BYTES);
  if (!memory) return 1;
  memset(memory, 1, BYTES);
  double reading = median_seconds(read_all, memory, threads), multiplying = median_seconds(multiply, memory, threads);
  printf("%.0f %.0f\n", BYTES / reading, (double)NEAR * REPEATS * threads / multiplying);
  return 0;
}
