// What `ba-sam/eval` exports: apart from the main entry, so that who only segments loads none of it.
export type { ChartOptions, ChartPanel, ChartScale, ChartSeries } from '../options/chart';
export {
  ATTENTION_SETTINGS,
  type AttentionSetting,
  type Combination,
  DATASET_NAMES,
  type DatasetName,
  EVALUATION_METRICS,
  type EvaluateOptions,
  type EvaluationMetric,
  type EvaluationProgress,
  type ExifUse,
  METRIC_NAMES,
  type MetricName,
  type PromptKind,
} from '../options/evaluate';
export { lineChart, writeChart } from './chart';
export { type OpenDatasetOptions, openDataset } from './datasets';
export { evaluate } from './evaluate';
export {
  CocoApMetric,
  createMetrics,
  METRIC_KEYS,
  type MetricOptions,
  type MetricSet,
  type MetricValues,
} from './metrics';
export { interiorPoint } from './prompts';
export { type CellResult, type EvaluationResult, resultTable } from './report';
export { attentionSettings } from './settings';
export { evaluateSuite, type SuiteOptions, type SuiteResult, suiteTable } from './suite';
export type { ResultKey, Values } from './tally';
export type { BinaryMask, Dataset, Instance, Problem, Sample, SoftMask } from './types';
