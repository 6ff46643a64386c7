// Finds oneDNN for every build of native code. Prints one value for the flag given: --include, --lib (linker flags) or
// --root. Exits 1 with one clear line when it is missing. ONEDNN_ROOT names an installation outside the system's folders.
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const SYSTEM = ['/usr', '/usr/local'];

/** { root, include, libraryDir?, linkFlags }; libraryDir only outside the linker's own folders. */
export function findOneDnn(env = process.env) {
  const roots = env.ONEDNN_ROOT ? [env.ONEDNN_ROOT] : [...SYSTEM, '/opt/intel/oneapi/dnnl/latest'];
  const root = roots.find((dir) => existsSync(path.join(dir, 'include/oneapi/dnnl/dnnl.hpp')));
  if (!root) {
    throw new Error(
      `ba-sam: oneDNN was not found in ${roots.join(', ')}. ` +
        'Install it (Debian, Ubuntu: sudo apt-get install libdnnl-dev), or set ONEDNN_ROOT.',
    );
  }
  const include = path.join(root, 'include');
  if (SYSTEM.includes(root)) return { root, include, linkFlags: ['-ldnnl'] };
  const isLibrary = (name) => /^libdnnl\.so/.test(name);
  const libraryDir = ['lib', 'lib64', 'lib/x86_64-linux-gnu', 'lib/aarch64-linux-gnu']
    .map((dir) => path.join(root, dir))
    .find((dir) => existsSync(dir) && readdirSync(dir).some(isLibrary));
  if (!libraryDir) {
    throw new Error(`ba-sam: ${root} has oneDNN's headers but no lib/libdnnl.so (ONEDNN_ROOT).`);
  }
  return { root, include, libraryDir, linkFlags: [`-L${libraryDir}`, `-Wl,-rpath,${libraryDir}`, '-ldnnl'] };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    const found = findOneDnn();
    const flag = process.argv[2];
    console.log(
      flag === '--include' ? found.include : flag === '--root' ? found.root : found.linkFlags.join(' '),
    );
  } catch (error) {
    console.error(error.message);
    process.exit(1);
  }
}
