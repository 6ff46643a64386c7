// Writes docs/resolution-study.md, its charts and its pictures from the numbers.
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { lineChart } from '../../lib/eval/chart.ts';
import type { DistancePenalty } from '../../lib/index.ts';
import type { ChartOptions } from '../../lib/options/chart.ts';
import { PANELS, type Picture, writeExamples } from './examples.mts';
import { PROMPTS, penaltyText, type Stored } from './library.mts';
import { intervalText, MEASURES, type Select, Statistics, type Verdict, verdictMark } from './statistics.mts';
import type { Candidate, Measure, Search, StageResult, Study } from './types.mts';

const PICTURES = 'resolution-study';
/** In the order of the tables. */
const ALL_MEASURES: readonly Measure[] = ['iou', 'far', 'farFixed', 'astray', 'boundaryIou', 'mae'];

function table(header: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const line = (cells: readonly (string | number)[]) => `| ${cells.join(' | ')} |`;
  return [line(header), line(header.map(() => '---')), ...rows.map(line)].join('\n');
}

const times = (factor: number) => `${factor}×`;

/** Measures by size and setting, both prompts together: for the console. */
export function summary(study: Study): string {
  const statistics = new Statistics(study);
  const rows = ALL_MEASURES.flatMap((measure) =>
    statistics.factors.map((factor) => [
      `${MEASURES[measure].label}, ${times(factor)}`,
      ...statistics.settings.map((setting) => {
        const select = { factors: [factor], setting, measure };
        const value = statistics.mean(select).toFixed(MEASURES[measure].digits);
        return setting === 'plain'
          ? value
          : `${value}${verdictMark(statistics.againstPlain(select).verdict)}`;
      }),
    ]),
  );
  return table(['', ...statistics.settings], rows);
}

/** One measure: a row per prompt and size, a column per setting, each with its difference from plain. */
function measureTable(statistics: Statistics, measure: Measure): string {
  const { digits } = MEASURES[measure];
  const rows = PROMPTS.flatMap((prompt) =>
    statistics.factors.map((factor) => [
      prompt,
      times(factor),
      ...statistics.settings.map((setting) =>
        cell(statistics, { factors: [factor], setting, prompts: [prompt], measure }, digits),
      ),
    ]),
  );
  return table(['prompt', 'size', ...statistics.settings], rows);
}

function kindTable(statistics: Statistics, measure: Measure, factors: readonly number[]): string {
  const { digits } = MEASURES[measure];
  const rows = statistics.study.kinds.map((kind) => [
    kind,
    statistics.mean({ factors: [1], setting: 'plain', measure, kind }).toFixed(digits),
    ...statistics.settings.map((setting) => cell(statistics, { factors, setting, measure, kind }, digits)),
  ]);
  return table(['kind', 'plain at 1×', ...statistics.settings], rows);
}

function cell(statistics: Statistics, select: Select, digits: number): string {
  const value = statistics.mean(select).toFixed(digits);
  if (select.setting === 'plain') return value;
  const difference = statistics.againstPlain(select);
  if (difference.low === 0 && difference.high === 0) return `${value}<br>the same`;
  return `${value}${verdictMark(difference.verdict)}<br>${intervalText(difference, digits)}`;
}

function charts(statistics: Statistics, folder: string): void {
  const panel = (title: string, select: Omit<Select, 'factors' | 'setting'>) => ({
    title,
    series: statistics.settings.map((setting) => ({
      name: setting,
      points: statistics.factors.map(
        (factor) => [factor, statistics.mean({ ...select, factors: [factor], setting })] as const,
      ),
    })),
  });
  const xLabel = 'side of the input, relative to the trained side';
  const write = (name: string, chart: ChartOptions) =>
    writeFileSync(path.join(folder, name), lineChart(chart));
  write('measures.svg', {
    title: 'Drawn scenes at sizes that the model was not trained for',
    xLabel,
    columns: 2,
    panels: (['iou', 'far', 'boundaryIou', 'mae'] as const).flatMap((measure) =>
      PROMPTS.map((prompt) => panel(`${MEASURES[measure].label}, ${prompt}`, { measure, prompts: [prompt] })),
    ),
  });
  write('kinds.svg', {
    title: 'mIoU by kind of scene, both prompts',
    xLabel,
    columns: 3,
    panels: statistics.study.kinds.map((kind) => panel(kind, { measure: 'iou', kind })),
  });
}

