{
  "targets": [
    {
      "target_name": "ba_sam",
      "sources": [
        "native/core/executor.cpp",
        "native/core/graph.cpp",
        "native/core/ops.cpp",
        "native/core/plan.cpp",
        "native/core/weights.cpp",
        "native/image/resize.cpp",
        "native/image/upsample_masks.cpp",
        "native/cpu/attention_ops.cpp",
        "native/cpu/backend.cpp",
        "native/cpu/encoding.cpp",
        "native/cpu/matrix.cpp",
        "native/cpu/packed_weights.cpp",
        "native/cpu/pointwise.cpp",
        "<!@(node -p \"require('fs').readdirSync('native/cpu/attention').filter((f) => f.endsWith('.cpp')).map((f) => 'native/cpu/attention/' + f).join(' ')\")",
        "native/node/addon.cpp",
        "native/node/async_task.cpp",
        "native/node/functions.cpp",
        "native/node/objects.cpp"
      ],
      "include_dirs": [
        "<!(node -p \"require('node-addon-api').include_dir\")",
        "<!(node scripts/find-onednn.mjs --include)"
      ],
      "defines": ["NAPI_VERSION=8", "NODE_ADDON_API_CPP_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED"],
      "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-std=gnu++20", "-std=gnu++17"],
      "cflags_cc": ["-std=c++17", "-O3", "-fexceptions", "-frtti", "-fopenmp", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-cast-function-type", "-Wno-maybe-uninitialized"],
      "libraries": ["<!(node scripts/find-onednn.mjs --lib)"],
      "ldflags": ["-fopenmp", "-Wl,-rpath,'$$ORIGIN'"]
    }
  ]
}
