// A grid of CUDA threads on one thread of the CPU: block after block, a fiber for each thread.
//
// A thread runs until it waits: at __syncthreads for all threads of its block, at a warp operation
// for the lanes that its mask names. Then the next one runs. The order of blocks and threads comes
// from a seed: 0 in order; 1 threads in reverse, and each warp as far as it comes before the next one
// starts; others shuffled anew at every turn. A kernel whose result depends on the order lacks a
// barrier.
//
// Shared memory is filled with NaN (all bits 1) before each block, so that what is read before it was
// written shows in the result.
//
// What stops a launch, with block, thread, file and line: a barrier that not all threads reach, or
// that they reach in different lines; a barrier after some threads have returned; a warp operation
// whose mask names lanes that have returned, or not the caller; an address where no memory is; Ctrl-C.
#pragma once
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cstring>
#include <utility>
#include <vector>
#include "fibers.h"

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

#if defined(__SANITIZE_THREAD__)
// The scheduler writes these and threads read them, which is no race of the kernel: read them where
// ThreadSanitizer does not look.
extern "C" void __tsan_acquire(void*);
extern "C" void __tsan_release(void*);
namespace mg {
static dim3 thread_index, block_index, block_size, grid_size;
QUIET __attribute__((noinline)) static dim3 unseen(const dim3& d) {
  dim3 r;
  r.x = d.x, r.y = d.y, r.z = d.z;
  return r;
}
}  // namespace mg
#define threadIdx mg::unseen(mg::thread_index)
#define blockIdx mg::unseen(mg::block_index)
#define blockDim mg::unseen(mg::block_size)
#define gridDim mg::unseen(mg::grid_size)
#define MG_RELEASE(object) __tsan_release(object)
#define MG_ACQUIRE(object) __tsan_acquire(object)
#else
static dim3 threadIdx, blockIdx, blockDim, gridDim;
namespace mg {
static dim3 &thread_index = threadIdx, &block_index = blockIdx;
static dim3 &block_size = blockDim, &grid_size = gridDim;
}  // namespace mg
#define MG_RELEASE(object)
#define MG_ACQUIRE(object)
#endif

// All __shared__ variables lie in one section of memory, between these two symbols.
extern "C" char __start_cushared[] __attribute__((weak)), __stop_cushared[] __attribute__((weak));

