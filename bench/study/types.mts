// What the study measures, and what it writes into bench/results.
import type { BaSamSettings, DistancePenalty } from '../../lib/index.ts';
import type { PROMPTS } from './library.mts';
import type { SceneKind } from './scenes/index.ts';

export type PromptName = (typeof PROMPTS)[number];
export type Settings = Pick<BaSamSettings, 'lengthScale' | 'distance'>;
export type Measure = 'iou' | 'mae' | 'boundaryIou' | 'far' | 'farFixed' | 'astray';

/** values[factor][setting][prompt][measure]: one number per scene. */
export type StudyValues = Record<string, Record<string, Record<PromptName, Record<Measure, number[]>>>>;

export interface Provenance {
  readonly date: string;
  readonly version: string;
  readonly commit: string;
  readonly node: string;
  readonly machine: { readonly cpu: string; readonly cores: number };
}

/** Seconds by the clock, and of all cores. */
export interface Time {
  readonly wall_s: number;
  readonly cpu_s: number;
}

/** What the reported run knows of the model. */
export interface StudyModel {
  readonly trainedSide_px: number;
  readonly patch: number;
}

/** The result of the reported run. */
export interface Study extends Provenance, StudyModel {
  readonly study: string;
  readonly time: Time;
  readonly firstSeed: number;
  readonly scenes: number;
  readonly kinds: readonly SceneKind[];
  readonly settings: Readonly<Record<string, Settings>>;
  readonly values: StudyValues;
}

/** A setting that the search tries; null = no mask. */
export interface Candidate {
  readonly lengthScale: boolean;
  readonly distance: DistancePenalty | null;
}

/** Means over scenes, prompts and sizes. */
export interface CandidateMeans extends Candidate {
  readonly iou: number;
  readonly far: number;
  readonly iouBySize: readonly number[];
}

export interface Stage {
  readonly firstSeed: number;
  readonly scenes: number;
  readonly factors: readonly number[];
}

export interface StageResult extends Stage {
  readonly rows: readonly CandidateMeans[];
}

/** The result of the search. */
export interface Search extends Provenance {
  readonly study: string;
  readonly time: Time;
  readonly criterion: string;
  readonly coarse: StageResult;
  readonly fine: StageResult;
  /** Of the masks: what `mask` and `both` of the report mean. */
  readonly mask: DistancePenalty;
  /** Of all settings, those without a mask included: the default for zero-shot use. */
  readonly best: Candidate;
}
