// Holds the prebuild to the oldest system that the package promises: the glibc of package.json's "binary", and of g++'s runtime what
// systems with that glibc have. The addon itself brings the runtime. Run after `npm run prebuildify` and before publishing.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { root } from './native-sources.mjs';

/** Of GCC 11, which comes with glibc 2.34 in RHEL 9 and Amazon Linux 2023. */
const RUNTIME = { GLIBCXX: '3.4.29', CXXABI: '1.3.13', GCC: '11.0' };

/** Versions of symbols that a file asks other libraries for: [['GLIBC', '2.34'], …]. */
export function demands(file) {
  const listing = execFileSync('objdump', ['-p', file], { encoding: 'utf8' });
  const [, needed = ''] = listing.split('Version References:');
  return [...needed.matchAll(/ ([A-Z]+)_([\d.]+)$/gm)].map(([, name, version]) => [name, version]);
}

/**
 * What a prebuild asks for beyond the floor, a line each.
 *
 * @param {string} folder
 * @param {string} glibc
 * @returns {string[]}
 */
export function aboveFloor(folder, glibc) {
  const floor = { GLIBC: glibc, ...RUNTIME };
  const newer = (a, b) => a.localeCompare(b, 'en', { numeric: true }) > 0;
  return readdirSync(folder)
    .filter((name) => /\.node$|\.so\.\d/.test(name))
    .flatMap((name) =>
      demands(path.join(folder, name))
        .filter(([part, version]) => {
          if (!(part in floor)) return false; // of a library that is beside the addon
          const brought = name.endsWith('.node') && /^(GLIBCXX|CXXABI)$/.test(part);
          return brought || newer(version, floor[part]);
        })
        .map(([part, version]) => `${name} needs ${part}_${version}`),
    );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const folder = path.join(root, 'prebuilds', `${process.platform}-${process.arch}`);
  const { glibc } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')).binary;
  const faults = existsSync(folder)
    ? aboveFloor(folder, glibc)
    : [`${folder} is not there: npm run prebuildify`];
  for (const fault of faults) console.error(`ba-sam: ${fault}`);
  if (faults.length > 0) process.exit(1);
  console.log(`the prebuild needs glibc ${glibc} or later`);
}
