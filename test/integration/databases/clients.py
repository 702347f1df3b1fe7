#!/usr/bin/env python3
"""What the programs of main.ts's databases do: `clients.py DATABASE write|read|check PLACE [PREFIX]`.

write commits transactions one after the other until it is killed or one fails, and says the name of each once it is committed.
Where the database has transactions, each also moves money from one account to another. read says the names of all that are there;
check says what is wrong, of what the database itself can find. PLACE is a directory, or a socket or URL of a server.
"""
import base64
import ctypes
import ctypes.util
import json
import os
import random
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request

ACCOUNTS = 50
FILLER = 'x' * 400


class Sqlite:
    def __init__(self, place, mode):
        self.db = sqlite3.connect(os.path.join(place, 'data.db'), isolation_level=None, timeout=30)
        self.db.execute(f'PRAGMA journal_mode={mode}')
        self.db.execute('PRAGMA synchronous=FULL')
        self.db.execute('BEGIN IMMEDIATE')
        self.db.execute('CREATE TABLE IF NOT EXISTS done(id TEXT PRIMARY KEY, filler TEXT)')
        self.db.execute('CREATE TABLE IF NOT EXISTS account(id INTEGER PRIMARY KEY, balance INTEGER)')
        for i in range(ACCOUNTS):
            self.db.execute('INSERT OR IGNORE INTO account VALUES (?, 100)', (i,))
        self.db.execute('COMMIT')

    def put(self, key, a, b):
        self.db.execute('BEGIN IMMEDIATE')
        self.db.execute('UPDATE account SET balance = balance - 1 WHERE id = ?', (a,))
        self.db.execute('UPDATE account SET balance = balance + 1 WHERE id = ?', (b,))
        self.db.execute('INSERT INTO done VALUES (?, ?)', (key, FILLER))
        self.db.execute('COMMIT')

    def keys(self):
        return [row[0] for row in self.db.execute('SELECT id FROM done')]

    def faults(self):
        found = [row[0] for row in self.db.execute('PRAGMA integrity_check') if row[0] != 'ok']
        total = self.db.execute('SELECT sum(balance) FROM account').fetchone()[0]
        return found + ([] if total == 100 * ACCOUNTS else [f'the balances are {total}'])


class Lmdb:
    def __init__(self, place, writemap):
        import lmdb

        self.env = lmdb.open(place, map_size=256 << 20, writemap=writemap, max_dbs=2)
        self.done = self.env.open_db(b'done')
        self.account = self.env.open_db(b'account')

    def put(self, key, a, b):
        with self.env.begin(write=True) as txn:
            for account, change in ((a, -1), (b, 1)):
                now = int(txn.get(b'%d' % account, b'100', self.account))
                txn.put(b'%d' % account, b'%d' % (now + change), db=self.account)
            txn.put(key.encode(), FILLER.encode(), db=self.done)

    def keys(self):
        with self.env.begin() as txn:
            return [key.decode() for key, _ in txn.cursor(self.done)]

    def faults(self):
        found = []
        with self.env.begin() as txn:
            entries = txn.stat(self.done)['entries']
            values = [value for _, value in txn.cursor(self.done)]
            if entries != len(values) or any(value != FILLER.encode() for value in values):
                found.append('the entries are not those that are counted, or differ')
            balances = [int(value) for _, value in txn.cursor(self.account)]
            if sum(balances) != 100 * len(balances):
                found.append(f'the balances are {sum(balances)} of {len(balances)}')
        return found


class Level:
    def __init__(self, place):
        import plyvel

        # A small buffer: tables are written, renamed and compacted all the time.
        self.db = plyvel.DB(place, create_if_missing=True, write_buffer_size=64 << 10, paranoid_checks=True)

    def put(self, key, a, b):
        with self.db.write_batch(sync=True) as batch:
            batch.put(key.encode(), FILLER.encode())
            batch.put(b'also-' + key.encode(), b'')

    def keys(self):
        return [key.decode() for key in self.db.iterator(include_value=False) if not key.startswith(b'also-')]

    def faults(self):
        names = list(self.db.iterator(include_value=False, verify_checksums=True, fill_cache=False))
        alone = {n.removeprefix(b'also-') for n in names if n.startswith(b'also-')} ^ {n for n in names if not n.startswith(b'also-')}
        return [f'half a batch: {name}' for name in alone]


