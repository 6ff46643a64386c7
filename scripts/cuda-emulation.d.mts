// Types of cuda-emulation.mjs for the test that wraps it.
export function emulationTestNames(): string[];
export function runEmulationTest(
  name: string,
  variant?: 'plain' | 'asan',
): Promise<{ passed: number; failed: number }>;
