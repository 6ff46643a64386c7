// docs/performance.md and its charts, made from results: text without numbers stands here, everything else is computed.
import { attentionFindings, attentionTables } from './attention.mts';
import { peersChart, SCALING_ALT, scalingChart } from './charts.mts';
import { decoderTables } from './decoder.mts';
import { encoderFindings, encoderTables } from './encoder.mts';
import { gpuSections } from './gpu.mts';
import { peerFindings, peersWithout, peerTables, turnsText } from './peers.mts';
import { present, provenance } from './provenance.mts';
import type { PageResults } from './results.mts';
import { distinct } from './text.mts';

export const PAGE = 'performance.md';
export const CHARTS = 'performance';

/** Contents by file names relative to docs/. */
export type Files = Map<string, string>;

/** The page, and charts for those results that have numbers. */
export function pageFiles(results: PageResults): Files {
  const files: Files = new Map();
  const { gpus } = results;
  const sections = [
    inShort(results),
    peersSection(results, files),
    encoderSection(results, files),
    attentionSection(results),
    decoderSection(results),
    gpus.size === 0
      ? `## GPU\n\n${NO_GPU}`
      : gpuSections(gpus, (name, svg, alt) => chart(files, name, svg, alt)),
    LIMITS,
    runAgain(results),
  ];
  const all = [
    ...present(results.cpu),
    ...[...gpus.values()].flatMap((kinds) => [...present(kinds), ...(kinds.check ? [kinds.check] : [])]),
  ];
  const head = `<!-- Written by npm run bench:page from ${distinct(all.map(({ file }) => file)).join(', ')} in bench/results:
     edit bench/page/*.mts. -->
# Performance

${provenance(results)}

${HOW}`;
  return new Map([[PAGE, `${[head, ...sections].join('\n\n')}\n`], ...files]);
}

const HOW = `Two kinds of numbers are here. *Peers*: SAM's image encoder in ba-sam and in other software on the same machine, with the same
random weights and the same image, one image at a time, all with the same number of threads. Every peer runs in a process
of its own, and the peers take turns, so that a machine whose speed drifts treats all alike. What comes out is compared
with the f32 reference before any time is believed. *ba-sam by itself*: encoder, attention kernel and decoder, each row in
a process of its own, so that peak memory is that row's own. Times are medians, with the fastest and the slowest run
behind them. **Efficiency** says how much of the processor is put to use: operations, over the rate of a bare matrix product
(GEMM) of the library below, the better of two measurements in the same process, before and after, over the time. An efficiency of 1 would be
an encoder that spends all its time in such products. In the attention and decoder tables the same number is called share.`;

const LIMITS = `## What these numbers do not show

- They hold for the machine named above. On other processors, with other numbers of cores and with other versions of the
  peers the order may differ.
- The weights are random. They decide nothing about speed, and these pages say nothing about how good the masks are.
- Peers run with their defaults for a CPU and nothing tuned by hand but the number of threads; somebody who knows one of
  them well may get more out of it.
- ba-sam is measured by those who write it. The commands below are there to be run by others.
- One image at a time: nothing is said about batches, or about several processes on one machine.
- Decoding a photograph and scaling it down come on top for everybody.`;

/** The commands, with the sizes at which peers were compared. */
function runAgain({ cpu: { peers } }: PageResults): string {
  const sizes = peers ? distinct(peers.rows.map(({ size }) => size)).sort((a, b) => a - b) : [];
  const chosen = sizes.length > 0 ? ` --sizes ${sizes.join(',')}` : '';
  return `## Run it again

    npm ci && npm run build
    npm run bench                  # attention, encoder and decoder, into bench/results
    npm run bench:peers --${chosen} --json bench/results/$(date +%F)-bench-peers.json
    npm run bench:page             # this page, from the newest files in bench/results
    npm run bench:page -- --check  # whether this page is what they give

Use a machine that does nothing else. \`npm run bench -- --help\` and \`npm run bench:peers -- --help\` list sizes, dtypes and
everything else that can be chosen; [bench/peers](../bench/peers/README.md) says how the peers are installed. Those that are
missing are skipped by name.`;
}