const WORDS = {
  better: (name: string) => `${name} is better than plain`,
  worse: (name: string) => `${name} is worse than plain`,
  open: (name: string) => `${name} cannot be told apart from plain`,
};
const word = (verdict: Verdict) => (verdict > 0 ? 'better' : verdict < 0 ? 'worse' : 'open');

/** What the numbers say, in sentences made from them. */
function findings(statistics: Statistics, search: Search): string {
  const { larger } = statistics;
  const lines: string[] = [];
  const trained: Select = { factors: [1], setting: 'plain', measure: 'iou' };
  const change = larger.map((factor) => {
    const select: Select = { factors: [factor], setting: 'plain', measure: 'iou' };
    return `${intervalText(statistics.difference(select, trained), 3)} at ${times(factor)}`;
  });
  lines.push(
    `**Plain, away from the trained size.** mIoU is ${statistics.mean(trained).toFixed(3)} at 1×. Against that: ${change.join('; ')}.`,
  );
  for (const setting of statistics.settings.filter((name) => name !== 'plain')) {
    const iou = statistics.againstPlain({ factors: larger, setting, measure: 'iou' });
    const select: Select = { factors: larger, setting, measure: 'far' };
    const far = statistics.againstPlain(select);
    const share = (100 * far.mean) / statistics.mean({ ...select, setting: 'plain' });
    const bySize = larger.map((factor) => {
      const at = statistics.againstPlain({ factors: [factor], setting, measure: 'iou' });
      return `${times(factor)} ${word(at.verdict) === 'open' ? 'no difference shown' : word(at.verdict)}`;
    });
    const kinds = statistics.study.kinds.map((kind) => ({
      kind,
      ...statistics.againstPlain({ factors: larger, setting, measure: 'iou', kind }),
    }));
    const named = (sign: Verdict) =>
      kinds
        .filter(({ verdict }) => verdict === sign)
        .map(({ kind, mean }) => `${kind} (${mean > 0 ? '+' : '−'}${Math.abs(mean).toFixed(3)})`);
    const [gains, losses] = [named(1), named(-1)];
    lines.push(
      `**${capital(setting)}.** Over all larger sizes, ${WORDS[word(iou.verdict)](setting)} in mIoU: ` +
        `${intervalText(iou, 3)} (${bySize.join(', ')}). Far false positives change by ${intervalText(far, 3)}, ` +
        `which is ${share > 0 ? '+' : '−'}${Math.abs(share).toFixed(0)} %. By kind of scene, mIoU ` +
        `${gains.length > 0 ? `gains in ${gains.join(', ')}` : 'gains nowhere'} and ` +
        `${losses.length > 0 ? `loses in ${losses.join(', ')}` : 'loses nowhere'}, as far as the intervals can tell.`,
    );
  }
  const best = larger.map((factor) => {
    const ranked = statistics.settings
      .map((setting): Select => ({ factors: [factor], setting, measure: 'iou' }))
      .sort((a, b) => statistics.mean(b) - statistics.mean(a))[0];
    const difference = statistics.difference(ranked, trained);
    const against = difference.verdict > 0 ? 'more' : difference.verdict < 0 ? 'less' : 'not told apart';
    return `${times(factor)}: ${ranked.setting}, ${intervalText(difference, 3)} (${against})`;
  });
  lines.push(
    `**Is the larger input worth it at all?** The best setting at each size against plain at the trained size, in mIoU: ${best.join('; ')}.`,
  );
  lines.push(`**Zero-shot default.** ${defaultText(statistics, search)}`);
  return lines.map((line) => `- ${line}`).join('\n');
}

function defaultText(statistics: Statistics, { best }: Search): string {
  const chosen = !best.distance
    ? best.lengthScale
      ? 'the length scale alone'
      : 'plain SAM'
    : `${best.lengthScale ? 'the length scale with' : 'without the length scale,'} the mask ${penaltyText(best.distance)}`;
  const name = !best.distance
    ? best.lengthScale
      ? 'length scale'
      : 'plain'
    : best.lengthScale
      ? 'both'
      : 'mask';
  const intro = `The search, on scenes of its own, put ${chosen} first; that is what this package suggests for a model that was not trained for the size.`;
  if (name === 'plain') return intro;
  const iou = statistics.againstPlain({ factors: statistics.larger, setting: name, measure: 'iou' });
  const verdict = {
    better: 'On the reported scenes it is better than plain, too',
    worse: 'On the reported scenes it is *worse* than plain, so do not take it on trust',
    open: 'On the reported scenes it cannot be told apart from plain, so do not expect much',
  }[word(iou.verdict)];
  return `${intro} ${verdict}: ${intervalText(iou, 3)} mIoU over all larger sizes (column \`${name}\`).`;
}

