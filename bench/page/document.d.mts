// Types of document.mjs for its test.
import type { PageResults } from './results.mjs';

export const PAGE: string;
export const CHARTS: string;
export function pageFiles(results: PageResults): Map<string, string>;
