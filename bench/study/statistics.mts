// What the numbers per scene say: means, paired differences with confidence intervals, by size, prompt and kind.
import { bootstrapMean, type Interval } from './bootstrap.ts';
import { mean, PROMPTS } from './library.mts';
import type { SceneKind } from './scenes/index.ts';
import type { Measure, PromptName, Study } from './types.mts';

/** Measures by name: label for tables, digits, which way is better, what it is in words. */
export const MEASURES: Readonly<
  Record<Measure, { readonly label: string; readonly digits: number; readonly better: 1 | -1 }>
> = {
  iou: { label: 'mIoU', digits: 3, better: 1 },
  far: { label: 'far false positives', digits: 3, better: -1 },
  farFixed: { label: 'far false positives, fixed distance', digits: 3, better: -1 },
  astray: { label: 'share of masks astray', digits: 3, better: -1 },
  boundaryIou: { label: 'boundary IoU', digits: 3, better: 1 },
  mae: { label: 'MAE', digits: 4, better: -1 },
};

/** Which numbers. */
export interface Select {
  readonly factors: readonly number[];
  readonly setting: string;
  /** Default: all. */
  readonly prompts?: readonly PromptName[];
  readonly measure: Measure;
  /** Default: all scenes. */
  readonly kind?: SceneKind;
}

/** Better (1), worse (−1) or open (0). */
export type Verdict = 1 | 0 | -1;

export class Statistics {
  readonly factors: readonly number[];
  readonly settings: readonly string[];

  constructor(readonly study: Study) {
    this.factors = Object.keys(study.values)
      .map(Number)
      .sort((a, b) => a - b);
    this.settings = Object.keys(study.settings);
  }

  /** Factors beyond the trained side. */
  get larger(): number[] {
    return this.factors.filter((factor) => factor > 1);
  }

  /** One number per scene: the mean over factors and prompts. */
  perScene({ factors, setting, prompts = PROMPTS, measure, kind }: Select): number[] {
    const { values, kinds, firstSeed, scenes } = this.study;
    const lists = factors.flatMap((factor) =>
      prompts.map((prompt) => values[factor][setting][prompt][measure]),
    );
    return Array.from({ length: scenes }, (_, i) => i)
      .filter((i) => kind === undefined || kinds[(firstSeed + i) % kinds.length] === kind)
      .map((i) => mean(lists.map((list) => list[i])));
  }

  mean(select: Select): number {
    return mean(this.perScene(select));
  }

  /** Paired difference a − b: mean, 95 % interval, and what it says. */
  difference(a: Select, b: Select): Interval & { readonly verdict: Verdict } {
    const other = this.perScene(b);
    const interval = bootstrapMean(this.perScene(a).map((value, i) => value - other[i]));
    const sign = interval.low > 0 ? 1 : interval.high < 0 ? -1 : 0;
    const verdict = sign === 0 ? 0 : sign === MEASURES[a.measure].better ? 1 : -1;
    return { ...interval, verdict };
  }

  /** A setting against plain at the same sizes. */
  againstPlain(select: Select) {
    return this.difference(select, { ...select, setting: 'plain' });
  }
}

/** `+0.012 [0.003, 0.021]` */
export function intervalText({ mean, low, high }: Interval, digits: number): string {
  const signed = (value: number) => {
    const text = value.toFixed(digits);
    return Number(text) === 0 ? (0).toFixed(digits) : `${value > 0 ? '+' : '−'}${text.replace('-', '')}`;
  };
  return `${signed(mean)} [${signed(low)}, ${signed(high)}]`;
}

/** Marks what the interval tells apart from plain. */
export function verdictMark(verdict: Verdict): string {
  return verdict > 0 ? ' ▲' : verdict < 0 ? ' ▼' : '';
}
