import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 20_000,
    hookTimeout: 30_000,
    silent: 'passed-only',
    maxWorkers: '100%', // the default leaves a core free: half of a machine with two
  },
});
