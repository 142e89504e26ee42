import { defineConfig } from 'vitest/config';

/** `npm run test:faults`: what takes longer than `npm test` may. One at a time, since each looks at the clock of the machine. */
export default defineConfig({
  test: {
    root: 'test/faults',
    include: ['**/*.faults.ts'],
    testTimeout: 180_000,
    hookTimeout: 60_000,
    fileParallelism: false,
  },
});
