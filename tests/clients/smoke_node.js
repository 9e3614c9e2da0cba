// node-postgres: text results, named statements, streams of queries, LISTEN, cancel by a second
// connection. The module `pg` is found through NODE_PATH.
'use strict'

const crypto = require('crypto')
const net = require('net')
const { Client, Pool } = require('pg')

let failures = 0
const main = new Client()

function settings() {
  return {
    host: process.env.PGHOST,
    port: Number(process.env.PGPORT),
    user: process.env.PGUSER,
    database: process.env.PGDATABASE,
  }
}

async function connect(options = {}) {
  const client = new Client({ ...settings(), ...options })
  client.on('error', () => {}) // a cut connection is part of a scenario
  await client.connect()
  return client
}

async function rows(text, values, client = main) {
  const result = await client.query({ text, values, rowMode: 'array' })
  return Array.isArray(result) ? result.map((one) => one.rows) : result.rows
}

async function tag(text, client = main) {
  return (await client.query(text)).command
}

async function refused(promise) {
  try {
    return ['no error', await promise]
  } catch (error) {
    return [error.code, error.message]
  }
}

async function eventually(condition) {
  for (const end = Date.now() + 20000; Date.now() < end; ) {
    if (await condition()) return true
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return false
}

function digest(data) {
  const md5 = crypto.createHash('md5').update(data).digest('hex')
  return `${Buffer.byteLength(data)} bytes, md5 ${md5}`
}

// A COPY in either direction, as the client's own streams package does it.
class Copy {
  constructor(text, data) {
    Object.assign(this, { text, data, chunks: [], tag: null })
    this.done = new Promise((resolve) => { this.resolve = resolve })
  }

  submit(connection) { connection.query(this.text) }

  handleCopyInResponse(connection) {
    const step = 65521
    for (let at = 0; at < this.data.length; at += step) {
      connection.sendCopyFromChunk(this.data.subarray(at, at + step))
    }
    connection.endCopyFrom()
  }

  handleCopyData(message) { this.chunks.push(Buffer.from(message.chunk)) }
  handleCommandComplete(message) { this.tag = message.text }
  handleError(error) { this.resolve([error.code, error.message]) }
  handleReadyForQuery() { this.resolve(this.tag) }
}

async function copy(text, data) {
  const query = new Copy(text, data)
  main.query(query)
  return [await query.done, Buffer.concat(query.chunks)]
}

const upTo = (count) => [...Array(count).keys()]

const scenarios = {
  async simple_query() {
    return rows("SELECT 1, 'two', NULL, true, 4.5::float8, 1.10::numeric")
  },

  async parameters() {
    const values = [7, '-4611686018427387904', 1.5, '12345.678900', 'it\'s \\ "x"', null, false,
      '2024-02-29', new Date(Date.UTC(2024, 1, 29, 12, 0, 1, 5)), [1, 2], Buffer.from([0, 255]),
      { a: [1, 'x'] }]
    const text = 'SELECT $1::int8, $2::int8, $3::float8, $4::numeric, $5::text, $6::text, ' +
      '$7::bool, $8::date::text, $9::timestamptz, $10::int[], $11::bytea, $12::jsonb'
    return rows(text, values)
  },

  async errors_and_recovery() {
    return [await refused(rows('SELEC 1')), await refused(rows('SELECT 1/$1::int', [0])),
      await refused(rows('SELECT * FROM nowhere')), await refused(rows('SELECT $1::int', ['a'])),
      await rows("SELECT 'recovered'")]
  },

  async transactions_and_savepoints() {
    const seen = []
    for (const step of ['BEGIN', "INSERT INTO smoke.item VALUES (1, 'one')", 'SAVEPOINT a',
      "INSERT INTO smoke.item VALUES (2, 'two')", 'ROLLBACK TO a',
      "INSERT INTO smoke.item VALUES (3, 'three')", 'RELEASE a', 'COMMIT', 'BEGIN',
      'DELETE FROM smoke.item', 'ROLLBACK']) seen.push(await tag(step))
    return [seen, await rows('SELECT id FROM smoke.item ORDER BY id')]
  },

  async failed_transaction() {
    return [await tag('BEGIN'), await refused(rows('SELECT 1/0')), await refused(rows('SELECT 1')),
      await tag('COMMIT'), await rows("SELECT 'fine again'")]
  },

  async prepared_statements() {
    const sums = []
    for (const i of upTo(20)) {
      const query = { name: 'plus', text: 'SELECT $1::int + $2::int AS sum', values: [i, i] }
      sums.push((await main.query(query)).rows[0].sum)
    }
    const known = await rows("SELECT count(*) FROM pg_prepared_statements WHERE name = 'plus'")
    return [sums, known]
  },

  async queued_queries() {
    const results = await Promise.all(upTo(50).map((i) => rows('SELECT $1::int * 2', [i])))
    return results.map((result) => result[0][0])
  },

  async set_and_show() {
    await tag("SET work_mem = '7MB'")
    await tag("SET timezone = 'Asia/Kolkata'")
    const shown = [await rows('SHOW work_mem'), await rows('SHOW timezone')]
    await tag('RESET ALL')
    return [...shown, await rows('SHOW work_mem')]
  },

  async search_path() {
    const seen = []
    for (const path of ['smoke', 'smoke_other', '"$user", smoke_other, smoke']) {
      await tag(`SET search_path = ${path}`)
      seen.push(await rows('SELECT name FROM note WHERE $1', [true]))
    }
    await tag('RESET search_path')
    return [seen, await refused(rows('SELECT name FROM note'))]
  },

  async custom_guc() {
    await tag("SET app.tenant = 'tenant ''one'''")
    await rows('SELECT set_config($1, $2, false)', ['app.user_id', '4711'])
    const text = "SELECT current_setting('app.tenant'), current_setting($1)"
    return [await rows(text, ['app.user_id']), await tag('RESET app.tenant'),
      await rows("SELECT current_setting('app.tenant', true)")]
  },

  async cursors() {
    await tag('BEGIN')
    await tag('DECLARE c CURSOR FOR SELECT generate_series(1, 10)')
    const seen = [await rows('FETCH 3 FROM c'), await rows('FETCH ALL FROM c')]
    await tag('COMMIT')
    const limited = await main.query({ text: 'SELECT generate_series(1, $1::int)', values: [20],
      rows: 7, rowMode: 'array' })
    return [seen, limited.rows]
  },

  async hold_cursor() {
    const client = await connect()
    await tag('DECLARE held CURSOR WITH HOLD FOR SELECT generate_series(1, 5)', client)
    const first = await rows('FETCH 2 FROM held', [], client)
    await rows('SELECT 1', [], client)
    const rest = await rows('FETCH ALL FROM held', [], client)
    const closed = await tag('CLOSE held', client)
    await client.end()
    return [first, rest, closed]
  },

  async temp_table() {
    const client = await connect()
    await tag('CREATE TEMP TABLE mine (a int)', client)
    await rows('INSERT INTO mine SELECT generate_series(1, $1::int)', [9], client)
    const seen = [await rows('SELECT sum(a) FROM mine', [], client),
      await tag('DROP TABLE mine', client),
      await refused(rows('SELECT * FROM mine', [], client))]
    await client.end()
    return seen
  },

  async copy_in_and_out() {
    const lines = upTo(100000).map((i) => `${i}\tbody of row ${i} ${'x'.repeat(i % 40)}\n`)
    const data = Buffer.from(lines.join(''))
    const [copied] = await copy('COPY smoke.bulk FROM STDIN', data)
    const [back, out] = await copy('COPY (SELECT * FROM smoke.bulk ORDER BY id) TO STDOUT')
    const [bad] = await copy('COPY smoke.bulk FROM STDIN', Buffer.from('x\tnot an int\n'))
    return [copied, back, digest(out), data.equals(out), bad,
      await rows('SELECT count(*) FROM smoke.bulk')]
  },

  async listen_and_notify() {
    const got = []
    const heard = (message) => got.push([message.channel, message.payload])
    main.on('notification', heard)
    await tag('LISTEN smoke_news')
    for (const i of upTo(3)) await rows("SELECT pg_notify('smoke_news', $1)", [`news ${i}`])
    const complete = await eventually(() => got.length >= 3)
    await tag('UNLISTEN *')
    await tag("NOTIFY smoke_news, 'unheard'")
    await rows('SELECT 1')
    main.removeListener('notification', heard)
    return [complete, got]
  },

  async cancel() {
    const victim = await connect({ application_name: 'smoke_sleeper' })
    const sleep = refused(rows('SELECT pg_sleep(60)', [], victim))
    const asleep = await eventually(async () => (await rows('SELECT 1 FROM pg_stat_activity ' +
      "WHERE application_name = 'smoke_sleeper' AND wait_event = 'PgSleep'")).length)
    const request = Buffer.alloc(16)
    request.writeInt32BE(16, 0)
    request.writeInt32BE(80877102, 4)
    request.writeInt32BE(victim.processID, 8)
    request.writeInt32BE(victim.secretKey, 12)
    net.connect(settings().port, settings().host).end(request)
    const end = await sleep
    const after = await rows("SELECT 'usable'", [], victim)
    await victim.end()
    return [asleep, end, after]
  },

  async big_row() {
    const big = '0123456789abcdef'.repeat((5 * 1024 * 1024) / 16)
    const [[back, size]] = await rows('SELECT $1::text, length($1::text)', [big])
    return [digest(back), back === big, size]
  },

  async many_rows() {
    const found = await rows("SELECT i, repeat('x', i % 100) FROM generate_series(1, 50000) i")
    return [found.length, digest(found.join('\n'))]
  },

  async many_columns() {
    const columns = upTo(1600).map((i) => `${i} AS column_${i}`)
    const [row] = await rows(`SELECT ${columns.join(', ')}`)
    return [row.length, row.reduce((a, b) => a + b)]
  },

  async empty_query() {
    return [await rows(''), await rows('', []), await rows('-- nothing')]
  },

  async multi_statement() {
    return [await rows('SELECT 1; SELECT 2, 3; SELECT 4 WHERE false'),
      await refused(rows('SELECT 1; SELECT $1::int', [2])),
      await refused(rows("INSERT INTO smoke.item VALUES (20, 'x'); SELECT 1/0")),
      await rows('SELECT count(*) FROM smoke.item WHERE id = 20')]
  },

  async notices() {
    const got = []
    const heard = (notice) => got.push([notice.severity, notice.code, notice.message])
    main.on('notice', heard)
    const value = await rows('SELECT smoke.shout($1)', ['hey'])
    main.removeListener('notice', heard)
    return [value, got]
  },

  async unicode_text() {
    const text = 'Grüße, Ω, 漢字, 🐘, \u0301, \t\r\n'
    const [[back, size]] = await rows('SELECT $1::text, length($1)', [text])
    return [back, size, back === text]
  },

  async bytea() {
    const data = Buffer.from(upTo(256 * 40).map((i) => i % 256))
    const [[back]] = await rows('SELECT $1::bytea', [data])
    return [digest(back), data.equals(back)]
  },

  async arrays() {
    return rows("SELECT $1::int[], $2::text[], $3::bool[], '{{1,2},{3,4}}'::int[], '{}'::text[]",
      [[1, 2, null], ['a', 'b"c', 'd,e', '{f}'], [true, false]])
  },

  async user_types() {
    for (const i of upTo(8)) {
      await main.query({ name: 'typed', text: 'INSERT INTO smoke.item (id, name, mood, amount, ' +
        "place) VALUES ($1, 'typed', $2, $3, $4)", values: [30 + i, 'happy', 5 + i, '(1,here)'] })
    }
    return [await rows("SELECT mood, amount, place FROM smoke.item WHERE name = 'typed'"),
      await refused(rows('SELECT $1::smoke.mood', ['angry'])),
      await refused(rows('SELECT $1::smoke.positive', [-1]))]
  },

  async advisory_locks() {
    const other = await connect()
    const seen = []
    for (const [client, what] of [[main, 'try_advisory_lock'], [main, 'try_advisory_lock'],
      [other, 'try_advisory_lock'], [main, 'advisory_unlock'], [other, 'try_advisory_lock'],
      [main, 'advisory_unlock'], [other, 'try_advisory_lock']]) {
      seen.push((await rows(`SELECT pg_${what}(11)`, [], client))[0][0])
    }
    await other.end()
    return seen
  },

  async pool_of_connections() {
    const pool = new Pool({ ...settings(), max: 4 })
    const found = await Promise.all(upTo(40).map((i) =>
      pool.query('SELECT $1::int * 2 AS twice', [i])))
    await pool.end()
    return found.map((result) => result.rows[0].twice)
  },

  async abrupt_disconnect() {
    const victim = await connect()
    await rows('SELECT pg_advisory_lock(77)', [], victim)
    await tag('BEGIN', victim)
    await tag("INSERT INTO smoke.item VALUES (77, 'never')", victim)
    victim.connection.stream.destroy()
    const freed = await eventually(async () =>
      (await rows('SELECT pg_try_advisory_lock(77)'))[0][0])
    return [freed, await rows('SELECT pg_advisory_unlock(77)'),
      await rows('SELECT count(*) FROM smoke.item WHERE id = 77')]
  },
}

async function everything() {
  await main.connect()
  for (const [name, scenario] of Object.entries(scenarios)) {
    try {
      console.log(`${name} = ${JSON.stringify(await scenario())}`)
    } catch (error) {
      failures += 1
      console.log(`${name} ! ${error.message}`)
    }
  }
  await main.end()
  process.exitCode = failures ? 1 : 0
}

everything()
