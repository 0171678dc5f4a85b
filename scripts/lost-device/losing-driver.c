// A Vulkan driver that hands everything to another one, until a file is there: then each submission answers that the
// device is lost, as after a reset of the GPU. REAL_DRIVER names the other driver's library, LOSE_DEVICE the file.
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef void (*Function)(void);
typedef Function (*Lookup)(void *object, const char *name);
typedef int32_t (*Negotiate)(uint32_t *version);
typedef int32_t (*Submit)(void *queue, uint32_t count, const void *submits, void *fence);

enum { DEVICE_LOST = -4 };

static Lookup device_lookup;
static Submit submit;

static void *real(const char *name) {
  static void *library;
  if (!library) library = dlopen(getenv("REAL_DRIVER"), RTLD_NOW | RTLD_LOCAL);
  return library ? dlsym(library, name) : 0;
}

static int32_t losing_submit(void *queue, uint32_t count, const void *submits, void *fence) {
  const char *file = getenv("LOSE_DEVICE");
  return file && access(file, F_OK) == 0 ? DEVICE_LOST : submit(queue, count, submits, fence);
}

static Function losing_device_lookup(void *device, const char *name) {
  Function found = device_lookup(device, name);
  if (!found || strcmp(name, "vkQueueSubmit") != 0) return found;
  submit = (Submit)found;
  return (Function)losing_submit;
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
