// Finds oneDNN for binding.gyp. Prints one value for the flag given: --include or --lib. Exits 1 with one clear line when
// it is missing. ONEDNN_ROOT names an installation outside the system's folders.
import { existsSync } from 'node:fs';
import path from 'node:path';

const roots = process.env.ONEDNN_ROOT ? [process.env.ONEDNN_ROOT] : ['/usr', '/usr/local', '/opt/intel/oneapi/dnnl/latest'];
const root = roots.find((dir) => existsSync(path.join(dir, 'include/oneapi/dnnl/dnnl.hpp')));
if (!root) {
  console.error(
    `ba-sam: oneDNN was not found in ${roots.join(', ')}. Install it: sudo apt-get install libdnnl-dev (or set ONEDNN_ROOT).`,
  );
  process.exit(1);
}
const system = root === '/usr' || root === '/usr/local';
if (process.argv[2] === '--include') console.log(path.join(root, 'include'));
else console.log(system ? '-ldnnl' : `-L${path.join(root, 'lib')} -Wl,-rpath,${path.join(root, 'lib')} -ldnnl`);
