// Types of cuda-emulated-build.mjs for the tests that use it.
export function buildEmulatedAttention(folder?: string): Promise<string>;
export function buildEmulatedAddon(folder?: string): Promise<string>;
