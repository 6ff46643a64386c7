// Finds oneDNN for every build of native code. Prints one value for the flag given: --include, --lib (linker flags) or
// --root. Exits 1 with one clear line when it is missing. ONEDNN_ROOT names an installation outside the system's folders.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const SYSTEM = ['/usr', '/usr/local'];

/** Ubuntu 22.04 has 2.2. With 2.0, which Debian 11 has, an encode takes a thousand times as long. */
const OLDEST = [2, 2];

function versionOf(include) {
  const header = readFileSync(path.join(include, 'oneapi/dnnl/dnnl_version.h'), 'utf8');
  return ['MAJOR', 'MINOR'].map((part) =>
    Number(header.match(new RegExp(`DNNL_VERSION_${part} (\\d+)`))?.[1]),
  );
}

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
  const [major, minor] = versionOf(include);
  if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1])) {
    throw new Error(
      `ba-sam: oneDNN ${OLDEST.join('.')} or later is needed but ${root} has ${major}.${minor}. Install a later one and set ONEDNN_ROOT.`,
    );
  }
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
