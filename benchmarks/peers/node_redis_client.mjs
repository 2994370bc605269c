// node-redis, as a client: see client.py.
//
// RESP2 is as fast as RESP3, or faster.  It sends commands of one turn of the event loop together
// by itself.  `sendCommand` is faster than `evalSha`, which builds the same words for each call.

import { require, serve, url } from './client.mjs';

const { createClient } = require('redis');

async function connect() {
  const client = createClient({ url, RESP: 2 });
  client.on('error', console.error);
  await client.connect();
  return client;
}

async function start({ channels, patterns }, counter) {
  const client = await connect();
  if (channels.length) await client.subscribe(channels, counter);
  if (patterns.length) await client.pSubscribe(patterns, counter);
  return () => client.close();
}

const client = await connect();
await serve((words) => client.sendCommand(words), start);
