// A kernel as a program of its own, for the sanitizers: `program JOB` reads a launch from the file JOB
// and writes its arrays back there.
//
// JOB, in native byte order: kernel's name \n; 6 sizes (uint32), seed (uint32), shared bytes and number
// of arguments (uint64); then for each argument what it is (uint64), its bytes (uint64), the bytes. What it
// is: 0 a number, 1 + i an array that is the same memory as argument i, mostly itself. Each array gets
// memory of exactly its size, so that AddressSanitizer sees the first element beyond.
#include <cstdio>
#include <string>
#include <vector>

struct Entry { const char* name; int (*launch)(const unsigned*, size_t, unsigned, void**); };
extern const Entry mg_kernels[];  // ends with a name that is null
extern "C" void __sanitizer_set_death_callback(void (*)());

// Says where in the grid a sanitizer stopped the kernel.
QUIET static void say_where() {
  fprintf(stderr, "\nMG_WHERE %s: block (%u, %u, %u), thread (%u, %u, %u)\n", mg::kernel_name,
          mg::block_index.x, mg::block_index.y, mg::block_index.z, mg::thread_index.x,
          mg::thread_index.y, mg::thread_index.z);
}

#if defined(__SANITIZE_ADDRESS__)
extern "C" void __ubsan_on_report() { say_where(); }
#endif

int main(int, char** words) {
  FILE* job = fopen(words[1], "rb");
  if (!job) return perror(words[1]), 70;
  auto read = [&](void* to, size_t bytes) {
    if (bytes && fread(to, bytes, 1, job) != 1) perror(words[1]), exit(70);
  };
  std::string name;
  for (int c = fgetc(job); c != '\n' && c != EOF; c = fgetc(job)) name += char(c);
  unsigned sizes[6], seed;
  uint64_t shared, count;
  read(sizes, sizeof sizes), read(&seed, 4), read(&shared, 8), read(&count, 8);
  std::vector<void*> memory(count), arguments(count);
  std::vector<uint64_t> kind(count), bytes(count);
  for (size_t i = 0; i < count; i++) {
    read(&kind[i], 8), read(&bytes[i], 8);
    memory[i] = aligned_alloc(256, (bytes[i] + 255) / 256 * 256);
#if defined(__SANITIZE_ADDRESS__)
    free(memory[i]);
    memory[i] = malloc(bytes[i] + !bytes[i]);
#endif
    read(memory[i], bytes[i]);
    arguments[i] = kind[i] ? (void*)&memory[kind[i] - 1] : memory[i];
  }
  fclose(job);
  __sanitizer_set_death_callback(say_where);
  for (const Entry* e = mg_kernels; e->name; e++) {
    if (name != e->name) continue;
    if (e->launch(sizes, shared, seed, arguments.data())) return fprintf(stderr, "MG_ERROR %s\n", mg_error()), 3;
    FILE* out = fopen(words[1], "wb");
    if (!out) return perror(words[1]), 70;
    for (size_t i = 0; i < count; i++)
      if (kind[i]) fwrite(*(void**)arguments[i], 1, bytes[i], out);
    return fclose(out) ? 70 : 0;
  }
  return fprintf(stderr, "no kernel %s\n", name.c_str()), 70;
}
