// GPUs on the performance page: what the benchmarks measured there, and attention beside PyTorch's from scripts/gpu-check.sh.

import { attentionFindings, attentionTables } from './attention.mts';
import { SCALING_ALT, scalingChart } from './charts.mts';
import { decoderTables } from './decoder.mts';
import { encoderFindings, encoderTables } from './encoder.mts';
import { timeVerdict, VERDICT_WORDS } from './peers.mts';
import type { GpuResults } from './results.mts';
import type { AttentionBeside, GpuTiming } from './schemas.mts';
import { distinct, factorText, percent, plain, significant, spreadText, table } from './text.mts';

/** The name of a card in its results. */
export const gpuName = ({ check, attention, encoder, decoder, peers }: GpuResults) =>
  check?.gpu ?? (attention ?? encoder ?? decoder ?? peers)?.machine.gpu ?? 'GPU';

/** Keeps a chart, if there is one. @returns what shows it on the page */
export type KeepChart = (name: string, svg: string | undefined, alt: string) => string;

export function gpuSections(gpus: ReadonlyMap<string, GpuResults>, chart: KeepChart): string {
  const parts = [...gpus].flatMap(([slug, results]) => [
    `### ${plain(gpuName(results))}`,
    ...encoderParts(slug, results, chart),
    ...attentionParts(results),
    ...(results.decoder ? ['**Prompts.**', decoderTables(results.decoder)] : []),
  ]);
  return ['## GPU', ...parts].filter(Boolean).join('\n\n');
}

function encoderParts(slug: string, results: GpuResults, chart: KeepChart): string[] {
  const { encoder } = results;
  if (!encoder) return [];
  const name = gpuName(results);
  const drawn = scalingChart(encoder, `ba-sam on ${name}: the encoder against the side of the input`);
  return [
    `**Encoder.** Time is a whole run as a program sees it, with the copies to and from the device; *ops* is the sum of all
ops by themselves, *copies* what a run with the same copies and next to no work takes.`,
    encoderFindings(encoder).join('\n'),
    chart(`scaling-${slug}.svg`, drawn, `${SCALING_ALT}, ${plain(name)}`),
    encoderTables(encoder),
  ];
}

function attentionParts({ attention, check }: GpuResults): string[] {
  return [
    ...(attention
      ? ['**Attention.**', attentionFindings(attention).join('\n'), attentionTables(attention)]
      : []),
    ...(check?.attention ? besidePyTorch(check.attention) : []),
  ];
}

/** A row per case: ours, and the fastest of every kind of peer against it. */
function besidePyTorch({ cases, gemm_tflops: rates, torch }: AttentionBeside): string[] {
  const gemm = rates.reduce((sum, rate) => sum + rate, 0) / rates.length;
  const believed = cases.flatMap(({ ours, ...rest }) => (isBelieved(ours) ? [{ ours, ...rest }] : []));
  const kinds = distinct(believed.flatMap(({ ratios }) => Object.keys(ratios)));
  const lines = believed.map(({ case: name, ours, peers, ratios }) => [
    plain(name),
    spreadText(ours),
    significant(ours.tflops),
    percent(ours.tflops / gemm),
    ...kinds.map((kind) => (ratios[kind] ? besideCell(ours, ratios[kind].peer, peers) : '')),
  ]);
  const left = cases.filter(({ ours }) => !isBelieved(ours));
  return [
    `**Attention beside PyTorch ${plain(torch)}.** The time of the fastest peer of each kind over ba-sam's: above 1 speaks for ba-sam, below
1 for the peer. *Share* is that of the rate of a large matrix product in the same run.`,
    table(['case', 'time', 'TFLOP/s', 'share', ...kinds.map(plain)], lines, ['case']),
    left.map(({ case: name, ours }) => `- Left out: ${plain(name)}: ${whyNot(ours)}`).join('\n'),
  ];
}

type Timed = AttentionBeside['cases'][number]['ours'];

function isBelieved(timed: Timed): timed is GpuTiming {
  return timed.ms !== undefined && timed.ok !== false;
}

const whyNot = (timed: Timed) =>
  'failed' in timed && timed.failed ? plain(timed.failed) : 'its output disagrees with float64';

function besideCell(ours: GpuTiming, name: string, peers: Readonly<Record<string, Timed>>): string {
  const peer = peers[name];
  if (peer?.ms === undefined) return '';
  const disagrees = peer.ok === false ? ', which disagrees with float64' : '';
  return `${factorText(peer.ms / ours.ms)}, ${VERDICT_WORDS[timeVerdict(peer, ours)]} (${plain(name)}${disagrees})`;
}
