// `ba-sam info [MODEL]`: what this machine can do, and what a checkpoint is.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { openSamCheckpoint } from '../checkpoint/keys';
import { inferConfig, type SamConfig } from '../config';
import { backends } from '../device';
import { nativeStatus } from '../native';

/** @throws SamError when MODEL cannot be read or is no SAM */
export async function info(model: string | undefined, options: { json?: boolean }): Promise<void> {
  const { version } = JSON.parse(
    readFileSync(path.join(path.dirname(path.dirname(__dirname)), 'package.json'), 'utf8'),
  ) as { version: string };
  const status = nativeStatus();
  const report = {
    version,
    node: process.version,
    backends: backends(),
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
    ...(model !== undefined && { model: await describeModel(model) }),
  };
  process.stdout.write(options.json ? `${JSON.stringify(report, null, 2)}\n` : text(report));
}

async function describeModel(file: string) {
  const checkpoint = await openSamCheckpoint(file);
  try {
    const config = inferConfig(checkpoint);
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
      config,
    };
  } finally {
    await checkpoint.close();
  }
}

type Report = {
  version: string;
  node: string;
  backends: ReturnType<typeof backends>;
  cpu: {
    isa: string;
    supportedIsas: readonly string[];
    threads: number;
    oneDNN: string;
    dtypes: string[];
  } | null;
  model?: Awaited<ReturnType<typeof describeModel>>;
};

function text({ version, node, backends: list, cpu, model }: Report): string {
  const rows: [string, string][] = [['ba-sam', `${version} on Node.js ${node}`]];
  for (const { backend, available, reason } of list) {
    rows.push([backend, available ? 'available' : `unavailable: ${reason}`]);
  }
  if (cpu) {
    rows.push(['instructions', `${cpu.isa} (supported: ${cpu.supportedIsas.join(', ')})`]);
    rows.push(['dtypes', cpu.dtypes.join(', ')]);
    rows.push(['threads', String(cpu.threads)]);
    rows.push(['oneDNN', cpu.oneDNN]);
  }
  if (model) rows.push(...modelRows(model, model.config));
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}\n`).join('');
}

function modelRows(model: NonNullable<Report['model']>, config: SamConfig): [string, string][] {
  const { decoder } = config;
  return [
    ['model', model.file],
    [
      'format',
      `${model.format}, ${model.naming} keys, ${model.dtypes.join(' and ')}, ${model.ignored} tensors ignored`,
    ],
    ['parameters', `${(model.parameters / 1e6).toFixed(1)} M`],
    [
      'encoder',
      `${config.depth} blocks, ${config.width} channels, ${config.heads} heads × ${config.headDim}, patch ${config.patch}`,
    ],
    [
      'attention',
      `global in blocks ${config.globalBlocks.join(' ')}, otherwise windows of ${config.window} × ${config.window}`,
    ],
    ['trained at', `${config.trainedSide_px} px (${config.trainedGrid} × ${config.trainedGrid} tokens)`],
    ['positions', config.hasPosEmbed ? 'absolute and relative' : 'relative'],
    ...(config.hasCoefficient
      ? ([['coefficient', 'learned, one per attention layer']] as [string, string][])
      : []),
    [
      'decoder',
      decoder
        ? `${decoder.depth} layers, ${decoder.dim} channels, ${decoder.maskTokens} mask tokens`
        : 'none: encoder only',
    ],
  ];
}