const NO_GPU = 'Nothing has been measured on a GPU yet.';

function inShort({ cpu: { peers }, gpus }: PageResults): string {
  const lines = peers ? peerFindings(peers) : [];
  const intro =
    lines.length > 0
      ? `Factors are the peer's median time, or its peak memory, over ba-sam's at the same size and dtype: above 1 speaks for
ba-sam, below 1 for the peer. Where the ranges of all runs overlap, none is called faster.`
      : `${peers ? 'No peer has numbers beside those of ba-sam' : 'Peers have not been measured yet'}: nothing here says how ba-sam compares with other software.`;
  return ['## In short', intro, lines.join('\n'), gpus.size === 0 ? NO_GPU : ''].filter(Boolean).join('\n\n');
}

function peersSection({ cpu: { peers } }: PageResults, files: Files): string {
  const heading = '## Beside other software';
  if (!peers) return `${heading}\n\nNot measured yet.`;
  const without = peersWithout(peers);
  return [
    heading,
    `Time is that of one call on an image that is in memory already. ba-sam gets the image's bytes and normalises them within
that time; the others get normalised pixels. *First run* comes right after loading, with whatever is packed or compiled
then. *Load* includes the packages that a program must load. Peak memory is that of the whole process. *Difference* is
that of the embedding from the f32 reference, as the norm of the difference over the norm of the reference.`,
    turnsText(peers),
    chart(
      files,
      'peers.svg',
      peersChart(peers),
      'Time and memory of ba-sam and its peers against the side of the input',
    ),
    peerTables(peers),
    without.length > 0 ? `Without numbers:\n\n${without.join('\n')}` : '',
  ]
    .filter(Boolean)
    .join('\n\n');
}

function encoderSection({ cpu: { encoder } }: PageResults, files: Files): string {
  const heading = '## The encoder by itself';
  if (!encoder) return `${heading}\n\nNot measured yet.`;
  return [
    heading,
    'Time is the sum of all ops. Operations are the multiply-adds of products and convolutions, counted as two each.',
    encoderFindings(encoder).join('\n'),
    chart(
      files,
      'scaling.svg',
      scalingChart(encoder, 'ba-sam: the encoder against the side of the input'),
      SCALING_ALT,
    ),
    encoderTables(encoder),
  ]
    .filter(Boolean)
    .join('\n\n');
}

const ATTENTION = `The kernel alone, as the encoder runs it. In the column *none*: time with its range, then the share of the product's rate. In
the others: time, its factor over that of the same layer without biases (measured in turn with it, in the same process),
then the share; biases count as no operations. N is the number of tokens, D the number of channels per head.`;

function attentionSection({ cpu: { attention } }: PageResults): string {
  const heading = '## Attention by itself';
  if (!attention) return `${heading}\n\nNot measured yet.`;
  return [heading, ATTENTION, attentionFindings(attention).join('\n'), attentionTables(attention)]
    .filter(Boolean)
    .join('\n\n');
}

const DECODER = `One call of \`Sam.predict\` as a program sees it: prompt encoder, mask decoder, masks at the size of the picture. This is
what every further click costs once an image is encoded.`;

function decoderSection({ cpu: { decoder } }: PageResults): string {
  const heading = '## Prompts';
  return decoder
    ? `${heading}\n\n${DECODER}\n\n${decoderTables(decoder)}`
    : `${heading}\n\nNot measured yet.`;
}

/** Adds a chart to the files, if there is one. @returns what shows it on the page */
function chart(files: Files, name: string, svg: string | undefined, alt: string): string {
  if (!svg) return '';
  files.set(`${CHARTS}/${name}`, svg);
  return `![${alt}](${CHARTS}/${name})`;
}
