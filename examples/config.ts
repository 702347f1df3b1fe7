/**
 * Configuration that all programs follow: each prints it at once and at every change, made by whatever program on whatever host.
 *
 *     node examples/config.ts app &
 *     infinit block put --named app config.json
 *     infinit block update @app '{"debug":true}'         (or: --file config.json)
 */
import { connect } from 'infinit';

const [name = 'app'] = process.argv.slice(2);
const { blocks } = connect();

for await (const config of blocks.watch(blocks.named(name))) {
  console.log(config === undefined ? 'no configuration yet' : `version ${config.version}: ${config.text()}`);
}
