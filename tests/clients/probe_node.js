// node-postgres as tests/clients/probe.py. PROBE_BIND asks for SCRAM-SHA-256-PLUS; certificates are
// checked against PGSSLROOTCERT unless PROBE_TRUSTING is set.
'use strict'

const fs = require('fs')
const readline = require('readline')
const { Client, Query } = require('pg')

const root = process.env.PGSSLROOTCERT
const ssl = process.env.PROBE_TRUSTING
  ? { rejectUnauthorized: false }
  : { ca: root ? fs.readFileSync(root) : undefined }

function settings() {
  return {
    host: process.env.PGHOST,
    port: Number(process.env.PGPORT),
    user: process.env.PGUSER,
    database: process.env.PGDATABASE,
    password: process.env.PGPASSWORD,
    enableChannelBinding: Boolean(process.env.PROBE_BIND),
    ssl,
  }
}

const client = new Client(settings())
client.on('error', () => {})
let sleeping = null
let ended = null

function reason(error) {
  return '! ' + (error.code || error.message.replace(/\s+/g, ' '))
}

async function ask(sql) {
  try {
    const { rows } = await client.query({ text: sql, rowMode: 'array' })
    return '= ' + rows[0][0]
  } catch (error) {
    return reason(error)
  }
}

// The library's own way to cancel needs the object of the statement that runs.
function sleep() {
  ended = new Promise((resolve) => {
    sleeping = new Query('SELECT pg_sleep(60)', (error) => resolve(error ? reason(error) : '= 0'))
  })
  client.query(sleeping)
}

async function cancel() {
  const other = new Client(settings())
  other.connection.on('error', () => {})
  other.cancel(client, sleeping)
  return ended
}

async function serve() {
  try {
    await client.connect()
  } catch (error) {
    console.log('! ' + error.message.replace(/\s+/g, ' '))
    return
  }
  console.log('= ready')
  for await (const line of readline.createInterface({ input: process.stdin })) {
    if (line === 'sleep') sleep()
    else if (line === 'cancel') console.log(await cancel())
    else console.log(await ask(line.slice('ask '.length)))
  }
  await client.end()
}

serve().then(() => process.exit(0))
