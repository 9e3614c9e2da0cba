// node-postgres as tests/clients/load.py: text, parameters, named statements, rows in portions.
'use strict'

const { Client } = require('pg')

const BOOKS = 'SELECT id, title FROM book WHERE author_id = $1 ORDER BY id'
let ended = false
process.stdin.on('end', () => { ended = true }).resume()

function expect(seen, wanted) {
  const text = JSON.stringify(seen)
  const other = JSON.stringify(wanted)
  if (text !== other) throw new Error(text + ' instead of ' + other)
}

async function read(client, author) {
  const titles = []
  for (let id = author; id <= 1000; id += 100) titles.push([id, 'book ' + id])
  for (const name of [undefined, 'books']) {
    const { rows } = await client.query({ name, text: BOOKS, values: [author], rowMode: 'array' })
    expect(rows, titles)
  }
  const text = await client.query('SELECT count(*)::int AS n FROM book')
  expect(text.rows, [{ n: 1000 }])
  const portions = await client.query({ text: 'SELECT id FROM book', values: [], rows: 300 })
  expect(portions.rows.reduce((sum, row) => sum + row.id, 0), 500500)
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
  const [first, second] = await Promise.all([client.query(BOOKS, [1]), client.query(BOOKS, [2])])
  expect([first.rows.length, second.rows.length], [10, 10])
  await client.query('COMMIT')
}

async function main() {
  const client = new Client({
    host: process.env.PGHOST,
    port: Number(process.env.PGPORT),
    user: process.env.PGUSER,
    database: process.env.PGDATABASE,
  })
  await client.connect()
  let written = 0
  let refused = 0
  for (let turn = 1; !ended; ++turn) {
    await read(client, (turn % 100) + 1)
    try {
      await client.query('INSERT INTO visit (who) VALUES ($1)', ['node'])
      ++written
    } catch (error) {
      if (error.code !== '25006') throw error
      ++refused
    }
    console.log(written + ' ' + refused)
  }
  await client.end()
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