class Rocks:
    """By its C interface. Tables are written, synced, renamed and compacted all the time, since the buffer is small."""

    def __init__(self, place, how):
        name = ctypes.util.find_library('rocksdb')
        if name is None:
            raise FileNotFoundError('librocksdb')
        self.lib = ctypes.CDLL(name)
        options = self.made('rocksdb_options_create')
        for setting, value in {'create_if_missing': 1, 'paranoid_checks': 1, 'write_buffer_size': 64 << 10, **how}.items():
            value = ctypes.c_size_t(value) if setting.endswith('size') else ctypes.c_int(value)
            getattr(self.lib, f'rocksdb_options_set_{setting}')(options, value)
        # The lock of a program whose host is lost counts for some seconds.
        deadline = time.monotonic() + 20
        while True:
            try:
                self.db = self.checked('rocksdb_open', options, place.encode())
                break
            except OSError as error:
                if b'lock' not in error.args[0] or time.monotonic() > deadline:
                    raise
                time.sleep(0.5)
        self.reads = self.made('rocksdb_readoptions_create')
        self.lib.rocksdb_readoptions_set_verify_checksums(self.reads, 1)
        self.writes = self.made('rocksdb_writeoptions_create')
        self.lib.rocksdb_writeoptions_set_sync(self.writes, 1)

    def made(self, name, *arguments):
        function = getattr(self.lib, name)
        function.restype = ctypes.c_void_p
        return ctypes.c_void_p(function(*arguments))

    def checked(self, name, *arguments):
        error = ctypes.c_char_p()
        result = self.made(name, *arguments, ctypes.byref(error))
        if error.value is not None:
            raise OSError(error.value)
        return result

    def get(self, key):
        length = ctypes.c_size_t()
        found = self.checked('rocksdb_get', self.db, self.reads, key, ctypes.c_size_t(len(key)), ctypes.byref(length))
        return None if found.value is None else ctypes.string_at(found, length.value)

    def put(self, key, a, b):
        batch = self.made('rocksdb_writebatch_create')
        values = [(key.encode(), FILLER.encode())]
        for account, change in ((a, -1), (b, 1)) if a != b else ():
            name = b'account-%d' % account
            values.append((name, b'%d' % (int(self.get(name) or 100) + change)))
        for name, value in values:
            self.lib.rocksdb_writebatch_put(batch, name, ctypes.c_size_t(len(name)), value, ctypes.c_size_t(len(value)))
        self.checked('rocksdb_write', self.db, self.writes, batch)
        self.lib.rocksdb_writebatch_destroy(batch)

    def all(self):
        at = self.made('rocksdb_create_iterator', self.db, self.reads)
        self.lib.rocksdb_iter_seek_to_first(at)
        while self.lib.rocksdb_iter_valid(at) & 1:
            length = ctypes.c_size_t()
            pair = []
            for part in ('key', 'value'):
                found = self.made(f'rocksdb_iter_{part}', at, ctypes.byref(length))
                pair.append(ctypes.string_at(found, length.value))
            yield pair
            self.lib.rocksdb_iter_next(at)
        error = ctypes.c_char_p()
        self.lib.rocksdb_iter_get_error(at, ctypes.byref(error))
        if error.value is not None:
            raise OSError(error.value)

    def keys(self):
        return [key.decode() for key, _ in self.all() if not key.startswith(b'account-')]

    def faults(self):
        found = list(self.all())
        balances = [int(value) for key, value in found if key.startswith(b'account-')]
        other = [key.decode() for key, value in found if not key.startswith(b'account-') and value != FILLER.encode()]
        return other + ([] if sum(balances) == 100 * len(balances) else [f'the balances are {sum(balances)} of {len(balances)}'])


class Berkeley:
    def __init__(self, place):
        from bsddb3 import db

        self.env = db.DBEnv()
        flags = db.DB_INIT_TXN | db.DB_INIT_LOG | db.DB_INIT_MPOOL | db.DB_INIT_LOCK
        self.env.open(place, db.DB_CREATE | flags | db.DB_RECOVER, 0o600)
        self.db = db.DB(self.env)
        self.db.open('data.db', dbtype=db.DB_BTREE, flags=db.DB_CREATE | db.DB_AUTO_COMMIT)
        self.count = 0

    def put(self, key, a, b):
        txn = self.env.txn_begin()
        for account, change in ((a, -1), (b, 1)):
            name = b'account-%d' % account
            self.db.put(name, b'%d' % (int(self.db.get(name, b'100', txn=txn)) + change), txn=txn)
        self.db.put(key.encode(), FILLER.encode(), txn=txn)
        txn.commit()
        self.count += 1
        if self.count % 50 == 0:
            self.env.txn_checkpoint()

    def keys(self):
        return [key.decode() for key in self.db.keys() if not key.startswith(b'account-')]

    def faults(self):
        balances = [int(self.db.get(key)) for key in self.db.keys() if key.startswith(b'account-')]
        return [] if sum(balances) == 100 * len(balances) else [f'the balances are {sum(balances)} of {len(balances)}']


