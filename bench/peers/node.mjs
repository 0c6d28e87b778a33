// A grant with fastify and ioredis, which puts commands that come at once into one piece; a cluster of two.
import cluster from 'node:cluster'
import { randomUUID } from 'node:crypto'
import zlib from 'node:zlib'
import Fastify from 'fastify'
import Redis from 'ioredis'
import pino from 'pino'
import { fill, grantOf, HEADERS, ROUTE, STATUSES } from './command.mjs'

const { PORT, REDIS_SOCKET, LOG } = process.env

// zlib has it since Node 20.15 and 22.2.
const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1
  return n
})
const crc32 = zlib.crc32 ?? (text => ~Buffer.from(text).reduce((sum, byte) => TABLE[(sum ^ byte) & 255] ^ (sum >>> 8), ~0) >>> 0)

const text = { type: 'string' }
const grant = {
  type: 'object',
  properties: {
    discount_id: text, user_id: text, granted: { type: 'boolean' }, code: text, granted_at: text,
    good_until: { type: 'null' }, void: { type: 'boolean' }
  }
}
const schema = {
  body: {
    type: 'object', required: ['user_id'], additionalProperties: false,
    properties: { user_id: { type: 'string', minLength: 1, maxLength: 128 } }
  },
  response: { 200: grant, 201: grant }
}

async function serve () {
  const redis = new Redis({ path: REDIS_SOCKET, enableAutoPipelining: true })
  const app = Fastify({
    // pino's own advice for many lines: written by 4 KB.
    loggerInstance: pino({ base: undefined }, pino.destination({ dest: LOG, sync: false, minLength: 4096 })),
    disableRequestLogging: true,
    genReqId: () => randomUUID(),
    keepAliveTimeout: 75_000
  })
  app.addHook('onResponse', async (request, reply) => {
    const ms = Math.round(reply.elapsedTime * 100) / 100
    request.log.info({ request_id: request.id, method: request.method, route: ROUTE, status: reply.statusCode, ms }, 'request')
  })
  app.post('/discount/:id/grant', { schema }, async (request, reply) => {
    const { id } = request.params
    const user = request.body.user_id
    const [word, value] = await redis.evalsha(...fill(id, user, crc32))
    reply.code(STATUSES[word] ?? 503).headers(HEADERS).header('x-request-id', request.id)
    return STATUSES[word] < 300 ? grantOf(id, user, value) : reply.send({ type: `/problems/${word}` })
  })
  await app.listen({ host: '127.0.0.1', port: Number(PORT) })
}

if (cluster.isPrimary) {
  for (let n = 0; n < 2; n++) cluster.fork()
  process.on('SIGTERM', () => {
    for (const worker of Object.values(cluster.workers)) worker.kill('SIGKILL')
    process.exit(0)
  })
} else {
  await serve()
}
