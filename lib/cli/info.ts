// `ba-sam info [MODEL]`: what this machine can do, and what a checkpoint is.
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import path from 'node:path';
import type { CudaInfo } from '../addon';
import { openSamCheckpoint } from '../checkpoint/keys';
import { extendedModel } from '../checkpoint/relatives';
import { backends } from '../device';
import { describe, visible } from '../errors';
import type { SamConfig } from '../model/config';
import { describeEncoder } from '../model/families';
import { cudaStatus, nativeStatus } from '../native';
import { type CheckpointOptions, checkpointOf } from '../options/checkpoint';
import { infoCommandShape } from '../options/commands';
import { readText } from '../options/text';
import { filePath } from '../options/validate';
import { visibleLines } from './errors';
import { optionsOf, type Texts } from './flags';

/** Extensions that a kernel of this package or of oneDNN can use, as Linux names them. */
const FEATURE =
  /^(sse4_2|avx|avx2|fma|f16c|avx_vnni|avx512\w+|amx_\w+|asimd|asimdhp|asimddp|sve2?|bf16|i8mm)$/;

/** Names of tensors in a line for people; all of them are in the JSON. */
const SHOWN_NAMES = 20;

/**
 * Runs the command.
 *
 * @param model path of a checkpoint
 * @param texts what commander hands over
 * @throws SamError when the model cannot be read or is no SAM
 */
export async function info(model: string | undefined, texts: Texts): Promise<void> {
  const options = optionsOf(infoCommandShape, texts);
  if (model !== undefined) readText(filePath, model, 'MODEL');
  const { version } = JSON.parse(
    readFileSync(path.join(path.dirname(path.dirname(__dirname)), 'package.json'), 'utf8'),
  ) as { version: string };
  const status = nativeStatus();
  const report: Report = {
    version,
    node: process.version,
    backends: backends(),
    processor: { name: cpus()[0]?.model.trim() || 'unknown', features: await features() },
    cpu: status.addon
      ? (({ isa, supportedIsas, threads, oneDNN, bf16UnavailableReason }) => ({
          isa,
          supportedIsas,
          threads,
          oneDNN,
          dtypes: bf16UnavailableReason ? ['f32'] : ['f32', 'bf16'],
          ...(bf16UnavailableReason && { bf16UnavailableReason }),
        }))(status.addon.info())
      : null,
    cuda: cudaStatus().addon?.info() ?? null,
    ...(model !== undefined && { model: await describeModel(model, checkpointOf(options)) }),
  };
  process.stdout.write(
    options.json
      ? visibleLines(`${JSON.stringify(report, null, 2)}\n`)
      : text(report, options.ignoreUnknownTensors ?? false),
  );
}

// Only Linux tells; elsewhere the list is empty.
async function features(): Promise<string[]> {
  const text = await readFile('/proc/cpuinfo', 'utf8').catch(() => '');
  const flags = /^(?:flags|Features)\s*:(.*)$/m.exec(text)?.[1] ?? '';
  return flags.split(/\s+/).filter((flag) => FEATURE.test(flag));
}

async function describeModel(file: string, options: CheckpointOptions) {
  // Unknown tensors are what is to be seen here: they are listed, not refused.
  const checkpoint = await openSamCheckpoint(file, { ...options, ignoreUnknownTensors: true });
  try {
    let parameters = 0;
    for (const { shape } of checkpoint.tensors.values()) parameters += shape.reduce((a, b) => a * b, 1);
    const dtypes = [...new Set([...checkpoint.tensors.values()].map(({ dtype }) => dtype))];
    const { format } = checkpoint.source;
    return {
      file,
      format,
      naming: checkpoint.naming,
      dtypes,
      parameters,
      ignored: checkpoint.ignored.length,
      ignoredTensors: checkpoint.ignored,
      unknownTensors: checkpoint.unknown,
      /** What it is besides a SAM, where that is known. */
      extension: (await extendedModel(checkpoint.source.tensors.keys())) ?? null,
      config: checkpoint.config,
    };
  } finally {
    await checkpoint.close();
  }
}

