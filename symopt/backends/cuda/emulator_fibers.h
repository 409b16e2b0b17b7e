// Fibers: calls that can be left in the middle and taken up again, each on a stack of its own.
#pragma once
#include <sys/mman.h>
#include <unistd.h>

#if !defined(__x86_64__)
#define SYMOPT_UCONTEXT 1
#endif
#ifdef SYMOPT_UCONTEXT
#include <ucontext.h>
#endif

namespace symopt_emulator {

constexpr unsigned MAX_FIBERS = 1024;
constexpr unsigned long STACK = 128 << 10;  // bytes of each

#ifdef SYMOPT_UCONTEXT

struct Context {
  ucontext_t registers;
};

inline void switch_to(Context& from, Context& to) { swapcontext(&from.registers, &to.registers); }

inline void begin(Context& context, char* stack, unsigned long bytes, void (*function)()) {
  getcontext(&context.registers);
  context.registers.uc_stack.ss_sp = stack;
  context.registers.uc_stack.ss_size = bytes;
  context.registers.uc_link = nullptr;
  makecontext(&context.registers, function, 0);
}

#else  // swapcontext calls the operating system, for the signal mask, which takes most of its time

struct Context {
  void* stack;  // what a function called must keep lies on top
};

extern "C" void symopt_switch(void** from, void* to);
asm(R"(
.text
.hidden symopt_switch
.globl symopt_switch
.type symopt_switch, @function
symopt_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size symopt_switch, .-symopt_switch
)");

inline void switch_to(Context& from, Context& to) { symopt_switch(&from.stack, to.stack); }

inline void begin(Context& context, char* stack, unsigned long bytes, void (*function)()) {
  void** top = reinterpret_cast<void**>(stack + bytes);
  *--top = nullptr;  // where function would return to, which it never does
  *--top = reinterpret_cast<void*>(function);
  for (int saved = 0; saved < 6; saved++) *--top = nullptr;
  context.stack = top;
}

#endif

// The stacks of all fibers, kept until the process ends; nullptr when there is no memory.
inline char* stacks() {
  static char* room = nullptr;
  if (room) return room;
  void* got = mmap(nullptr, MAX_FIBERS * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
  if (got == MAP_FAILED) return nullptr;
  room = static_cast<char*>(got);
  // A function that needs more stack stops at the lowest page instead of writing on its neighbour's.
  for (unsigned i = 0; i < MAX_FIBERS; i++) mprotect(room + i * STACK, sysconf(_SC_PAGESIZE), PROT_NONE);
  return room;
}

}  // namespace symopt_emulator
