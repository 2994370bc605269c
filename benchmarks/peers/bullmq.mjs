// BullMQ, as a peer: see peer.py.
//
// Finished jobs are removed.  Auto-pipelining is slower, and so is node-redis instead of ioredis.

import { main, require } from './peer.mjs';

const { Queue, Worker } = require('bullmq');

const NAME = 'bench';
const REMOVED = { removeOnComplete: true };

function connect(url) {
  const { hostname, port } = new URL(url);
  return { host: hostname, port: Number(port), maxRetriesPerRequest: null };
}

function produce(url) {
  const queue = new Queue(NAME, { connection: connect(url), defaultJobOptions: REMOVED });
  return {
    put: (payload) => queue.add('noOp', payload),
    putMany: (payloads) => queue.addBulk(payloads.map((data) => ({ name: 'noOp', data }))),
  };
}

function work(url, concurrency, job) {
  const worker = new Worker(NAME, async ({ data }) => job(data), {
    connection: connect(url),
    concurrency,
    ...REMOVED,
  });
  worker.on('error', console.error);
}

await main(produce, work);