function capital(text: string): string {
  return text[0].toUpperCase() + text.slice(1);
}

function settingText({ lengthScale, distance }: Candidate): string {
  const parts = [lengthScale ? 'length scale' : undefined, distance ? penaltyText(distance) : undefined];
  return parts.filter(Boolean).join(' + ') || 'plain';
}

function searchTable({ rows, factors }: StageResult, count: number): string {
  const sorted = [...rows].sort((a, b) => b.iou - a.iou);
  const shown = sorted.filter((row, i) => i < count || !row.distance);
  return table(
    ['place', 'setting', 'mIoU', ...factors.map((factor) => `at ${times(factor)}`), 'far'],
    shown.map((row) => [
      sorted.indexOf(row) + 1,
      settingText(row),
      row.iou.toFixed(4),
      ...row.iouBySize.map((value) => value.toFixed(3)),
      row.far.toFixed(3),
    ]),
  );
}

const range = ({ firstSeed, scenes }: { readonly firstSeed: number; readonly scenes: number }) =>
  `${firstSeed} … ${firstSeed + scenes - 1}`;

/** Writes everything. @param root of the repository */
export async function writeReport(root: string, study: Stored<Study>, search: Stored<Search>): Promise<void> {
  const folder = path.join(root, 'docs', PICTURES);
  mkdirSync(folder, { recursive: true });
  const statistics = new Statistics(study);
  charts(statistics, folder);
  const examples = await writeExamples(folder, study);
  writeFileSync(path.join(root, 'docs', 'resolution-study.md'), documentText(study, search, examples));
}

/** The document. @param examples of writeExamples */
export function documentText(
  study: Stored<Study>,
  search: Stored<Search>,
  examples: readonly Picture[],
): string {
  const statistics = new Statistics(study);
  const { settings, larger } = statistics;
  const { trainedSide_px: side, patch } = study;
  const { coarse, fine } = search;
  const tried = coarse.rows.flatMap(({ distance }) => distance ?? []);
  const values = (key: keyof DistancePenalty) => [...new Set(tried.map((mask) => mask[key]))].join(', ');
  const sizes = statistics.factors.map((factor) => `${times(factor)} (${side * factor} px)`).join(', ');
  const measure = (name: Measure) =>
    `### ${capital(MEASURES[name].label)}\n\n${measureTable(statistics, name)}`;
  return `<!-- Written by npm run study from bench/results/${study.file} and ${search.file}: edit bench/study/report.mts. -->
# Does it help? A study on drawn scenes

SAM is trained at one size. BA-SAM's claim is that at other sizes it degrades, and that two changes to global attention
repair much of that without training: a *length scale* on q·k that follows the number of tokens, and a *mask* that
subtracts a penalty for distance from the logits. This page puts the claim to the small model of this repository, on
pictures that the repository draws itself. It reports what came out, whichever way it points.

## In short

Differences are means over ${study.scenes} scenes, and over both prompts where none is named; brackets are 95 % confidence intervals.

${findings(statistics, search)}

## What was done

**Scenes.** ${study.scenes} scenes (seeds ${range(study)}), each with two objects that prompts ask for, ${study.scenes / study.kinds.length} of each kind:

- *simple*: a few separate shapes on another texture;
- *occlusion*: large shapes and rings that cover each other; right is what can be seen of an object;
- *camouflage*: objects have the ground's own texture, at another angle and a few grey levels apart;
- *clutter*: dozens of shapes alike, of which one is meant;
- *context*: objects of about one token at 1× in a wide scene of regions and larger shapes.

A scene is a description in coordinates from 0 to 1: blobs, polygons and rings with textures that are functions of the
coordinates, light, and noise. It is drawn at each size by itself, not enlarged, and nothing in it is finer than 4 px at
${side} px, so every size shows the same content. A mask holds the pixels that the object covers by more than half.

**Model.** \`models/sam-nano.safetensors\`: 6 blocks, two of them global, trained at ${side} px on other drawn scenes; f32.
One mask per prompt (\`multimask\` off), without padding.

**Sizes.** The side of the input relative to the trained side: ${sizes}. The picture has that size, too.

**Settings.**

${table(
  ['name', '`Sam.encode` options'],
  settings.map((name) => [name, `\`${JSON.stringify(study.settings[name])}\``]),
)}

*both, ALiBi* is there as a contrast: the slopes that ALiBi defines, without a search.

