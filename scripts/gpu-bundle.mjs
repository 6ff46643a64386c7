// Packs what gpu-check.sh can use on a machine with a GPU but without Node, npm and network into build/gpu-bundle.tar.xz:
//   node scripts/gpu-bundle.mjs [--build build-cuda]
// Node itself, dist/ with the modules that it loads, the CPU addon with oneDNN (it resizes images), the CUDA build with its
// native tests, and the demo picture as pixels, since sharp stays behind. Build first: npm run build && npm run build:cuda
// -- --arch 90 --tests.
import { execFileSync, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { root } from './native-sources.mjs';

const MODULES = ['commander', 'zod', 'yauzl', 'pend', 'buffer-crc32', 'node-gyp-build'];
const { values: args } = parseArgs({ options: { build: { type: 'string', default: 'build-cuda' } } });

const folder = path.join(root, 'build/gpu-bundle');
const inside = (name) => path.join(folder, name);
const release = path.resolve(root, args.build, 'Release');
const cpuAddon = path.join(root, 'build/Release/ba_sam.node');
for (const needed of [path.join(release, 'ba_sam_cuda.node'), path.join(root, 'dist/native.js'), cpuAddon]) {
  if (!existsSync(needed)) {
    console.error(`ba-sam: ${needed} is not there: npm run build && npm run build:cuda -- --arch 90 --tests`);
    process.exit(1);
  }
}

/** A copy without symbols where strip is to be had. */
function copyStripped(from, to) {
  copyFileSync(from, to);
  spawnSync('strip', ['--strip-unneeded', to]);
}

function copyBuilds() {
  mkdirSync(inside('build/Release/tests'), { recursive: true });
  for (const name of ['ba_sam_cuda.node', 'libba_sam_attention.so']) {
    copyStripped(path.join(release, name), inside(`build/Release/${name}`));
  }
  const tests = path.join(release, 'tests');
  for (const name of existsSync(tests) ? readdirSync(tests) : []) {
    copyStripped(path.join(tests, name), inside(`build/Release/tests/${name}`));
  }
  mkdirSync(inside('cpu'));
  copyFileSync(cpuAddon, inside('cpu/ba_sam.node'));
  for (const [, name, file] of execFileSync('ldd', [cpuAddon], { encoding: 'utf8' }).matchAll(
    /(\S+) => (\/\S+)/g,
  )) {
    if (/^lib(dnnl|gomp|OpenCL)/.test(name)) copyFileSync(file, inside(`cpu/${name}`));
  }
}

function copyLibrary() {
  cpSync(path.join(root, 'dist'), inside('dist'), {
    recursive: true,
    filter: (file) => !/\.(map|d\.m?ts)$/.test(file),
  });
  const isCode = (file) => statSync(file).isDirectory() || /\.(c?js|json)$/.test(file);
  for (const name of MODULES) {
    const from = path.join(root, 'node_modules', name);
    if (existsSync(from)) cpSync(from, inside(`node_modules/${name}`), { recursive: true, filter: isCode });
  }
  mkdirSync(inside('node_modules/sharp'));
  const refusal = "module.exports = () => { throw new Error('sharp is not part of this bundle'); };\n";
  writeFileSync(inside('node_modules/sharp/index.js'), refusal);
}

rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
copyStripped(process.execPath, inside('node'));
copyBuilds();
copyLibrary();
const sharp = createRequire(import.meta.url)('sharp');
const picture = sharp(path.join(root, 'examples/images/demo.png')).removeAlpha().raw();
const { data, info } = await picture.toBuffer({ resolveWithObject: true });
writeFileSync(inside('demo.rgb'), data);
writeFileSync(inside('pixels'), `${info.width},${info.height}`);
writeFileSync(inside('commit'), execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: root }));
const archive = `${folder}.tar.xz`;
execFileSync('tar', ['-cJf', archive, '-C', path.dirname(folder), path.basename(folder)], {
  env: { ...process.env, XZ_OPT: '-6 -T2' },
});
rmSync(folder, { recursive: true });
console.log(`${path.relative(root, archive)}: ${(statSync(archive).size / 2 ** 20).toFixed(1)} MiB`);
