// GPUs on the performance page: what the benchmarks measured there, and attention beside PyTorch's from scripts/gpu-check.sh.
import { attentionFindings, attentionTables } from './attention.mjs';
import { SCALING_ALT, scalingChart } from './charts.mjs';
import { decoderTables } from './decoder.mjs';
import { encoderFindings, encoderTables } from './encoder.mjs';
import { timeVerdict, VERDICT_WORDS } from './peers.mjs';
import { distinct, factorText, percent, plain, significant, spreadText, table } from './text.mjs';

/** The name of a card in its results. */
export const gpuName = ({ check, ...results }) => check?.gpu ?? Object.values(results)[0].machine.gpu;

/**
 * @param gpus of readResults
 * @param chart (name, svg, alt) → what shows the chart on the page
 */
export function gpuSections(gpus, chart) {
  const parts = [...gpus].flatMap(([slug, results]) => [
    `### ${plain(gpuName(results))}`,
    ...encoderParts(slug, results, chart),
    ...attentionParts(results),
    ...(results.decoder ? ['**Prompts.**', decoderTables(results.decoder)] : []),
  ]);
  return ['## GPU', ...parts].filter(Boolean).join('\n\n');
}

function encoderParts(slug, results, chart) {
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

function attentionParts({ attention, check }) {
  return [
    ...(attention
      ? ['**Attention.**', attentionFindings(attention).join('\n'), attentionTables(attention)]
      : []),
    ...(check?.attention ? besidePyTorch(check.attention) : []),
  ];
}

/** A row per case: ours, and the fastest of every kind of peer against it. */
function besidePyTorch({ cases, gemm_tflops: rates, torch }) {
  const gemm = rates.reduce((sum, rate) => sum + rate, 0) / rates.length;
  const believed = cases.filter(({ ours }) => ours.ms && ours.ok !== false);
  const kinds = distinct(believed.flatMap(({ ratios }) => Object.keys(ratios)));
  const lines = believed.map(({ case: name, ours, peers, ratios }) => [
    plain(name),
    spreadText(ours),
    significant(ours.tflops),
    percent(ours.tflops / gemm),
    ...kinds.map((kind) => (ratios[kind] ? besideCell(ours, ratios[kind].peer, peers) : '')),
  ]);
  const left = cases.filter((one) => !believed.includes(one));
  return [
    `**Attention beside PyTorch ${plain(torch)}.** The time of the fastest peer of each kind over ba-sam's: above 1 speaks for ba-sam, below
1 for the peer. *Share* is that of the rate of a large matrix product in the same run.`,
    table(['case', 'time', 'TFLOP/s', 'share', ...kinds.map(plain)], lines, ['case']),
    left.map(({ case: name, ours }) => `- Left out: ${plain(name)}: ${whyNot(ours)}`).join('\n'),
  ];
}

const whyNot = ({ failed }) => (failed ? plain(failed) : 'its output disagrees with float64');

function besideCell(ours, name, peers) {
  const peer = peers[name];
  if (!peer?.ms) return '';
  const disagrees = peer.ok === false ? ', which disagrees with float64' : '';
  return `${factorText(peer.ms / ours.ms)}, ${VERDICT_WORDS[timeVerdict(peer, ours)]} (${plain(name)}${disagrees})`;
}
