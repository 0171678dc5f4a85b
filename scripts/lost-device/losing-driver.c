// A Vulkan driver that hands everything to another one, whose library REAL_DRIVER names, as long as two files are not
// there. Where LOSE_DEVICE is, each submission answers that the device is lost, as after a reset of the GPU; where NO_MEMORY
// is, the device has none left.
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef void (*Function)(void);
typedef Function (*Lookup)(void *object, const char *name);
typedef int32_t (*Negotiate)(uint32_t *version);
typedef int32_t (*Submit)(void *queue, uint32_t count, const void *submits, void *fence);
typedef int32_t (*Allocate)(void *device, const void *info, const void *callbacks, void *memory);

enum { OUT_OF_DEVICE_MEMORY = -2, DEVICE_LOST = -4 };

static Lookup device_lookup;
static Submit submit;
static Allocate allocate;

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
  return is_there("LOSE_DEVICE") ? DEVICE_LOST : submit(queue, count, submits, fence);
}

static int32_t failing_allocate(void *device, const void *info, const void *callbacks, void *memory) {
  return is_there("NO_MEMORY") ? OUT_OF_DEVICE_MEMORY : allocate(device, info, callbacks, memory);
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
