# The CPU addon for node-gyp. Sources and flags are those of native/build.options, shared with CMakeLists.txt.
{
  "targets": [
    {
      "target_name": "ba_sam",
      "sources": ["<!@(node scripts/native-sources.mjs cpu-addon)"],
      "include_dirs": [
        "<!(node -p \"require('node-addon-api').include_dir\")",
        "<!(node scripts/find-onednn.mjs --include)"
      ],
      "defines": ["<!@(node scripts/native-sources.mjs --option addon-defines)"],
      # Node's own, which come before ours.
      "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-std=gnu++20", "-std=gnu++17"],
      "cflags_cc": ["<!@(node scripts/native-sources.mjs --option compile cpu-compile addon-compile)"],
      "libraries": ["<!(node scripts/find-onednn.mjs --lib)"],
      "ldflags": [
        "<!@(node scripts/native-sources.mjs --option cpu-link addon-link cpu-addon-link)",
        "-Wl,--version-script=../native/node/exports.map",
        "-Wl,-rpath,'$$ORIGIN'"
      ]
    }
  ]
}
