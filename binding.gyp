# The CPU addon for node-gyp. Sources are listed by scripts/native-sources.mjs, shared with CMakeLists.txt.
{
  "targets": [
    {
      "target_name": "ba_sam",
      "sources": ["<!@(node scripts/native-sources.mjs)"],
      "include_dirs": [
        "<!(node -p \"require('node-addon-api').include_dir\")",
        "<!(node scripts/find-onednn.mjs --include)"
      ],
      "defines": ["NAPI_VERSION=8", "NODE_ADDON_API_CPP_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED"],
      "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-std=gnu++20", "-std=gnu++17"],
      "cflags_cc": ["-std=c++17", "-O3", "-fexceptions", "-frtti", "-fopenmp", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-cast-function-type", "-Wno-maybe-uninitialized"],
      "libraries": ["<!(node scripts/find-onednn.mjs --lib)"],
      # DT_RPATH instead of DT_RUNPATH: it also holds for what oneDNN itself needs, so that a prebuild finds all of its
      # libraries beside it without any of them being patched.
      "ldflags": ["-fopenmp", "-Wl,--disable-new-dtags", "-Wl,-rpath,'$$ORIGIN'"]
    }
  ]
}