**Prompts.** *gt-point*: the point of the object farthest from its outside; *gt-box*: its tight box. Both come from the
largest drawing, so that every size is asked the same.

**Measures.** *mIoU*: mean intersection over union. *Boundary IoU*: of the boundaries, 2 % of the diagonal wide. *MAE*: mean
absolute error of the probability map, as it is. *Far false positives*: area of the mask farther than two tokens
(${2 * patch} px of the input) from the object, relative to the object's area; 1 means that as much as the whole object lies astray.
Two tokens are less of the scene the larger the input is, so this number compares settings at one size, not sizes. *Fixed
distance* is the same beyond ${2 * patch} px at 1×, that is ${(100 * 2 * patch) / side} % of the side at every size. *Astray*: the share of masks whose far
area exceeds a tenth of the object. Measures are computed at the input's own size.

**Statistics.** A scene counts once: the mean over its two objects. Settings are compared on the same scenes (paired), with
95 % percentile bootstrap intervals over scenes (10000 resamples, seeded). ▲ and ▼ mark differences from plain whose interval
excludes zero, for better and for worse. There are many of them, so about one in twenty of the differences that are
really nothing is marked all the same.

## The search for the mask

The settings of the mask were searched on other scenes than those reported, by a criterion fixed beforehand:
${search.criterion}. The range of slopes was set after a look at ten scenes that are in neither, and
extended downwards after a first search, on the same scenes, had found the best one at its lower end.

1. *Coarse*: ${tried.length / 2} masks (metric ${values('metric')}; slope ${values('slopes')}; start ${values('start')} tokens), each with and without the
   length scale, on ${coarse.scenes} scenes (seeds ${range(coarse)}) at ${coarse.factors.map(times).join(' and ')}.
2. *Fine*: the best ${fine.rows.length / 2 - 1} of them on ${fine.scenes} other scenes (seeds ${range(fine)}) at ${fine.factors.map(times).join(', ')}.

Chosen: **${penaltyText(search.mask)}**. It is \`mask\` and \`both\` in what follows. The first places of the coarse search,
and the settings without a mask:

${searchTable(coarse, 8)}

The fine search:

${searchTable(fine, Number.POSITIVE_INFINITY)}

All rows are in \`bench/results/${search.file}\`.

## What came out

![Measures against size](${PICTURES}/measures.svg)

In every cell: the mean, then the difference from plain at the same size with its interval.

${ALL_MEASURES.map(measure).join('\n\n')}

### By kind of scene

![mIoU by kind](${PICTURES}/kinds.svg)

mIoU, mean over ${larger.map(times).join(', ')} and both prompts:

${kindTable(statistics, 'iou', larger)}

Far false positives, likewise:

${kindTable(statistics, 'far', larger)}

## Examples

The first reported scene of each kind, whatever it shows. Columns: ${PANELS.map(({ title }) => title).join('; ')}. Rows: ${PROMPTS.join(', ')}.

${examples.map(({ kind, seed, file }) => `*${kind}* (seed ${seed})\n\n![${kind}](${PICTURES}/${file})`).join('\n\n')}

## What this does not show

- The model is small (two global blocks, ${side / patch} × ${side / patch} tokens when trained) and its masks are middling at its own size already. What
  holds for it need not hold for ViT-B, L or H, and slopes and starts in tokens need not carry over to a grid of 64 × 64.
- The scenes are drawn. Photographs differ in everything but resolution; for those there is \`ba-sam evaluate\`.
- Nothing was trained or tuned with the settings on. The paper's numbers with fine-tuning are another matter.
- Every scene is shown at its true detail at every size, but the detail adds nothing that is finer than 4 px at ${side} px. Real
  photographs do gain detail, which is the usual reason for a larger input.
- One seed range, one model: the intervals speak about other scenes of these kinds, not about other models.

## Run it again

    npm run build
    npm run study                 # measures; then writes this page
    npm run study -- --search     # the search, too
    npm run study -- --report     # only this page, from the newest numbers in bench/results

The same seeds draw the same pictures to the byte on every machine; results agree up to the rounding of the processor's kernels.
The run took ${Math.round(study.time.cpu_s / 60)} minutes of processor time (${Math.round(study.time.wall_s / 60)} minutes by the clock) on ${study.machine.cores} cores of ${study.machine.cpu}, ${study.date}, version ${study.version}
(${study.commit}); the search ${Math.round(search.time.cpu_s / 60)} minutes of processor time.
`;
}
