// Types of native-tests.mjs for the test that wraps it.
export interface NativeLibrary {
  readonly objects: readonly string[];
}
export interface NativeCounts {
  readonly passed: number;
  readonly failed: number;
  readonly output: string;
}
export function testNames(): string[];
export function buildLibrary(variant: 'plain' | 'asan'): Promise<NativeLibrary>;
export function buildProgram(
  library: NativeLibrary,
  name: string,
  sources: readonly string[],
): Promise<string>;
export function runTest(program: string): Promise<NativeCounts>;
