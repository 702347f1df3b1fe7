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
  const parts = partsIn(list.text());
  if (parts === undefined) throw new Error(`${address} is a block, but no file that was put with this program`);
  await using file = await open(path, 'w');
  for (const part of parts) {
    const block = await blocks.get(part);
    if (block === undefined) throw new Error(`part ${part} is missing`);
    await file.writeFile(block.value);
  }
}

function partsIn(text: string): string[] | undefined {
  try {
    const parts: unknown = JSON.parse(text);
    return Array.isArray(parts) && parts.every((part) => typeof part === 'string') ? parts : undefined;
  } catch {
    return undefined;
  }
}

try {
  if (verb === 'put' && from !== undefined) console.log(await putFile(from));
  else if (verb === 'get' && from !== undefined && to !== undefined) await getFile(from, to);
  else {
    console.error('usage: node examples/files.ts put FILE | get ADDRESS FILE');
    process.exitCode = 2;
  }
} catch (error) {
  // No daemon, no such address, no such file: its message says it all.
  console.error((error as Error).message);
  process.exitCode = 1;
}