type Report = {
  version: string;
  node: string;
  backends: ReturnType<typeof backends>;
  processor: { name: string; features: string[] };
  cpu: {
    isa: string;
    supportedIsas: readonly string[];
    threads: number;
    oneDNN: string;
    dtypes: string[];
    bf16UnavailableReason?: string;
  } | null;
  /** Null without the CUDA addon. */
  cuda: CudaInfo | null;
  model?: Awaited<ReturnType<typeof describeModel>>;
};

function text(
  { version, node, backends: list, processor, cpu, cuda, model }: Report,
  ignoreUnknown: boolean,
): string {
  const rows: [string, string][] = [['ba-sam', `${version} on Node.js ${node}`]];
  for (const { backend, available, reason } of list) {
    rows.push([backend, available ? 'available' : `unavailable: ${reason}`]);
  }
  rows.push(['processor', processor.name]);
  if (processor.features.length > 0) rows.push(['features', processor.features.join(' ')]);
  if (cpu) {
    rows.push(['instructions', `${cpu.isa} (supported: ${cpu.supportedIsas.join(', ')})`]);
    rows.push([
      'dtypes',
      cpu.dtypes.join(', ') + (cpu.bf16UnavailableReason ? ` (${cpu.bf16UnavailableReason})` : ''),
    ]);
    rows.push(['threads', String(cpu.threads)]);
    rows.push(['oneDNN', cpu.oneDNN]);
  }
  if (cuda) rows.push(...cudaRows(cuda));
  if (model) rows.push(...modelRows(model, model.config, ignoreUnknown));
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${visible(value)}\n`).join('');
}

function cudaRows({ driver, runtime, cublasLt, devices }: CudaInfo): [string, string][] {
  const gib = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  return [
    ['CUDA', `built with ${runtime || 'no runtime'}, driver for ${driver || 'none'}`],
    ['cuBLASLt', 'reason' in cublasLt ? cublasLt.reason : `${cublasLt.version} from ${cublasLt.path}`],
    ...devices.map((device): [string, string] => [
      `cuda:${device.index}`,
      `${device.name}, compute capability ${device.computeCapability}, ${gib(device.freeBytes)} of ` +
        `${gib(device.memoryBytes)} free${device.reason ? ` (cannot be used: ${device.reason})` : ''}`,
    ]),
  ];
}

function modelRows(
  model: NonNullable<Report['model']>,
  config: SamConfig,
  ignoreUnknown: boolean,
): [string, string][] {
  const { decoder } = config;
  return [
    ['model', model.file],
    [
      'format',
      `${model.format}, ${model.naming} keys, ${model.dtypes.join(' and ')}, ${model.ignored} tensors ignored`,
    ],
    ['parameters', `${(model.parameters / 1e6).toFixed(1)} M`],
    ...describeEncoder(config).map(([name, text]): [string, string] => [name, text]),
    ['trained at', `${config.trainedSide_px} px (${config.trainedGrid} × ${config.trainedGrid} tokens)`],
    [
      'decoder',
      decoder
        ? `${decoder.depth} layers, ${decoder.dim} channels, ${decoder.maskTokens} mask tokens${decoder.hq ? ' and that of SAM-HQ' : ''}`
        : 'none: encoder only',
    ],
    ...ignoredRows(model, ignoreUnknown),
  ];
}

function ignoredRows(
  { ignoredTensors, unknownTensors, extension }: NonNullable<Report['model']>,
  ignoreUnknown: boolean,
): [string, string][] {
  const unknown = new Set(unknownTensors);
  const others = ignoredTensors.filter((name) => !unknown.has(name));
  const rows: [string, string][] = [];
  if (others.length > 0) rows.push(['ignored', named(others)]);
  if (unknown.size > 0) {
    const what = extension ? `this is ${extension}; ` : '';
    const refused = ignoreUnknown ? '' : '; it loads only with --ignore-unknown';
    rows.push(['unknown', `${what}${named(unknownTensors)}${refused}`]);
  }
  return rows;
}

function named(names: readonly string[]): string {
  const shown = names.slice(0, SHOWN_NAMES).map((name) => describe(name));
  const more = names.length > shown.length ? ` and ${names.length - shown.length} more (all in --json)` : '';
  return `${names.length === 1 ? '1 tensor' : `${names.length} tensors`}: ${shown.join(', ')}${more}`;
}
