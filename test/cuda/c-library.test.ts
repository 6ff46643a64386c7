// libba_sam_attention.so as others use it, built against the emulation: its symbols, a C89 program, PyTorch through ctypes.
// c_api_test.cpp has the hostile arguments.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildEmulatedAttention } from '../../scripts/cuda-emulated-build.mts';

const ROOT = path.join(__dirname, '..', '..');
const TEN_MINUTES = 600_000;
const scratch = mkdtempSync(path.join(os.tmpdir(), 'ba-sam-c-'));
afterAll(() => rmSync(scratch, { recursive: true }));

function run(command: string, args: string[]) {
  const result = spawnSync(command, args, { cwd: ROOT, encoding: 'utf8' });
  return { status: result.status, out: `${result.stdout}${result.stderr}`.trim() };
}

const PROGRAM = `
#include <stdio.h>
#include <string.h>
#include "c_api.h"
int main(void) {
  BaSamAttention a;
  memset(&a, 0, sizeof a);
  a.struct_bytes = sizeof a;
  if (ba_sam_attention_workspace_bytes(&a) != BA_SAM_INVALID) return 1;
  puts(ba_sam_last_error());
  a.batch = a.heads = a.q_tokens = a.k_tokens = 1;
  a.head_dim = 64;
  a.out_token_stride = a.q_token_stride = a.k_token_stride = a.v_token_stride = 64;
  a.scale = 0.125f;
  if (ba_sam_attention_workspace_bytes(&a) == BA_SAM_INVALID) return 2;
  if (ba_sam_attention_forward(NULL, NULL, NULL, NULL, &a, NULL, 0, NULL) != BA_SAM_INVALID_ARGUMENT) return 3;
  puts(ba_sam_last_error());
  return 0;
}
`;

const torch = run('python3', ['-c', 'import torch']).status === 0;

describe('libba_sam_attention', () => {
  let library: string;
  beforeAll(async () => {
    library = await buildEmulatedAttention();
  }, TEN_MINUTES);

  it('shows its own symbols only', () => {
    const { out } = run('nm', ['-D', '--defined-only', library]);
    const names = out.split('\n').map((line) => line.split(' ').at(-1));
    expect(names.filter((name) => !name?.startsWith('ba_sam_'))).toEqual([]);
    for (const name of ['version', 'last_error', 'attention_workspace_bytes', 'attention_forward']) {
      expect(names).toContain(`ba_sam_${name}`);
    }
  });

  it('is used from C89', () => {
    const source = path.join(scratch, 'program.c');
    const program = path.join(scratch, 'program');
    writeFileSync(source, PROGRAM);
    const flags = ['-std=c89', '-pedantic', '-Wall', '-Wextra', '-Werror', '-Inative/backends/cuda'];
    const compiled = run('gcc', [
      ...flags,
      source,
      library,
      `-Wl,-rpath,${path.dirname(library)}`,
      '-o',
      program,
    ]);
    expect(compiled.out).toBe('');
    const { status, out } = run(program, []);
    expect(status).toBe(0);
    expect(out.split('\n')).toEqual([
      'Expected integer between 1 and 1048576 for batch but received 0',
      'Expected device pointer for out but received null',
    ]);
  });

  it.skipIf(!torch)('agrees with PyTorch through ctypes', { timeout: TEN_MINUTES }, () => {
    const script = ['bench/peers/attention.py', '--device', 'cpu', '--library', library, '--quick'];
    const { status, out } = run('python3', script);
    expect(out).toMatch(/^1\d passed, 0 failed$/m);
    expect(status).toBe(0);
  });
});
