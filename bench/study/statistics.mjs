// What the numbers per scene say: means, paired differences with confidence intervals, by size, prompt and kind.
import { dist, mean, PROMPTS } from './library.mjs';

const { bootstrapMean } = dist('eval/bootstrap');

/** Measures by name: label for tables, digits, which way is better, what it is in words. */
export const MEASURES = {
  iou: { label: 'mIoU', digits: 3, better: 1 },
  far: { label: 'far false positives', digits: 3, better: -1 },
  farFixed: { label: 'far false positives, fixed distance', digits: 3, better: -1 },
  astray: { label: 'share of masks astray', digits: 3, better: -1 },
  boundaryIou: { label: 'boundary IoU', digits: 3, better: 1 },
  mae: { label: 'MAE', digits: 4, better: -1 },
};

export class Statistics {
  constructor(study) {
    this.study = study;
    this.factors = Object.keys(study.values)
      .map(Number)
      .sort((a, b) => a - b);
    this.settings = Object.keys(study.settings);
  }

  /** Factors beyond the trained side. */
  get larger() {
    return this.factors.filter((factor) => factor > 1);
  }

  /**
   * One number per scene: the mean over factors and prompts.
   *
   * @param select { factors, setting, prompts, measure, kind }: kind undefined = all scenes
   */
  perScene({ factors, setting, prompts = PROMPTS, measure, kind }) {
    const { values, kinds, firstSeed, scenes } = this.study;
    const lists = factors.flatMap((factor) =>
      prompts.map((prompt) => values[factor][setting][prompt][measure]),
    );
    return Array.from({ length: scenes }, (_, i) => i)
      .filter((i) => kind === undefined || kinds[(firstSeed + i) % kinds.length] === kind)
      .map((i) => mean(lists.map((list) => list[i])));
  }

  mean(select) {
    return mean(this.perScene(select));
  }

  /** Paired difference a − b: mean, 95 % interval, and whether it is better (1), worse (−1) or open (0). */
  difference(a, b) {
    const other = this.perScene(b);
    const interval = bootstrapMean(this.perScene(a).map((value, i) => value - other[i]));
    const sign = interval.low > 0 ? 1 : interval.high < 0 ? -1 : 0;
    return { ...interval, verdict: sign * MEASURES[a.measure].better };
  }

  /** A setting against plain at the same sizes. */
  againstPlain(select) {
    return this.difference(select, { ...select, setting: 'plain' });
  }
}

/** `+0.012 [0.003, 0.021]` */
export function intervalText({ mean, low, high }, digits) {
  const signed = (value) => {
    const text = value.toFixed(digits);
    return Number(text) === 0 ? (0).toFixed(digits) : `${value > 0 ? '+' : '−'}${text.replace('-', '')}`;
  };
  return `${signed(mean)} [${signed(low)}, ${signed(high)}]`;
}

/** Marks what the interval tells apart from plain. */
export function verdictMark(verdict) {
  return verdict > 0 ? ' ▲' : verdict < 0 ? ' ▼' : '';
}
