// What `ba-sam/eval` exports: apart from the main entry, so that who only segments loads none of it.
export {
  type ChartOptions,
  type ChartPanel,
  type ChartScale,
  type ChartSeries,
  lineChart,
  writeChart,
} from './chart';
export { DATASET_NAMES, type DatasetName, type OpenDatasetOptions, openDataset } from './datasets';
export { evaluate } from './evaluate';
export {
  CocoApMetric,
  createMetrics,
  METRIC_KEYS,
  METRIC_NAMES,
  type MetricName,
  type MetricOptions,
  type MetricSet,
  type MetricValues,
} from './metrics';
export type { EvaluateOptions, EvaluationProgress } from './options';
export type { Combination } from './predict';
export { interiorPoint, type PromptKind } from './prompts';
export { type CellResult, type EvaluationResult, resultTable } from './report';
export { ATTENTION_SETTINGS, type AttentionSetting, attentionSettings } from './settings';
export { evaluateSuite, type SuiteOptions, type SuiteResult, suiteTable } from './suite';
export { EVALUATION_METRICS, type EvaluationMetric, type ResultKey, type Values } from './tally';
export type { BinaryMask, Dataset, Instance, Problem, Sample, SoftMask } from './types';
