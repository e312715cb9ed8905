// A fiber: a stack of its own and the place to go on from. To switch takes a few nanoseconds.
//
//   Fiber f;  f.prepare(entry);     entry() will run on f's stack at the first switch to it
//   switch_fiber(from, to);         go on in `to`; returns when somebody switches back to `from`
//
// With AddressSanitizer and ThreadSanitizer each switch is announced, or they would take one fiber's
// stack for another's. Neither may look at what stands here: QUIET.
#pragma once
#include <sys/mman.h>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#define QUIET __attribute__((no_sanitize("thread"), no_sanitize("address")))

#if defined(__SANITIZE_ADDRESS__)
extern "C" void __sanitizer_start_switch_fiber(void** kept, const void* stack, size_t size);
extern "C" void __sanitizer_finish_switch_fiber(void* kept, const void** stack, size_t* size);
#endif
#if defined(__SANITIZE_THREAD__)
extern "C" void* __tsan_get_current_fiber();
extern "C" void* __tsan_create_fiber(unsigned flags);
extern "C" void __tsan_switch_to_fiber(void* fiber, unsigned flags);  // flag 1: no order implied
#endif

namespace mg {

const size_t STACK = 256 << 10;  // bytes; pages that nobody touches cost nothing

#if defined(__x86_64__) && !defined(MG_UCONTEXT)

// The registers that a function must preserve go onto the stack, then the stack is exchanged.
extern "C" void mg_switch(void** save, void* load);
asm(".text\n.globl mg_switch\n.hidden mg_switch\nmg_switch:\n"
    " pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
    " movq %rsp,(%rdi)\n movq %rsi,%rsp\n"
    " popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n ret\n");

struct Place {
  void* sp = nullptr;
  QUIET void prepare(char* stack, void (*entry)()) {
    void** top = (void**)((uintptr_t)(stack + STACK) & ~(uintptr_t)15);
    top[-1] = nullptr;        // where entry() would return to: it never does
    top[-2] = (void*)entry;   // where mg_switch returns to
    sp = top - 8;             // below it the six registers
  }
  QUIET static void go(Place& from, Place& to) { mg_switch(&from.sp, to.sp); }
};

#else  // any other processor: the C library's own, which asks the system at each switch
}
#include <ucontext.h>
namespace mg {
struct Place {
  ucontext_t context;
  QUIET void prepare(char* stack, void (*entry)()) {
    getcontext(&context);
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = STACK;
    context.uc_link = nullptr;
    makecontext(&context, entry, 0);
  }
  QUIET static void go(Place& from, Place& to) { swapcontext(&from.context, &to.context); }
};
#endif

struct Fiber {
  Place place;
  char* stack = nullptr;  // of the program's main thread: unknown until the first switch away
  size_t size = 0;
  void* tsan = nullptr;
  void* asan = nullptr;

  QUIET void prepare(void (*entry)()) {
    if (!stack) {
      int how = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
      stack = (char*)mmap(nullptr, STACK, PROT_READ | PROT_WRITE, how, -1, 0);
      if (stack == MAP_FAILED) { perror("a stack for a CUDA thread"); exit(70); }
      mprotect(stack, 4096, PROT_NONE);  // a stack that is too small is an error, not a riddle
      size = STACK;
#if defined(__SANITIZE_THREAD__)
      tsan = __tsan_create_fiber(0);
#endif
    }
    place.prepare(stack, entry);
  }
};

// Announces that the first switch to a fiber has arrived; `from` is where it came from.
QUIET inline void arrived(Fiber& from) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, (const void**)&from.stack, &from.size);
#else
  (void)from;
#endif
}

QUIET inline void switch_fiber(Fiber& from, Fiber& to, bool for_good = false) {
  (void)for_good;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(for_good ? nullptr : &from.asan, to.stack, to.size);
#endif
#if defined(__SANITIZE_THREAD__)
  if (!from.tsan) from.tsan = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(to.tsan, 1);
#endif
  Place::go(from.place, to.place);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(from.asan, nullptr, nullptr);
#endif
}

}  // namespace mg
