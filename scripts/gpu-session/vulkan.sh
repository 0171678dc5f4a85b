# Makes Vulkan's loader and a card's driver be found where a machine for computing alone has neither at its usual place.

if ! ldconfig -p 2>/dev/null | grep -q 'libvulkan\.so\.1' && [ -f lib/libvulkan.so.1 ]; then
  export LD_LIBRARY_PATH="$PWD/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
fi

# Names the driver of a machine whose driver lies in a folder of its own, as in containers; the first that is found.
use_driver_elsewhere() {
  local file
  [ -z "${VK_DRIVER_FILES-}" ] || return 1
  for file in /usr/local/*/share/vulkan/icd.d/*.json /usr/local/*/vulkan/icd.d/*.json /opt/*/share/vulkan/icd.d/*.json; do
    [ -f "$file" ] || continue
    export VK_DRIVER_FILES=$file
    return 0
  done
  return 1
}
