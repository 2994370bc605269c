// Shared by the peers in Node: the command line, putting jobs and counting them.
// The command line and the output are those of peer.py.

import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

const WIDTH = 100; // jobs in flight
const CHUNK = 1000; // jobs in one call for many
const PAUSE = [20, 50]; // milliseconds, from and to
const TIME_DIGITS = 20;
const FILL = 'x'.repeat(100 - TIME_DIGITS);

// The packages are in the current folder.
export const require = createRequire(`${process.cwd()}/`);

// CLOCK_MONOTONIC, as in peer.py, in seconds.
const clock = () => Number(process.hrtime.bigint()) / 1e9;

const payload = () => clock().toFixed(6).padStart(TIME_DIGITS, '0') + FILL;

const options = parseArgs({
  allowPositionals: true,
  options: {
    url: { type: 'string' },
    mode: { type: 'string' },
    count: { type: 'string' },
    'warm-up': { type: 'string', default: '1' },
    concurrency: { type: 'string', default: '1' },
    delays: { type: 'boolean', default: false },
  },
});
const { url, mode, delays: wanted } = options.values;
const [count, warmUp] = [Number(options.values.count), Number(options.values['warm-up'])];

let number = 0;
let begin = 0;
const delays = [];

// The job, which is only counted.
function noOp(text) {
  number += 1;
  if (wanted && number > warmUp) delays.push(clock() - Number(text.slice(0, TIME_DIGITS)));
  if (number === 1) console.log('ready');
  if (number === warmUp) begin = clock();
  if (number === warmUp + count) console.log('done', begin, JSON.stringify(delays));
}

function ways({ put, putMany }) {
  async function single(jobs) {
    for (; jobs > 0; jobs -= 1) await put(payload());
  }
  async function flight(jobs) {
    const run = async () => {
      while (jobs > 0) {
        jobs -= 1;
        await put(payload());
      }
    };
    await Promise.all(Array.from({ length: WIDTH }, run));
  }
  async function bulk(jobs) {
    for (; jobs > 0; jobs -= CHUNK) {
      await putMany(Array.from({ length: Math.min(jobs, CHUNK) }, payload));
    }
  }
  async function paced(jobs) {
    for (; jobs > 0; jobs -= 1) {
      await sleep(PAUSE[0] + Math.random() * (PAUSE[1] - PAUSE[0]));
      await single(1);
    }
  }
  return { single, flight, bulk, paced };
}

// Run the command line.  `produce(url)` makes {put, putMany};
// `work(url, concurrency, job)` runs a worker that calls job(payload).
export async function main(produce, work) {
  if (options.positionals[0] === 'work') {
    await work(url, Number(options.values.concurrency), noOp);
    return;
  }
  const way = ways(await produce(url))[mode];
  await way(warmUp);
  const start = clock();
  await way(count);
  console.log('done', clock() - start);
  process.exit();
}
