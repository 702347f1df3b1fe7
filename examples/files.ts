/**
 * Files by their content: the same file has the same address, wherever and by whomever it is put, and equal parts are stored once.
 *
 *     node examples/files.ts put movie.mp4         → prints an address
 *     node examples/files.ts get ADDRESS copy.mp4
 */
import { open } from 'node:fs/promises';

import { connect } from 'infinit';

const partBytes = 1024 * 1024;

const [verb, from, to] = process.argv.slice(2);
await using infinit = connect();
const { blocks } = infinit;

async function putFile(path: string): Promise<string> {
  await using file = await open(path);
  const parts: string[] = [];
  for (let at = 0; ; at += partBytes) {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(partBytes), 0, partBytes, at);
    if (bytesRead === 0) break;
    parts.push(await blocks.put(buffer.subarray(0, bytesRead)));
  }
  return blocks.put(JSON.stringify(parts));
}

async function getFile(address: string, path: string): Promise<void> {
  const list = await blocks.get(address);
  if (list === undefined) throw new Error(`there is no file ${address}`);
  await using file = await open(path, 'w');
  for (const part of JSON.parse(list.text()) as string[]) {
    const block = await blocks.get(part);
    if (block === undefined) throw new Error(`part ${part} is missing`);
    await file.writeFile(block.value);
  }
}

if (verb === 'put' && from !== undefined) console.log(await putFile(from));
else if (verb === 'get' && from !== undefined && to !== undefined) await getFile(from, to);
else {
  console.error('usage: node examples/files.ts put FILE | get ADDRESS FILE');
  process.exitCode = 2;
}