class MariaDb:
    def __init__(self, place):
        self.command = ['mariadb', '--no-defaults', '-S', place, '-uroot', '-N', '-B', '--unbuffered']
        if sys.argv[2] == 'write':
            pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, 'text': True, 'bufsize': 1}
            self.session = subprocess.Popen([*self.command, 'test'], **pipes)
            self.ask("SELECT 'there'", 'there')

    def ask(self, sql, answer):
        self.session.stdin.write(sql + ';\n')
        self.session.stdin.flush()
        if self.session.stdout.readline().strip() != answer:
            raise ConnectionError('the server went away')

    def put(self, key, a, b):
        moved = f'UPDATE account SET balance = balance - 1 WHERE id = {a}; UPDATE account SET balance = balance + 1 WHERE id = {b}'
        self.ask(f"BEGIN; {moved}; INSERT INTO done VALUES ('{key}', '{FILLER}'); COMMIT; SELECT '{key}'", key)

    def once(self, sql):
        return subprocess.run([*self.command, '-e', sql, 'test'], check=True, capture_output=True, text=True, timeout=60).stdout

    def keys(self):
        return self.once('SELECT id FROM done').split()

    def faults(self):
        said = self.once('CHECK TABLE done EXTENDED; CHECK TABLE account EXTENDED').strip().split('\n')
        total = int(self.once('SELECT sum(balance) FROM account'))
        return [line for line in said if not line.endswith('OK')] + ([] if total == 100 * ACCOUNTS else [f'the balances are {total}'])


class Redis:
    def __init__(self, place):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(120)
        connection.connect(place)
        self.file = connection.makefile('rwb')
        self.count = 0

    def ask(self, *words):
        self.file.write(b'*%d\r\n' % len(words))
        for word in words:
            self.file.write(b'$%d\r\n%s\r\n' % (len(word), word.encode()))
        self.file.flush()
        return self.answer()

    def answer(self):
        line = self.file.readline()
        if not line.endswith(b'\r\n') or line[:1] == b'-':
            raise ConnectionError(line)
        if line[:1] == b'*':
            return [self.answer() for _ in range(int(line[1:]))]
        if line[:1] == b'$':
            return self.file.read(int(line[1:]) + 2)[:-2].decode()
        return line[1:].strip().decode()

    def put(self, key, a, b):
        self.ask('SET', key, FILLER)
        self.count += 1
        # A snapshot is a file that a forked process writes and renames; the rewritten log too.
        if self.count % 200 == 0:
            try:
                self.ask('BGSAVE' if self.count % 400 == 0 else 'BGREWRITEAOF')
            except ConnectionError as error:
                if b'progress' not in error.args[0] and b'scheduled' not in error.args[0]:
                    raise

    def keys(self):
        return self.ask('KEYS', '*')

    def faults(self):
        return [line for line in self.ask('INFO', 'persistence').split('\r\n') if line.endswith('_status:err')]


class Etcd:
    def __init__(self, place):
        self.url = place

    def ask(self, what, message):
        body = json.dumps({name: base64.b64encode(value.encode()).decode() for name, value in message.items()}).encode()
        with urllib.request.urlopen(urllib.request.Request(f'{self.url}/v3/{what}', body), timeout=120) as answer:
            return json.load(answer)

    def put(self, key, a, b):
        self.ask('kv/put', {'key': key, 'value': FILLER})

    def keys(self):
        found = self.ask('kv/range', {'key': '\0', 'range_end': '\0'}).get('kvs', [])
        return [base64.b64decode(entry['key']).decode() for entry in found]

    def faults(self):
        return []


class Influx:
    def __init__(self, place):
        self.url = place

    def put(self, key, a, b):
        body = f'done,id={key} value=1\n'.encode()
        urllib.request.urlopen(urllib.request.Request(f'{self.url}/write?db=test', body), timeout=120).read()

    def keys(self):
        query = 'query?db=test&q=' + urllib.request.quote('SELECT value FROM done GROUP BY id')
        with urllib.request.urlopen(f'{self.url}/{query}', timeout=120) as answer:
            results = json.load(answer)['results'][0].get('series', [])
        return [series['tags']['id'] for series in results]

    def faults(self):
        return []


KINDS = {
    'sqlite': lambda place: Sqlite(place, 'DELETE'),
    'sqlite-wal': lambda place: Sqlite(place, 'WAL'),
    'lmdb': lambda place: Lmdb(place, False),
    'lmdb-writemap': lambda place: Lmdb(place, True),
    'leveldb': Level,
    'rocksdb': lambda place: Rocks(place, {}),
    'rocksdb-direct': lambda place: Rocks(place, {'use_direct_reads': 1, 'use_direct_io_for_flush_and_compaction': 1}),
    'rocksdb-mmap': lambda place: Rocks(place, {'allow_mmap_reads': 1, 'allow_mmap_writes': 1}),
    'berkeleydb': Berkeley,
    'mariadb': MariaDb,
    'redis': Redis,
    'etcd': Etcd,
    'influxdb': Influx,
}


def main():
    kind, action, place = sys.argv[1:4]
    database = KINDS[kind](place)
    if action == 'write':
        for number in range(1 << 30):
            key = f'{sys.argv[4]}-{number}'
            database.put(key, random.randrange(ACCOUNTS), random.randrange(ACCOUNTS))
            print('committed', key, time.time(), flush=True)
    elif action == 'read':
        print('\n'.join(database.keys()))
    else:
        print('\n'.join(database.faults()))


main()
