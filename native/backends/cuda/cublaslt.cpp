// See cublaslt.h.
#include "cublaslt.h"

#include <dlfcn.h>

#include <atomic>
#include <cstdlib>
#include <mutex>
#include <vector>

namespace ba_sam::cuda::lt {
namespace {

std::atomic<const Library*> g_replacement{nullptr};

template <typename F>
bool load(void* handle, const char* name, F& function, std::string& missing) {
  function = reinterpret_cast<F>(dlsym(handle, name));
  if (!function && missing.empty()) missing = name;
  return function != nullptr;
}

// The name of the first function that `handle` lacks, or "".
std::string fill(void* handle, Library& l) {
  std::string missing;
  load(handle, "cublasLtGetVersion", l.version, missing);
  load(handle, "cublasLtGetStatusName", l.status_name, missing);
  load(handle, "cublasLtCreate", l.create, missing);
  load(handle, "cublasLtDestroy", l.destroy, missing);
  load(handle, "cublasLtMatmulDescCreate", l.desc_create, missing);
  load(handle, "cublasLtMatmulDescDestroy", l.desc_destroy, missing);
  load(handle, "cublasLtMatmulDescSetAttribute", l.desc_set, missing);
  load(handle, "cublasLtMatrixLayoutCreate", l.layout_create, missing);
  load(handle, "cublasLtMatrixLayoutDestroy", l.layout_destroy, missing);
  load(handle, "cublasLtMatrixLayoutSetAttribute", l.layout_set, missing);
  load(handle, "cublasLtMatmulPreferenceCreate", l.preference_create, missing);
  load(handle, "cublasLtMatmulPreferenceDestroy", l.preference_destroy, missing);
  load(handle, "cublasLtMatmulPreferenceSetAttribute", l.preference_set, missing);
  load(handle, "cublasLtMatmulAlgoGetHeuristic", l.heuristic, missing);
  load(handle, "cublasLtMatmul", l.matmul, missing);
  return missing;
}

std::vector<std::string> candidates() {
  if (const char* path = std::getenv("BA_SAM_CUBLASLT")) {
    if (*path) return {path};
  }
  std::vector<std::string> paths = {"libcublasLt.so.13", "libcublasLt.so.12"};
  std::vector<std::string> folders;
  for (const char* variable : {"CUDA_HOME", "CUDA_PATH"}) {
    const char* folder = std::getenv(variable);
    if (!folder || !*folder) continue;
    folders.push_back(std::string(folder) + "/lib64/");
    folders.push_back(std::string(folder) + "/lib/");  // pip's nvidia/cu13
  }
  folders.push_back("/usr/local/cuda/lib64/");
  for (const std::string& folder : folders) {
    for (const char* name : {"libcublasLt.so.13", "libcublasLt.so.12"}) paths.push_back(folder + name);
  }
  return paths;
}

std::string path_of(const Library& library, const std::string& otherwise) {
  Dl_info info;
  const bool known = dladdr(reinterpret_cast<void*>(library.matmul), &info) && info.dli_fname && *info.dli_fname;
  return known ? info.dli_fname : otherwise;
}

}  // namespace

Found find() {
  if (const Library* replacement = g_replacement.load()) return {replacement, "(replaced)", ""};

  static std::mutex mutex;
  static Library library;
  static Found found;
  const std::lock_guard<std::mutex> lock(mutex);
  if (found.library) return found;

  std::string tried;
  for (const std::string& path : candidates()) {
    tried += (tried.empty() ? "" : ", ") + path;
    void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
      // "cannot open shared object file" is what `tried` says already; a file that is there but does not load is news.
      const char* error = dlerror();
      const std::string text = error ? error : "";
      if (!text.empty() && text.find("cannot open shared object file") == std::string::npos) tried += " (" + text + ")";
      continue;
    }
    const std::string missing = fill(handle, library);
    if (missing.empty()) {
      found = {&library, path_of(library, path), ""};
      return found;
    }
    tried += " (it has no " + missing + ")";
    dlclose(handle);
  }
  return {nullptr, "",
          "cuBLASLt was not found, tried " + tried +
              "; install CUDA's cuBLAS (apt install libcublas-13-0 or pip install nvidia-cublas) and put its folder "
              "into LD_LIBRARY_PATH, or set BA_SAM_CUBLASLT to the file libcublasLt.so.13"};
}

void replace(const Library* library) {
  g_replacement = library;
}

}  // namespace ba_sam::cuda::lt
