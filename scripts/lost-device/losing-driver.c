// A Vulkan driver that hands everything to another one, whose library REAL_DRIVER names, as long as two files are not
// there. Where LOSE_DEVICE is, each submission answers that the device is lost, as after a reset of the GPU, or with LOSE_ONCE
// only the first one; where NO_MEMORY is, the device has none left. With MEMORY_LIMIT it has so many bytes, as a small card
// has, and refuses what goes beyond.
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef void (*Function)(void);
typedef Function (*Lookup)(void *object, const char *name);
typedef int32_t (*Negotiate)(uint32_t *version);
typedef int32_t (*Submit)(void *queue, uint32_t count, const void *submits, void *fence);
typedef struct { int32_t type; const void *next; uint64_t size; uint32_t kind; } AllocateInfo;
typedef int32_t (*Allocate)(void *device, const AllocateInfo *info, const void *callbacks, uint64_t *memory);
typedef void (*Release)(void *device, uint64_t memory, const void *callbacks);

enum { OUT_OF_DEVICE_MEMORY = -2, DEVICE_LOST = -4 };

static Lookup device_lookup;
static Submit submit;
static Allocate allocate;
static Release release;

/** What is allocated, for MEMORY_LIMIT. */
static struct { uint64_t memory, size; } held[4096];
static uint64_t in_use;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *real(const char *name) {
  static void *library;
  if (!library) library = dlopen(getenv("REAL_DRIVER"), RTLD_NOW | RTLD_LOCAL);
  return library ? dlsym(library, name) : 0;
}

static int is_there(const char *variable) {
  const char *file = getenv(variable);
  return file && access(file, F_OK) == 0;
}

static int32_t losing_submit(void *queue, uint32_t count, const void *submits, void *fence) {
  static int losses;
  if (is_there("LOSE_DEVICE") && !(getenv("LOSE_ONCE") && losses++)) return DEVICE_LOST;
  return submit(queue, count, submits, fence);
}

/** Notes that `memory` is `size` bytes, or with 0 that it is no more. */
static void note(uint64_t memory, uint64_t size) {
  for (int i = 0; i < 4096; i++) {
    if (held[i].memory != (size ? 0 : memory)) continue;
    in_use += size - held[i].size;
    held[i].memory = size ? memory : 0;
    held[i].size = size;
    return;
  }
}

static int32_t failing_allocate(void *device, const AllocateInfo *info, const void *callbacks, uint64_t *memory) {
  if (is_there("NO_MEMORY")) return OUT_OF_DEVICE_MEMORY;
  const char *limit = getenv("MEMORY_LIMIT");
  if (!limit) return allocate(device, info, callbacks, memory);
  pthread_mutex_lock(&lock);
  int32_t result = OUT_OF_DEVICE_MEMORY;
  if (in_use + info->size <= strtoull(limit, 0, 10)) {
    result = allocate(device, info, callbacks, memory);
    if (result == 0) note(*memory, info->size);
  }
  pthread_mutex_unlock(&lock);
  return result;
}

static void counting_release(void *device, uint64_t memory, const void *callbacks) {
  pthread_mutex_lock(&lock);
  if (memory) note(memory, 0);
  pthread_mutex_unlock(&lock);
  release(device, memory, callbacks);
}

static Function losing_device_lookup(void *device, const char *name) {
  Function found = device_lookup(device, name);
  if (found && strcmp(name, "vkQueueSubmit") == 0) {
    submit = (Submit)found;
    return (Function)losing_submit;
  }
  if (found && strcmp(name, "vkAllocateMemory") == 0) {
    allocate = (Allocate)found;
    return (Function)failing_allocate;
  }
  if (found && strcmp(name, "vkFreeMemory") == 0) {
    release = (Release)found;
    return (Function)counting_release;
  }
  return found;
}

Function vk_icdGetInstanceProcAddr(void *instance, const char *name) {
  Function found = ((Lookup)real("vk_icdGetInstanceProcAddr"))(instance, name);
  if (!found || strcmp(name, "vkGetDeviceProcAddr") != 0) return found;
  device_lookup = (Lookup)found;
  return (Function)losing_device_lookup;
}

Function vk_icdGetPhysicalDeviceProcAddr(void *instance, const char *name) {
  Lookup lookup = (Lookup)real("vk_icdGetPhysicalDeviceProcAddr");
  return lookup ? lookup(instance, name) : 0;
}

int32_t vk_icdNegotiateLoaderICDInterfaceVersion(uint32_t *version) {
  Negotiate negotiate = (Negotiate)real("vk_icdNegotiateLoaderICDInterfaceVersion");
  return negotiate ? negotiate(version) : 0;
}
