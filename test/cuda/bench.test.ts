// `ba-sam bench --device cuda`: what rows say about a GPU, and nothing about speed. BA_SAM_TEST_CUDA_ADDON names the addon,
// as in golden.test.ts; without it everything here is skipped, and said to be.
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { baSam, temporaryFolder } from '../cli/run';

const ADDON = process.env.BA_SAM_TEST_CUDA_ADDON;
/** Emulated, a second of a GPU is minutes. */
const TIMEOUT = 600_000;
const folder = temporaryFolder();

if (!ADDON) console.warn('test/cuda/bench.test.ts: skipped, BA_SAM_TEST_CUDA_ADDON names no addon');

describe.skipIf(!ADDON)('ba-sam bench on CUDA', () => {
  /** The only row of a benchmark, from the file with the card's name. */
  async function measured(benchmark: string, args: string[]) {
    const env = { BA_SAM_CUDA_ADDON: path.resolve(ADDON!) };
    const common = ['--device', 'cuda', '--gemm', '32', '--runs', '2', '--results', folder];
    const { status, stderr } = await baSam(['bench', benchmark, ...common, ...args], { env });
    expect({ status, stderr }).toEqual({ status: 0, stderr: expect.stringContaining('Wrote ') });
    const [name, ...others] = readdirSync(folder).filter((one) => one.includes(`-bench-${benchmark}`));
    expect(others).toEqual([]);
    const { machine, rows } = JSON.parse(readFileSync(path.join(folder, name), 'utf8'));
    const slug = machine.gpu.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');
    expect(name).toMatch(new RegExp(`^\\d{4}-\\d\\d-\\d\\d-bench-${benchmark}-${slug}\\.json$`));
    expect(machine).toMatchObject({
      backend: 'cuda',
      compute_capability: expect.stringMatching(/^\d+\.\d$/),
    });
    expect(machine.device_memory_gb).toBeGreaterThan(0);
    expect(JSON.stringify(machine)).not.toContain('/');
    expect(rows).toHaveLength(1);
    expect(rows[0]).toMatchObject({ device: 'cuda:0', runs: 2 });
    return rows[0];
  }

  it('attention', { timeout: TIMEOUT }, async () => {
    const row = await measured('attention', [
      ...['--grids', '8x8', '--heads', '2', '--biases', 'rel+manhattan', '--dtypes', 'f16'],
    ]);
    expect(row.against_none).toBeGreaterThan(0);
    // qkv and output alone: 64 · (3 + 1) · 128 values of 2 bytes.
    expect(row.peak_device_mb).toBeGreaterThan((64 * 4 * 128 * 2) / 2 ** 20);
  });

  it('encoder', { timeout: TIMEOUT }, async () => {
    const row = await measured('encoder', ['--sizes', '16', '--dtypes', 'bf16']);
    expect(row.device_ms).toBeGreaterThan(0);
    expect(row.transfer_ms).toBeGreaterThan(0);
    expect(row.transfer_ms).toBeLessThan(row.ms);
    const sum = Object.values(row.ops_ms as Record<string, number>).reduce((a, b) => a + b, 0);
    expect(sum / row.device_ms).toBeCloseTo(1, 0);
    // ViT-B's 85 million matrix entries in 2 bytes.
    expect(row.peak_device_mb).toBeGreaterThan(160);
    expect(row.peak_device_mb).toBeLessThan(1000);
  });

  it('decoder', { timeout: TIMEOUT }, async () => {
    const row = await measured('decoder', ['--grids', '4x4', '--prompts', 'point+mask']);
    expect(row.ops_ms).toMatchObject({ linear: expect.any(Number), upsampleMasks: expect.any(Number) });
    // 4 million parameters in f32.
    expect(row.peak_device_mb).toBeGreaterThan(15);
  });
});
