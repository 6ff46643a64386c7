// The package as npm would publish it, unpacked into a fresh folder outside the repository.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

export const ROOT = path.join(__dirname, '..', '..');

export interface Consumer {
  /** A project of somebody else: node_modules/ba-sam is the unpacked tarball. */
  readonly folder: string;
  readonly packageFolder: string;
  /** Paths inside the tarball and their modes. */
  readonly files: readonly { path: string; size: number; mode: number }[];
  /** Size of the tarball in bytes. */
  readonly tarball_bytes: number;
  remove(): void;
}

/** Packs and unpacks; the dependencies are the repository's own, so that no network is needed. */
export function installPackage(): Consumer {
  const folder = mkdtempSync(path.join(tmpdir(), 'ba-sam-package-'));
  const output = execFileSync(
    'npm',
    ['pack', '--json', '--silent', '--ignore-scripts', '--pack-destination', folder],
    {
      cwd: ROOT,
      encoding: 'utf8',
      maxBuffer: 2 ** 26,
      stdio: ['ignore', 'pipe', 'ignore'],
    },
  );
  // npm 10 and 11 print a list, later ones an object by package name.
  const parsed = JSON.parse(output);
  const [packed] = (Array.isArray(parsed) ? parsed : Object.values(parsed)) as {
    filename: string;
    size: number;
    files: Consumer['files'];
  }[];
  const packageFolder = path.join(folder, 'node_modules', 'ba-sam');
  mkdirSync(packageFolder, { recursive: true });
  const tarball = path.join(folder, packed.filename);
  execFileSync('tar', ['-xzf', tarball, '-C', packageFolder, '--strip-components=1']);
  rmSync(tarball);
  const { dependencies } = JSON.parse(readFileSync(path.join(packageFolder, 'package.json'), 'utf8'));
  for (const name of [...Object.keys(dependencies), '@types']) {
    const link = path.join(folder, 'node_modules', name);
    mkdirSync(path.dirname(link), { recursive: true });
    symlinkSync(path.join(ROOT, 'node_modules', name), link);
  }
  writeFileSync(path.join(folder, 'package.json'), '{"private": true}\n');
  return {
    folder,
    packageFolder,
    files: packed.files,
    tarball_bytes: packed.size,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
