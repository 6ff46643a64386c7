// The scripts around the CUDA build: what they say where something is missing, what the check of machine code finds, and
// that the command for GPU machines knows its files and the schedules of the kernel for sm_90a. The compiler's part is skipped without nvcc.
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';

const ROOT = path.join(__dirname, '..', '..');
const scratch = mkdtempSync(path.join(os.tmpdir(), 'ba-sam-build-'));
afterAll(() => rmSync(scratch, { recursive: true }));

function run(command: string, args: string[], env: NodeJS.ProcessEnv = {}) {
  const result = spawnSync(command, args, { cwd: ROOT, encoding: 'utf8', env: { ...process.env, ...env } });
  return { status: result.status, out: result.stdout.trim(), error: result.stderr.trim() };
}
const script = (name: string, args: string[] = [], env: NodeJS.ProcessEnv = {}) =>
  run(process.execPath, ['--import', 'jiti/register', path.join('scripts', name), ...args], env);

/** An nvcc of any version that does nothing. */
function fakeNvcc(version: string): string {
  const file = path.join(scratch, `nvcc-${version}`);
  writeFileSync(
    file,
    `#!/bin/sh\n[ "$1" = --version ] && echo "Cuda compilation tools, release ${version}, V${version}.1"\n`,
  );
  chmodSync(file, 0o755);
  return file;
}

describe('npm run build:cuda', () => {
  it.each([
    ['a CUDACXX that is not there', { CUDACXX: '/nowhere/nvcc' }, 'CUDACXX names /nowhere/nvcc'],
    ['a CUDA_HOME that is not there', { CUDACXX: '', CUDA_HOME: '/nowhere' }, 'CUDA_HOME names /nowhere'],
  ])('says in one line about %s', (_name, env, text) => {
    const { status, error } = script('build-cuda.mts', [], env);
    expect(status).toBe(1);
    expect(error.split('\n')).toHaveLength(1);
    expect(error).toContain(text);
  });

  it('says in one line that the toolkit is too old', () => {
    const { status, error } = script('build-cuda.mts', [], { CUDACXX: fakeNvcc('12.3') });
    expect(status).toBe(1);
    expect(error).toMatch(/^ba-sam: CUDA 12\.4 or later is needed but \S+ is of 12\.3\.$/);
  });

  it('says in one line which architectures there are', () => {
    const { status, error } = script('build-cuda.mts', ['--arch', '80'], { CUDACXX: fakeNvcc('13.0') });
    expect(status).toBe(1);
    expect(error).toMatch(/^ba-sam: expected some of .* for --arch \(CUDA 13\.0\) but received 80$/);
  });
});

const hasNvcc = ['nvcc', '/usr/local/cuda/bin/nvcc'].some(
  (nvcc) => spawnSync(nvcc, ['--version']).status === 0,
);

describe('npm run check:cuda', () => {
  it('counts kernels as skipped without nvcc', () => {
    const { status, out } = script('check-cuda-kernels.mts', ['--source', 'test/cuda/bad_kernels.cu'], {
      CUDACXX: '/nowhere/nvcc',
    });
    expect(status).toBe(0);
    expect(out.split('\n').at(-1)).toBe('0 passed, 0 failed, 6 skipped');
  });

  it.skipIf(!hasNvcc)(
    'finds local memory, spills, frames, and products without tensor cores',
    {
      timeout: 300_000,
    },
    () => {
      const args = ['--arch', '80,90', '--source', 'test/cuda/bad_kernels.cu'];
      const { status, out, error } = script('check-cuda-kernels.mts', args);
      expect(status).toBe(1);
      expect(out.split('\n').at(-1)).toBe('2 passed, 8 failed');
      for (const code of [80, 90]) {
        expect(error).toMatch(
          new RegExp(`with_local_array for sm_${code}: a stack frame .*local memory: [1-9]`),
        );
        expect(error).toMatch(new RegExp(`with_spills for sm_${code}: spills [1-9]`));
        expect(error).toMatch(new RegExp(`with_a_call for sm_${code}: a stack frame`));
        expect(error).toMatch(new RegExp(`slow_mma for sm_${code}: no tensor-core instruction`));
      }
      expect(error).not.toContain('innocent');
    },
  );
});

describe.skipIf(run('python3', ['--version']).status !== 0)('scripts/gpu-check.sh', () => {
  it('lists what would run without a GPU', { timeout: 120_000 }, () => {
    const { status, out } = run('scripts/gpu-check.sh', ['--dry-run']);
    const lines = out.split('\n');
    expect(status).toBe(0);
    const skipped = lines.filter((line) => line.startsWith('skipped'));
    expect(skipped.length).toBeGreaterThan(15);
    expect(lines.at(-1)).toBe(`0 passed, 0 failed, ${skipped.length} skipped`);
    expect(skipped).toHaveLength(lines.length - 2);
  });
});

describe('the schedules for sm_90a', () => {
  const text = (file: string) => readFileSync(path.join(ROOT, file), 'utf8');
  const header = text('native/ops/attention/cuda/hopper_attention.h');
  const table = header.match(/kHopperSchedules\[\] = \{(.*?)\n\};/s)![1]!;
  const rows = [...table.matchAll(/\{"([^"]+)", HopperSchedule::(\w+),\s+"([^"]+)"\}/g)].map(
    ([, name, schedule, purpose]) => ({ name, schedule, purpose }),
  );

  it('have a row each, in the order of the enumeration', () => {
    const [, names] = header.match(/enum class HopperSchedule \{(.*?)\}/s)!;
    expect(rows.map(({ schedule }) => schedule)).toEqual(names!.match(/\w+/g));
  });

  it('are all measured by gpu-check.sh', () => {
    const [, names] = text('scripts/gpu_steps.py').match(/^HOPPER_SCHEDULES = \((.*)\)$/m)!;
    expect([...names!.matchAll(/'([^']+)'/g)].map(([, name]) => name)).toEqual(rows.map(({ name }) => name));
  });

  it('are described in docs/cuda.md as in the table', () => {
    const described = [...text('docs/cuda.md').matchAll(/^\| `(hopper[^`]*)` \| ([^|]+) \|/gm)];
    expect(described.map(([, name, purpose]) => ({ name, purpose }))).toEqual(
      rows.map(({ name, purpose }) => ({ name, purpose })),
    );
  });

  it('have no other names in docs/cuda-attention.md', () => {
    const named = text('docs/cuda-attention.md').match(/(?<=`)hopper(-[a-z-]+)?(?=`)/g)!;
    expect(rows.map(({ name }) => name)).toEqual(expect.arrayContaining(named));
  });
});
