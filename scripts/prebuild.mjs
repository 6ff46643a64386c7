// Makes prebuilds/<platform>-<arch>/ with prebuildify: the addon, and beside it the libraries it needs that a machine may
// not have (oneDNN, libgomp and what those need), with their licences. The addon's rpath is $ORIGIN.
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { promisify } from 'node:util';
import { localHeaders } from './build-native.mjs';
import { findOneDnn } from './find-onednn.mjs';
import { root } from './native-sources.mjs';

const prebuildify = promisify(createRequire(import.meta.url)('prebuildify'));

/** What every system with glibc and Node.js has. Everything else is bundled. */
const EVERYWHERE = /^(linux-vdso|ld-linux.*|libc|libm|libdl|librt|libpthread|libstdc\+\+|libgcc_s)\.so/;

// prebuildify rebuilds from scratch and moves the result away; in a folder of its own that leaves build/ alone.
function stage() {
  const folder = path.join(root, '.cache/prebuild');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const name of ['package.json', 'binding.gyp', 'native', 'scripts']) {
    cpSync(path.join(root, name), path.join(folder, name), { recursive: true });
  }
  symlinkSync(path.join(root, 'node_modules'), path.join(folder, 'node_modules'));
  return folder;
}

/** [soname, path] of the libraries to bundle. */
function libraries(addon) {
  const lines = execFileSync('ldd', [addon], { encoding: 'utf8' }).split('\n');
  return lines
    .map((line) => line.match(/^\s*(\S+) => (\/\S+)/))
    .filter((match) => match && !EVERYWHERE.test(match[1]))
    .map(([, soname, file]) => [soname, realpathSync(file)]);
}

/** Debian keeps each package's licence in /usr/share/doc; elsewhere the packager has to add it. */
function copyLicence(file, target) {
  const owner = [file, file.replace(/^\/usr\//, '/')].map((candidate) => {
    try {
      return execFileSync('dpkg', ['-S', candidate], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      });
    } catch {
      return '';
    }
  });
  const name = owner.join('').split(':')[0];
  const licence = path.join('/usr/share/doc', name, 'copyright');
  if (name && existsSync(licence)) cpSync(realpathSync(licence), target);
  else console.warn(`prebuild: no licence was found for ${file}; add one before you publish`);
}

findOneDnn();
const out = path.join(root, 'prebuilds', `${process.platform}-${process.arch}`);
rmSync(out, { recursive: true, force: true });
const cwd = stage();
const headers = localHeaders();
if (headers) process.env.npm_config_nodedir ??= headers;
process.env.JOBS ??= 'max';
await prebuildify({
  cwd,
  out: root,
  napi: true,
  strip: true,
  tagLibc: true,
  targets: [`node@${process.versions.node}`],
});
const addon = path.join(
  out,
  readdirSync(out).find((name) => name.endsWith('.node')),
);
mkdirSync(path.join(out, 'licenses'), { recursive: true });
for (const [soname, file] of libraries(addon)) {
  cpSync(file, path.join(out, soname));
  copyLicence(file, path.join(out, 'licenses', `${soname}.txt`));
}
rmSync(cwd, { recursive: true, force: true });

for (const name of readdirSync(out)) {
  const size = statSync(path.join(out, name));
  if (size.isFile()) console.log(`${(size.size / 2 ** 20).toFixed(2).padStart(7)} MiB  ${name}`);
}
