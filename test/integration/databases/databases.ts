/** A database: how it is made, served, and looked at once it is stopped. All are commands of a shell, run on a host of the lab as root. */
export interface Database {
  readonly name: string;
  /** Its name in clients.py; absent: the same. */
  readonly client?: string;
  /** Makes what it needs in an empty directory. */
  readonly make?: (directory: string) => string;
  /** Runs the server in the foreground; absent: its programs open the files themselves, and are what is killed. */
  readonly serve?: (directory: string) => string;
  /** What its client connects to. */
  readonly place?: (directory: string) => string;
  /** Succeeds once a started server takes work, and makes what the client needs. */
  readonly ready?: (directory: string) => string;
  /** Fails where something is wrong with the files of a stopped one. */
  readonly inspect?: (directory: string) => string;
  /** What a lost host may take along of what was acknowledged, in ms; absent: nothing. */
  readonly lostWithHostMs?: number;
}

/** Each host has a /run of its own. */
const socket = '/run/database.sock';
const mariadb = `mariadb --no-defaults -S ${socket} -uroot`;
const accounts = Array.from({ length: 50 }, (_, id) => `(${id}, 100)`).join(',');

function maria(name: string, ...options: string[]): Database {
  return {
    name,
    client: 'mariadb',
    make: (directory) =>
      `mariadb-install-db --no-defaults --user=root --datadir=${directory} --skip-test-db --auth-root-authentication-method=normal`,
    serve: (directory) =>
      `mariadbd --no-defaults --user=root --datadir=${directory} --socket=${socket} --skip-networking --pid-file=/run/database.pid
       --innodb-buffer-pool-size=64M --innodb-log-file-size=16M ${options.join(' ')}`,
    place: () => socket,
    ready: () =>
      `${mariadb} -e "CREATE DATABASE IF NOT EXISTS test; USE test;
        CREATE TABLE IF NOT EXISTS done(id varchar(64) PRIMARY KEY, filler text);
        CREATE TABLE IF NOT EXISTS account(id int PRIMARY KEY, balance int); INSERT IGNORE INTO account VALUES ${accounts}"`,
    inspect: (directory) => `for f in ${directory}/undo* ${directory}/*/*.ibd; do [ ! -e $f ] || innochecksum $f; done`,
  };
}

function redis(name: string, lostWithHostMs: number | undefined, ...options: string[]): Database {
  return {
    name,
    client: 'redis',
    serve: (directory) =>
      `redis-server --port 0 --unixsocket ${socket} --dir ${directory} --appendonly yes --save '' --stop-writes-on-bgsave-error no ${options.join(' ')}`,
    place: () => socket,
    ready: () => `redis-cli -s ${socket} ping | grep -q PONG`,
    inspect: (directory) =>
      `redis-check-aof ${directory}/appendonlydir/appendonly.aof.manifest; [ ! -e ${directory}/dump.rdb ] || redis-check-rdb ${directory}/dump.rdb`,
    ...(lostWithHostMs === undefined ? {} : { lostWithHostMs }),
  };
}

function rocks(name: string): Database {
  return { name, inspect: (directory) => `ldb --db=${directory} checkconsistency; sst_dump --command=verify --file=${directory}` };
}

export const databases: readonly Database[] = [
  maria('mariadb', '--innodb-flush-method=O_DIRECT', '--innodb-use-native-aio=1'),
  maria('mariadb-fsync', '--innodb-flush-method=fsync', '--innodb-use-native-aio=0'),
  maria('mariadb-o-dsync', '--innodb-flush-method=O_DIRECT_NO_FSYNC', '--innodb-flush-log-at-trx-commit=1', '--sync-binlog=1', '--log-bin=binlog'),
  redis('redis-always', undefined, '--appendfsync always'),
  redis('redis-everysec', 3000, '--appendfsync everysec'),
  { name: 'sqlite', inspect: (directory) => `sqlite3 ${directory}/data.db 'PRAGMA integrity_check' | grep -qx ok` },
  { name: 'sqlite-wal', inspect: (directory) => `sqlite3 ${directory}/data.db 'PRAGMA integrity_check' | grep -qx ok` },
  { name: 'lmdb', inspect: (directory) => `mdb_stat -af ${directory}; mdb_dump -a ${directory} >/dev/null` },
  { name: 'lmdb-writemap', inspect: (directory) => `mdb_stat -af ${directory}; mdb_dump -a ${directory} >/dev/null` },
  { name: 'leveldb' },
  rocks('rocksdb'),
  rocks('rocksdb-direct'),
  rocks('rocksdb-mmap'),
  { name: 'berkeleydb', inspect: (directory) => `cd ${directory}; db5.3_recover; db5.3_verify data.db` },
  {
    name: 'etcd',
    serve: (directory) => `etcd --data-dir ${directory}/etcd --snapshot-count 500 --logger zap`,
    place: () => 'http://127.0.0.1:2379',
    ready: () => 'ETCDCTL_API=3 etcdctl endpoint health',
    inspect: (directory) => `ETCDCTL_API=3 etcdctl snapshot status ${directory}/etcd/member/snap/db`,
  },
  {
    name: 'influxdb',
    make: (directory) =>
      `mkdir -p ${directory}/meta ${directory}/data ${directory}/wal; influxd config 2>/dev/null |
       sed -e 's|dir = ".*/\\(meta\\|data\\|wal\\)"|dir = "${directory}/\\1"|; s|reporting-disabled = .*|reporting-disabled = true|; s|cache-snapshot-memory-size = .*|cache-snapshot-memory-size = "64k"|' >${directory}/config`,
    serve: (directory) => `influxd run -config ${directory}/config`,
    place: () => 'http://127.0.0.1:8086',
    ready: () => "influx -execute 'CREATE DATABASE test'",
  },
];