namespace mg {

enum State { READY, AT_BARRIER, AT_WARP, DONE };

struct Copy { uint64_t *to, words[2]; unsigned group; };  // cp.async: mg_ptx.h

struct Thread {
  Fiber fiber;
  State state = READY;
  dim3 index;
  const char* file = "";  // where it waits
  int line = 0;
  unsigned mask = 0;  // the lanes that it waits for
  unsigned barriers = 0, warp_barriers = 0;
  uint64_t slot = 0;  // what it shows to the other lanes of its warp
  const void* fragment[2] = {};
  std::vector<Copy> copies;  // under way
  unsigned copy_groups = 0;  // committed so far
};

struct Order {  // what ThreadSanitizer is told: what came before a barrier is seen after it
  char start, barrier[2], warp[32][2], end;
};

static std::vector<Thread> threads;
static std::vector<unsigned> turn;
static Fiber scheduler;
static Order order;
static unsigned current, count, alive, random_state;
static char* dynamic;  // the block's dynamic shared memory
static const char* kernel_name = "";
static char error[512];
static void (*body)(void*);
static void* body_arguments;

QUIET inline unsigned random_number() {
  random_state = random_state * 1664525u + 1013904223u;
  return random_state >> 8;
}

QUIET inline unsigned lane() { return current & 31; }

QUIET inline void fail(const char* what, const Thread& t) {
  if (error[0]) return;
  const char* file = strrchr(t.file, '/') ? strrchr(t.file, '/') + 1 : t.file;
  char where[128] = "";
  if (t.line) snprintf(where, sizeof where, ", %s line %d", file, t.line);
  snprintf(error, sizeof error, "%s: block (%u, %u, %u), thread (%u, %u, %u)%s: %s", kernel_name,
           block_index.x, block_index.y, block_index.z, t.index.x, t.index.y, t.index.z, where, what);
  MG_RELEASE(&order.end);  // the text is read by whoever asked for the launch
}

QUIET inline void to_scheduler(bool for_good = false) {
  switch_fiber(threads[current].fiber, scheduler, for_good);
}

// Ends the kernel: `what` is wrong in this line.
QUIET inline void stop(const char* what, const char* file, int line) {
  Thread& t = threads[current];
  t.file = file, t.line = line;
  fail(what, t);
  to_scheduler();
}

QUIET static void entry() {
  arrived(scheduler);
  MG_ACQUIRE(&order.start);
  body(body_arguments);
  MG_RELEASE(&order.end);
  threads[current].state = DONE;
  alive--;
  to_scheduler(true);
  abort();  // nobody switches to a thread that is done
}

QUIET inline void wait_for_block(const char* file, int line) {
  Thread& t = threads[current];
  t.state = AT_BARRIER, t.file = file, t.line = line;
  char* seen = &order.barrier[t.barriers++ & 1];
  (void)seen;
  MG_RELEASE(seen);
  to_scheduler();
  MG_ACQUIRE(seen);
}

QUIET inline void wait_for_warp(unsigned mask, const char* file, int line) {
  Thread& t = threads[current];
  t.state = AT_WARP, t.mask = mask, t.file = file, t.line = line;
  char* seen = &order.warp[current / 32][t.warp_barriers++ & 1];
  (void)seen;
  MG_RELEASE(seen);
  to_scheduler();
  MG_ACQUIRE(seen);
}

// Lets the threads of a block go on where all of them have arrived.
QUIET inline void release_block() {
  Thread* first = nullptr;
  unsigned waiting = 0;
  for (unsigned i = 0; i < count; i++) {
    if (threads[i].state != AT_BARRIER) continue;
    if (!first) first = &threads[i];
    waiting++;
  }
  if (!waiting || waiting < alive) return;
  if (alive < count) fail("a barrier after some threads of the block have returned", *first);
  for (unsigned i = 0; i < count; i++) {
    Thread& t = threads[i];
    if (t.line != first->line || strcmp(t.file, first->file))
      fail("the threads of a block wait at different barriers", t);
    t.state = READY;
  }
}

// Lets the lanes of a warp go on where all that the mask names have arrived with the same mask.
QUIET inline void release_warp(unsigned first) {
  Thread& asked = threads[current];
  if (asked.state != AT_WARP) return;
  if (!(asked.mask >> lane() & 1)) return fail("its mask does not name the calling lane", asked);
  unsigned lanes = count - first < 32 ? count - first : 32;
  for (unsigned i = 0; i < lanes; i++) {
    Thread& t = threads[first + i];
    if (!(asked.mask >> i & 1)) continue;
    if (t.state == DONE) return fail("its mask names a lane that has returned", asked);
    if (t.state != AT_WARP || t.mask != asked.mask) return;
    if (t.line != asked.line || strcmp(t.file, asked.file))
      return fail("the lanes of a warp wait for each other in different lines", asked);
  }
  for (unsigned i = 0; i < lanes; i++)
    if (asked.mask >> i & 1) threads[first + i].state = READY;
}

QUIET inline void stuck() {
  for (unsigned i = 0; i < count; i++) {
    Thread& t = threads[i];
    if (t.state == AT_BARRIER) return fail("waits at a barrier that not all threads reach", t);
  }
  for (unsigned i = 0; i < count; i++) {
    Thread& t = threads[i];
    if (t.state == AT_WARP) return fail("waits for lanes that never come", t);
  }
}

QUIET inline void poison_shared() {
  for (volatile char* p = __start_cushared; p && p < __stop_cushared; p++) *p = (char)0xFF;
}

QUIET inline void shuffle(std::vector<unsigned>& v, size_t n) {
  for (size_t i = n; i > 1; i--) std::swap(v[i - 1], v[random_number() % i]);
}

// The number of lanes of a warp if one of them is ready, else 0.
QUIET inline unsigned lanes_that_go_on(unsigned first) {
  unsigned lanes = count - first < 32 ? count - first : 32;
  for (unsigned i = 0; i < lanes; i++)
    if (threads[first + i].state == READY) return lanes;
  return 0;
}

QUIET inline void run_block(dim3 block, unsigned seed) {
  alive = count;
  for (unsigned i = 0; i < count; i++) {
    Thread& t = threads[i];
    t.state = READY, t.line = 0, t.file = "", t.barriers = t.warp_barriers = 0;
    t.copies.clear(), t.copy_groups = 0;
    t.index = dim3(i % block.x, i / block.x % block.y, i / block.x / block.y);
    t.fiber.prepare(entry);
    turn[i] = seed == 1 ? count - 1 - i : i;
  }
  MG_RELEASE(&order.start);
  while (alive && !error[0]) {
    if (seed > 1) shuffle(turn, count);
    bool ran = false;
    for (unsigned n = 0; n < count && !error[0]; n++) {
      Thread& t = threads[turn[n]];
      if (t.state == READY) {
        ran = true;
        current = turn[n];
        thread_index = t.index;
        switch_fiber(scheduler, t.fiber);
        release_warp(current / 32 * 32);
      }
      if (seed == 1 && turn[n] % 32 == 0) n -= lanes_that_go_on(turn[n]);
    }
    release_block();
    if (!ran) stuck();
  }
  MG_ACQUIRE(&order.end);
}

QUIET inline void run_grid(dim3 grid, dim3 block, size_t shared, unsigned seed) {
  error[0] = 0;
  count = block.x * block.y * block.z;
  grid_size = grid, block_size = block, random_state = seed * 2654435761u + 1;
  if (threads.size() < count) threads.resize(count), turn.resize(count);
  std::vector<unsigned> blocks(size_t(grid.x) * grid.y * grid.z);
  for (size_t i = 0; i < blocks.size(); i++) blocks[i] = i;
  if (seed) shuffle(blocks, blocks.size());
  for (unsigned b : blocks) {
    block_index = dim3(b % grid.x, b / grid.x % grid.y, b / grid.x / grid.y);
    dynamic = (char*)malloc(shared + !shared);  // its own each time: one element beyond is an error
    memset(dynamic, 0xFF, shared);
    poison_shared();
    run_block(block, seed);
    free(dynamic);
    if (error[0]) return;
  }
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // which have handlers of their own
// While a kernel runs, a signal that would end the whole program ends the kernel only.
static pthread_t launcher;
static bool interrupted;

static void on_signal(int number) {
  char here;
  if (!pthread_equal(pthread_self(), launcher)) {
    if (number == SIGINT) pthread_kill(launcher, number);
    else signal(number, SIG_DFL);  // not the kernel's fault
    return;
  }
  Thread& t = threads[current];
  bool in_kernel = &here >= t.fiber.stack && &here < t.fiber.stack + STACK;
  if (number == SIGINT) interrupted = true;
  else if (!in_kernel) return (void)signal(number, SIG_DFL);
  t.line = 0;
  fail(number == SIGINT  ? "interrupted"
       : number == SIGFPE ? "divides by zero"
                          : "reads or writes where no memory is; sanitize=\"address\" says in which line", t);
  if (in_kernel) to_scheduler();
}

struct Signals {
  static const int n = 4;
  const int numbers[n] = {SIGSEGV, SIGBUS, SIGFPE, SIGINT};
  struct sigaction before[n];
  Signals() {
    launcher = pthread_self(), interrupted = false;
    struct sigaction ours = {};
    ours.sa_handler = on_signal, ours.sa_flags = SA_NODEFER;  // on_signal may never return
    for (int i = 0; i < n; i++) {
      sigaction(numbers[i], nullptr, &before[i]);
      bool main_thread = syscall(SYS_gettid) == getpid();
      if (numbers[i] != SIGINT || (main_thread && before[i].sa_handler != SIG_IGN))
        sigaction(numbers[i], &ours, nullptr);
    }
  }
  ~Signals() {
    for (int i = 0; i < n; i++) sigaction(numbers[i], &before[i], nullptr);
  }
};
#else
static const bool interrupted = false;
struct Signals { Signals() {} };
#endif

// A kernel called with its arguments, each behind a pointer, as cuLaunchKernel has them.
template <class... A, size_t... I>
void call(void (*kernel)(A...), void** a, std::index_sequence<I...>) {
  kernel(*(std::remove_const_t<std::remove_reference_t<A>>*)a[I]...);
}

template <class... A>
int launch(const char* name, void (*kernel)(A...), const unsigned* sizes, size_t shared, unsigned seed,
           void** arguments) {
  auto run = [&] { call(kernel, arguments, std::index_sequence_for<A...>{}); };
  body = [](void* p) { (*(decltype(run)*)p)(); };
  body_arguments = &run;
  kernel_name = name;
  Signals signals;
  run_grid(dim3(sizes[0], sizes[1], sizes[2]), dim3(sizes[3], sizes[4], sizes[5]), shared, seed);
  return interrupted ? 2 : error[0] != 0;
}

}  // namespace mg

// What the runner calls: sizes are those of the grid and of a block. 0; 1 with an error to read; 2 after
// Ctrl-C.
#define MG_KERNEL(name)                                                                             \
  extern "C" int mg_launch_##name(const unsigned* sizes, size_t shared, unsigned seed, void** a) {   \
    return mg::launch(#name, ::name, sizes, shared, seed, a);                                        \
  }
extern "C" const char* mg_error() { return mg::error; }
